"""Counts Cortex-A53 instructions per pixel of a cube on the emulated Pi, where a nanosecond is an instruction.

    deploy/emulate/pi run --file benchmarks/codec_instructions.py --file SCENE.npz=scene.npz -- python3 codec_instructions.py scene.npz

Measures `spectral-edge` including rate control, on one thread. `--decoded SHA256` compares the decoded samples of --file FILE.efz with
another machine's digest: exit code 1 if they differ.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgefuse.hyperspectral.codec import spectral_edge
from edgefuse.util import compiled


def count(work: Callable[[], Any]) -> tuple[int, Any]:
    """Return the instructions of a call, after an uncounted one, and its result."""
    work()
    began = time.perf_counter_ns()
    made = work()
    return time.perf_counter_ns() - began, made


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("scene", type=Path, metavar="SCENE.npz")
    p.add_argument("--rates", type=lambda s: [float(r) for r in s.split(",")], default=[0.1, 0.25, 1.0], metavar="R,R,...")
    p.add_argument("--out", type=Path, metavar="DIR", help="keep the files, to decode them on another machine")
    p.add_argument("--file", type=Path, metavar="FILE.efz")
    p.add_argument("--decoded", metavar="SHA256")
    args = p.parse_args()
    cube = np.load(args.scene)["cube"]
    pixels = cube.shape[0] * cube.shape[1]
    print(json.dumps({"scene": args.scene.stem, "shape": cube.shape, "compiled": compiled.library() is not None}))
    for rate in args.rates:
        encode, data = count(lambda r=rate: spectral_edge.encode(cube, bpppc=r))  # type: ignore[misc]
        decode, made = count(lambda d=data: spectral_edge.decode(d))  # type: ignore[misc]
        figures = {"bpppc": round(8 * len(data) / cube.size, 4), "encode": encode // pixels, "decode": decode // pixels}
        print(json.dumps(figures | {"decoded": _digest(made)}), flush=True)
        if args.out:
            args.out.mkdir(exist_ok=True)
            (args.out / f"{rate}.efz").write_bytes(data)
    if args.file:
        same = _digest(spectral_edge.decode(args.file.read_bytes())) == args.decoded
        print(json.dumps({"decodes_as_the_other_machine": same}))
        return 0 if same else 1
    return 0


def _digest(cube: Any) -> str:
    return hashlib.sha256(np.ascontiguousarray(cube).tobytes()).hexdigest()


if __name__ == "__main__":
    raise SystemExit(main())
