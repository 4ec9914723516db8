"""Time per frame of gain control, dead pixels and registration: `python benchmarks/registration.py [--size 640x480] [--frames 300]`

Converts 16-bit counts of several infrared sizes to 8 bits and warps them onto the visible grid, interleaved, on one thread; medians and
minima. `dead pixels` finds and fills the same 1 % of the pixels, scattered, in each new frame. On the emulated Pi
(`deploy/emulate/pi run --file benchmarks/registration.py -- python3 registration.py --frames 3`) milliseconds are millions of
Cortex-A53 instructions.
"""

from __future__ import annotations

import argparse
import datetime
import time
from collections.abc import Callable
from itertools import cycle
from typing import Any

import cv2
import numpy as np

from edgefuse.calibration.registration import Calibration, Registration, centred_homography
from edgefuse.thermal import PercentileAgc, invalid
from edgefuse.thermal.grey import ToGrey
from edgefuse.util.uri import size

INFRARED = (640, 480), (256, 192), (160, 120)
TURNED = np.array([[1.05, 0.05, -20], [-0.05, 1.05, 10], [1e-5, 0, 1]])


def steps(visible: tuple[int, int], infrared: tuple[int, int]) -> dict[str, Callable[[], Any]]:
    calibration = Calibration(
        homography=TURNED @ centred_homography(visible, infrared), visible_size=visible, infrared_size=infrared, method="points",
        error_px=0, made=datetime.date(2026, 1, 1),
    )  # fmt: skip
    register, agc = Registration(calibration, visible, infrared), PercentileAgc()
    noise = np.random.default_rng(0).normal(0, 3000, infrared[::-1])
    counts = (cv2.GaussianBlur(noise, (0, 0), 3) + 30000).astype(np.uint16)
    eight = agc(counts)
    holes = [counts.copy() for _ in range(2)]
    dead = np.random.default_rng(1).random(counts.shape) < 0.01
    for frame in holes:
        frame[dead] = 0
    turns = cycle(holes)  # the mask of the newest frame is kept, and another frame's is not
    grey, fill = ToGrey(), invalid.Fill()

    def filled() -> Any:
        frame = next(turns)
        invalid_pixels = invalid.mask(frame)
        assert invalid_pixels is not None
        return fill(frame, invalid_pixels)

    return {
        "gain control": lambda: agc(counts),
        "registration": lambda: register.apply(eight),
        "both": lambda: register.apply(agc(counts)),
        "looking for dead pixels": lambda: invalid.mask(next(turns)),
        "dead pixels": filled,
        "all three": lambda: register.apply(grey(next(turns))),
    }


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--size", type=size, default=(640, 480), metavar="WxH", help="size of the visible frame")
    p.add_argument("--frames", type=int, default=300, metavar="N")
    args = p.parse_args()
    cv2.setNumThreads(1)
    todo = {(infrared, name): step for infrared in INFRARED for name, step in steps(args.size, infrared).items()}
    spent: dict[tuple[tuple[int, int], str], list[float]] = {key: [] for key in todo}
    for _ in range(args.frames):
        for key, step in todo.items():
            begin = time.perf_counter()
            step()
            spent[key].append((time.perf_counter() - begin) * 1e3)
    print(f"infrared to {args.size[0]}x{args.size[1]}, ms of {args.frames} frames    median  minimum")
    for (infrared, name), times in spent.items():
        print(f"{f'{infrared[0]}x{infrared[1]}':10s} {name:32s} {np.median(times):7.3f}  {min(times):7.3f}")


if __name__ == "__main__":
    main()
