"""Time of each stage of a frame's processing: `python benchmarks/stages.py [--size 640x480] [--model NAME ...] [--json]`

Medians of many frames over all stages for a colour pair, on one thread; with each stage the bytes of its inputs and outputs at full,
quarter and eighth size. On the emulated Pi (`deploy/emulate/pi run --file benchmarks/stages.py -- python3 stages.py`) a nanosecond is an
instruction, so microseconds are thousands of Cortex-A53 instructions.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

import cv2
import numpy as np

import edgefuse
from edgefuse.errors import EdgeFuseError


def traffic(width: int, height: int) -> dict[str, int]:
    """Return the bytes that each stage of the edge models reads or writes at least once per frame; 8 bits per value unless stated."""
    full, quarter, eighth = width * height, width * height // 16, width * height // 64
    return {
        # BGR and infrared in; luma, halves, quarters and eighths out
        "prepare": 3 * full + 2 * full + 2 * (full // 4 + quarter + eighth),
        # quarters in, as float32, too; the evidence out, float32 at a sixteenth
        "network": 2 * quarter * 5 + 4 * width * height // 256,
        # eighths in, five float32 planes
        "map": 2 * eighth + 5 * 4 * eighth,
        # eighths in, four tables of sums and three planes; quarters in and out, two float32 planes of them
        "targets": 2 * eighth + 4 * 4 * eighth + 3 * eighth + 3 * quarter + 2 * 4 * quarter,
        # BGR, luma, infrared, three quarters enlarged, the chosen details' two planes; BGR out
        "blend": 3 * full + 2 * full + 3 * full + 2 * full + 3 * full,
    }


def measure(model: str, runtime: str, size: str, frames: int) -> dict[str, Any]:
    with edgefuse.open_source(f"demo?scene=day&size={size}&frames=1") as source:
        pair = source.read()
    assert pair is not None
    with edgefuse.load(model, runtime, threads=1) as fuser:
        for _ in range(3):
            fuser.fuse(pair)
        spent = [fuser.fuse(pair).stages_ns for _ in range(frames)]
        figures = {stage: [s[stage] / 1000 for s in spent] for stage in fuser.stages}
        choice = f"{fuser.choice.name} {fuser.choice.precision}"
    whole = [sum(s.values()) / 1000 for s in spent]
    stages = {k: {"median_us": round(float(np.median(v)), 1)} for k, v in (figures | {"whole": whole}).items()}
    for stage, count in traffic(*pair.visible.size).items():
        if stage in stages:
            stages[stage]["bytes"] = count
    return {"model": model, "runtime": choice, "stages": stages}


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--size", default="640x480", metavar="WxH")
    p.add_argument(
        "--model", nargs="+", default=["mobilefuse-edge:onnx", "mobilefuse-edge:litert", "blend-classic"], metavar="NAME[:RUNTIME]"
    )
    p.add_argument("--frames", type=int, default=200)
    p.add_argument("--json", action="store_true")
    args = p.parse_args()
    cv2.setNumThreads(1)
    rows = [measure(*(name.split(":") if ":" in name else (name, "auto")), args.size, args.frames) for name in args.model]
    if args.json:
        print(json.dumps(rows, indent=1))
        return 0
    for row in rows:
        print(f"{row['model']}, {row['runtime']}, {args.size} in colour, one thread")
        for stage, f in row["stages"].items():
            print(f"  {stage:10s}{f['median_us']:9.1f} us" + (f"{f['bytes'] / 1e3:9.0f} kB" if "bytes" in f else ""))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except EdgeFuseError as e:
        print(f"stages.py: {e}", file=sys.stderr)
        sys.exit(e.exit_code)
