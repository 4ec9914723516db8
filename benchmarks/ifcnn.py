"""How much faster than IFCNN? `python benchmarks/ifcnn.py --peer ../shared/peers/ifcnn_max.onnx [--json]`

Each round runs the peer once and every fusion model of ours, in turn, one thread each, so that whatever else the machine does falls
on all of them alike; ours run for a twentieth of a second at a time, the mean counts (one run of a millisecond is mostly the peer's
cold caches). Two questions: the network alone at 256 x 256, and end to end at 640 x 480 in colour (luma, scaling, network,
blend, colour; the peer with its own normalisation and back to 8 bit). Ratios are of medians; the spread is that of the per-round
ratios (quartiles). The top-level keys of --json are the default model's.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

import edgefuse
from edgefuse import zoo
from edgefuse.errors import EdgeFuseError, MissingDependencyError, ModelError
from edgefuse.frames import FramePair

# IFCNN's published preprocessing: ImageNet mean and deviation, RGB
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)


class Peer:
    """The peer network in onnxruntime, with the preprocessing of its authors."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as e:
            raise ModelError(f"{path}: onnxruntime can't load this peer ({str(e).splitlines()[0][:120]})") from e
        names = {i.name for i in self._session.get_inputs()}
        if names != {"visible", "infrared"}:
            raise ModelError(f"{path}: a peer has inputs visible and infrared, this one {', '.join(sorted(names))}")

    def network(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        return self._session.run(None, inputs)[0]

    @staticmethod
    def prepare(bgr: np.ndarray) -> np.ndarray:
        rgb = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB if bgr.ndim == 3 else cv2.COLOR_GRAY2RGB)
        return np.ascontiguousarray(((rgb.astype(np.float32) / 255 - MEAN) / DEVIATION).transpose(2, 0, 1)[None])

    def end_to_end(self, pair: FramePair) -> np.ndarray:
        out = self.network({"visible": self.prepare(pair.visible.data), "infrared": self.prepare(pair.infrared.data)})
        rgb = np.clip((out[0].transpose(1, 2, 0) * DEVIATION + MEAN) * 255 + 0.5, 0, 255).astype(np.uint8)
        return cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)


def contestants() -> dict[str, edgefuse.Fuser]:
    """Every fusion model of ours on every runtime and precision that is here, one thread."""
    found = {}
    for card in zoo.cards():
        if card.task == "fusion" and not card.files:
            found[card.name] = edgefuse.load(str(card.folder), threads=1)
        for file in card.files if card.task == "fusion" else ():
            try:
                found[f"{card.name} {file.runtime} {file.precision}"] = edgefuse.load(str(card.folder), file.runtime, file.precision, 1)
            except MissingDependencyError as e:
                print(f"left out: {e}", file=sys.stderr)
    return found


def timed(work: Callable[[], object]) -> float:
    """Milliseconds a call, of as many as fit in a twentieth of a second."""
    calls, begin = 0, time.perf_counter()
    while True:
        work()
        calls += 1
        spent = time.perf_counter() - begin
        if spent > 0.05:
            return spent * 1000 / calls


def measure(works: dict[str, Callable[[], object]], rounds: int) -> dict[str, dict[str, float]]:
    """Milliseconds of each, interleaved; the peer's key is "peer"."""
    for work in works.values():
        work()
    times = {name: np.empty(rounds) for name in works}
    for k in range(rounds):
        for name, work in works.items():
            times[name][k] = timed(work)
    figures = {}
    for name, ms in times.items():
        low, high = np.percentile(times["peer"] / ms, (25, 75))
        figures[name] = {
            "median_ms": round(float(np.median(ms)), 4),
            "quartiles_ms": [round(float(q), 4) for q in np.percentile(ms, (25, 75))],
            "ratio": round(float(np.median(times["peer"]) / np.median(ms)), 3),
            "ratio_quartiles": [round(float(low), 3), round(float(high), 3)],
        }
    return figures


def network_works(peer: Peer, fusers: dict[str, edgefuse.Fuser], size: int = 256) -> dict[str, Callable[[], object]]:
    rng = np.random.default_rng(0)
    three = {k: rng.random((1, 3, size, size), np.float32) for k in ("visible", "infrared")}
    works: dict[str, Callable[[], object]] = {"peer": lambda: peer.network(three)}
    for name, fuser in fusers.items():
        if fuser.choice.file is None:
            continue  # a closed form has no network
        shrunk = size // fuser.card.reduction
        inputs = {k: fuser.choice.tensor(rng.random((shrunk, shrunk), np.float32)) for k in three}
        works[name] = lambda f=fuser, i=inputs: f.choice.runtime.run(i)
    return works


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument(
        "--peer", type=Path, required=True, metavar="FILE.onnx", help="a fusion model with inputs visible, infrared (1, 3, H, W)"
    )
    p.add_argument("--rounds", type=int, default=25, help="rounds at 256 x 256; a third of them at 640 x 480 (default: %(default)s)")
    p.add_argument("--json", action="store_true")
    args = p.parse_args()
    peer, fusers = Peer(args.peer), contestants()
    cv2.setNumThreads(1)
    with edgefuse.open_source("demo?scene=day&size=640x480&frames=1") as source:
        pair = source.read()
    assert pair is not None
    works: dict[str, Callable[[], object]] = {"peer": lambda: peer.end_to_end(pair)}
    works |= {name: lambda f=f: f.fuse(pair) for name, f in fusers.items()}
    network = measure(network_works(peer, fusers), args.rounds)
    end_to_end = measure(works, max(3, args.rounds // 3))
    default = edgefuse.load(threads=1)
    key = f"{default.card.name} {default.choice.name} {default.choice.precision}"
    report = {
        "default": key,
        "network_256_ratio": network[key]["ratio"],
        "end_to_end_640x480_ratio": end_to_end[key]["ratio"],
        "classic_end_to_end_640x480_ratio": end_to_end["blend-classic"]["ratio"],
        "threads": 1,
        "rounds": args.rounds,
        "models": {name: {"network_256": network.get(name), "end_to_end_640x480": figures} for name, figures in end_to_end.items()},
    }
    if args.json:
        print(json.dumps(report, indent=1))
        return 0
    for title, figures in (("network alone, 256 x 256", network), ("end to end, 640 x 480, colour", end_to_end)):
        print(f"{title}{'':{46 - len(title)}}median ms   ratio   (quartiles)")
        for name, f in sorted(figures.items(), key=lambda item: item[1]["median_ms"]):
            print(f"  {name:44s}{f['median_ms']:9.2f}{f['ratio']:8.2f}   ({f['ratio_quartiles'][0]:.2f} to {f['ratio_quartiles'][1]:.2f})")
    print(f"default model: {key}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except EdgeFuseError as e:
        print(f"ifcnn.py: {e}", file=sys.stderr)
        sys.exit(e.exit_code)
