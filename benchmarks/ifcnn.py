"""Speed of EdgeFuse's models relative to IFCNN: `python benchmarks/ifcnn.py --peer ../shared/peers/ifcnn_max.onnx [--json]`

Each round runs the peer once and then each of our fusion models, one thread each, so that other load on the machine affects all of them
equally. Ours run for 50 ms at a time and the mean counts, because a single run of a millisecond would mainly measure the cold caches that
the peer leaves. Times are processor times, as in `edgefuse bench --peer`. Measured are the network alone at 256 x 256, and end to end at
640 x 480 in colour (luma, scaling, network, blend, colour; for the peer its normalisation and conversion back to 8 bits). Ratios are those
of the medians, with the quartiles of the rounds' ratios. The top-level keys of --json are the default model's.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

import edgefuse
from edgefuse import zoo
from edgefuse.bench.interleaved import clock_for, figures, rounds
from edgefuse.bench.peer import Peer, prepare
from edgefuse.errors import EdgeFuseError, MissingDependencyError


def contestants(names: list[str]) -> dict[str, edgefuse.Fuser]:
    """Load the fusion models of these names on every available runtime and precision, with one thread."""
    by_model = {}
    for card in (c for c in zoo.cards() if c.name in names):
        if card.task == "fusion" and not card.files:
            by_model[card.name] = edgefuse.load(str(card.folder), threads=1)
        for file in card.files if card.task == "fusion" else ():
            try:
                by_model[f"{card.name} {file.runtime} {file.precision}"] = edgefuse.load(str(card.folder), file.runtime, file.precision, 1)
            except MissingDependencyError as e:
                print(f"left out: {e}", file=sys.stderr)
    return by_model


def measure(works: dict[str, Callable[[], object]], count: int) -> dict[str, dict[str, object]]:
    """Return each contestant's figures after `count` rounds; the peer's key is "peer"."""
    done = list(islice(rounds(works, clock_for(1)), count))
    return figures({name: [ms[name] for ms in done] for name in works})


def network_works(peer: Peer, fusers: dict[str, edgefuse.Fuser], size: int = 256) -> dict[str, Callable[[], object]]:
    rng = np.random.default_rng(0)
    noise = {port.name: prepare(rng.integers(0, 256, (size, size, 3), np.uint8), port) for port in peer.ports}
    works: dict[str, Callable[[], object]] = {"peer": lambda: peer.network(noise)}
    for name, fuser in fusers.items():
        if fuser.choice.file is None:
            continue  # a closed-form model has no network
        shrunk = size // fuser.card.reduction
        inputs = {k: fuser.choice.tensor(rng.random((shrunk, shrunk), np.float32)) for k in ("visible", "infrared")}
        works[name] = lambda f=fuser, i=inputs: f.choice.runtime.run(i)
    return works


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument(
        "--peer",
        type=Path,
        required=True,
        metavar="FILE.onnx",
        help="ONNX file of a fusion model with inputs visible, infrared (1, 3, H, W)",
    )
    p.add_argument("--rounds", type=int, default=25, help="rounds at 256 x 256; a third of them at 640 x 480 (default: %(default)s)")
    p.add_argument(
        "--model", nargs="+", metavar="NAME", default=[c.name for c in zoo.cards() if c.task == "fusion"],
        help="fusion models to measure in addition to the default and blend-classic (default: all)",
    )  # fmt: skip
    p.add_argument("--json", action="store_true")
    args = p.parse_args()
    peer, fusers = Peer(args.peer), contestants([*args.model, zoo.DEFAULT_MODEL, "blend-classic"])
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
    for title, by_model in (("network alone, 256 x 256", network), ("end to end, 640 x 480, colour", end_to_end)):
        print(f"{title}{'':{46 - len(title)}}median ms   ratio   (quartiles)")
        for name, f in sorted(by_model.items(), key=lambda item: item[1]["median_ms"]):
            print(f"  {name:44s}{f['median_ms']:9.2f}{f['ratio']:8.2f}   ({f['ratio_quartiles'][0]:.2f} to {f['ratio_quartiles'][1]:.2f})")
    print(f"default model: {key}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except EdgeFuseError as e:
        print(f"ifcnn.py: {e}", file=sys.stderr)
        sys.exit(e.exit_code)
