"""Counts Cortex-A53 instructions per frame on the emulated Pi, where a nanosecond is an instruction.

    sudo ./scripts/test-on-pi --count mobilefuse-edge ifcnn       # counts and writes benchmarks/instructions.json
    python benchmarks/instructions.py --show    # prints it with ratios to IFCNN and predicted frame rates
    deploy/emulate/pi run --file benchmarks/ifcnn.py --file benchmarks/instructions.py -- python3 instructions.py --models blend-classic

A row is a model on a runtime at a precision and a frame size, on one thread: the network alone (`network`), or from the pair to the fused
colour frame (`end to end`; for IFCNN with its normalisation and conversion back to 8 bits). `instructions` is the median of the process's
own time over `repetitions` calls after an uncounted one: as many as fit into 2,500 million instructions, at most `--most`. Counts
are repeatable to 0.1 %.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np

import edgefuse
from edgefuse import zoo
from edgefuse.errors import EdgeFuseError
from edgefuse.frames import Frame, FramePair

SIZES = ("256x256", "640x480")
BUDGET = 2_500_000_000
KEYS = ("model", "runtime", "precision", "size", "path")
TABLE = Path(__file__).with_suffix(".json")
IFCNN_FPS = 0.7  # published: on a Raspberry Pi 3B+, 256 x 256, the network in ONNX Runtime (MobileFuse, Table IV)
Row = dict[str, Any]


def count(work: Callable[[], object], most: int) -> dict[str, int]:
    """Return the instructions of a call, the median of several where that is cheap, after an uncounted one."""

    def once() -> int:
        # the process's own time: a kernel thread that writes to the disk meanwhile would count, too
        begin = time.process_time_ns()
        work()
        return time.process_time_ns() - begin

    first = once()
    if first < BUDGET // 10:
        first = once()
    repetitions = max(1, min(most, BUDGET // first))
    times = [once() for _ in range(repetitions)]
    return {"instructions": int(median(times)), "repetitions": repetitions}


def first_pair(size: str, frames: Path | None) -> FramePair:
    """Return the demo's first pair; from a file if given, because drawing it takes half a minute on an emulated processor."""
    if frames:
        arrays = np.load(frames)
        return FramePair(*(Frame(arrays[f"{size}.0.{m}"], m, 0, m) for m in ("visible", "infrared")), 0)
    with edgefuse.open_source(f"demo?scene=day&size={size}&frames=1") as source:
        pair = source.read()
    assert pair is not None
    return pair


def ours(card: zoo.Card, pairs: dict[str, FramePair], most: int, runtimes: list[str]) -> Iterator[Row]:
    for runtime, precision in [(f.runtime, f.precision) for f in card.files] or [("auto", None)]:
        if runtimes and runtime not in runtimes:
            continue
        with edgefuse.load(str(card.folder), runtime, precision, threads=1) as fuser:
            choice = fuser.choice
            about = {"model": card.name, "runtime": choice.name, "precision": choice.precision, "version": choice.version}
            for size, pair in pairs.items():
                if choice.file is not None:
                    width, height = ((n + -n % card.multiple) // card.reduction for n in pair.visible.size)
                    rng = np.random.default_rng(0)
                    inputs = {t.name: choice.tensor(rng.random((height, width), np.float32)) for t in card.inputs}
                    yield about | {"size": size, "path": "network"} | count(lambda c=choice, i=inputs: c.runtime.run(i), most)
                yield about | {"size": size, "path": "end to end"} | count(lambda f=fuser, p=pair: f.fuse(p), most)


def ifcnn(path: Path, pairs: dict[str, FramePair], most: int) -> Iterator[Row]:
    import onnxruntime
    from ifcnn import Peer

    peer = Peer(path)
    about = {"model": "ifcnn", "runtime": "onnx", "precision": "fp32", "version": onnxruntime.__version__}
    for size, pair in pairs.items():
        inputs = {"visible": peer.prepare(pair.visible.data), "infrared": peer.prepare(pair.infrared.data)}
        yield about | {"size": size, "path": "network"} | count(lambda i=inputs: peer.network(i), most)
        yield about | {"size": size, "path": "end to end"} | count(lambda p=pair: peer.end_to_end(p), most)


def show(rows: list[Row]) -> str:
    """Return the table in Markdown: million instructions per frame, ratios to IFCNN, and FPS extrapolated from IFCNN's 0.7."""
    found: dict[tuple[str, ...], dict[tuple[str, str], int]] = {}
    for row in rows:
        found.setdefault((row["model"], row["runtime"], row["precision"]), {})[row["size"], row["path"]] = row["instructions"]
    columns = [(size, path) for size in SIZES for path in ("network", "end to end")]
    peer = found["ifcnn", "onnx", "fp32"]
    lines = [
        "| model | "
        + " | ".join(f"{path} {size}" for size, path in columns)
        + " | IFCNN / this, end to end 640x480 | predicted FPS, end to end 640x480 |"
    ]
    lines.append("|---" * (len(columns) + 3) + "|")
    for name, counts in sorted(found.items(), key=lambda item: item[1].get(columns[-1], float("inf"))):
        cells = [f"{counts[c] / 1e6:,.1f}" if c in counts else "" for c in columns]
        if last := counts.get(columns[-1]):
            cells += [f"{peer[columns[-1]] / last:,.1f}", f"{IFCNN_FPS * peer[columns[0]] / last:.3g}"]
        else:
            cells += ["", ""]
        lines.append(f"| {' '.join(name)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--models", nargs="+", metavar="NAME", help="models to count, by name or ./FOLDER (default: all fusion models)")
    p.add_argument(
        "--runtimes", nargs="+", default=[], metavar="NAME", help="runtimes to count (default: all that the model has files for)"
    )
    p.add_argument("--sizes", nargs="+", default=list(SIZES), metavar="WxH", help="frame sizes (default: %(default)s)")
    p.add_argument("--most", type=int, default=100, metavar="N", help="largest number of repetitions (default: %(default)s)")
    p.add_argument("--peer", type=Path, metavar="FILE.onnx", help="ONNX file of IFCNN, to count it, too")
    p.add_argument("--frames", type=Path, metavar="FILE.npz", help="pairs drawn by deploy/emulate/outputs.py")
    p.add_argument("--json", type=Path, metavar="FILE", help="file to write the rows to")
    p.add_argument("--show", action="store_true", help=f"print {TABLE.name} as a table, without counting")
    args = p.parse_args()
    if args.show:
        print(show(json.loads(TABLE.read_text())))
        return 0
    cv2.setNumThreads(1)
    pairs = {size: first_pair(size, args.frames) for size in args.sizes}
    cards = [zoo.find(n) for n in args.models] if args.models else [card for card in zoo.cards() if card.task == "fusion"]
    sources = [ours(card, pairs, args.most, args.runtimes) for card in cards] + ([ifcnn(args.peer, pairs, args.most)] if args.peer else [])
    rows: list[Row] = []
    for row in (row for source in sources for row in source):
        rows.append(row)
        label = " ".join(row[k] for k in KEYS)
        print(f"{label:58s}{row['instructions'] / 1e6:10.2f} million ({row['repetitions']} repetitions)", flush=True)
    if args.json:
        args.json.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except EdgeFuseError as e:
        print(f"instructions.py: {e}", file=sys.stderr)
        sys.exit(e.exit_code)
