"""Times each view and the overlay for a pair of the demo scene at 640 x 480, on one thread, beside fusing the pair.

    python benchmarks/views.py
    deploy/emulate/pi run --file benchmarks/views.py -- python3 views.py     # a nanosecond is an instruction of the Cortex-A53

Prints nanoseconds of processor time, the median of interleaved repetitions after an uncounted one, and the share of the fusion's.
"""

from __future__ import annotations

import argparse
import time
from statistics import median

import cv2

import edgefuse
from edgefuse.views import display
from edgefuse.views.base import Scene, ViewOptions
from edgefuse.views.display import Display
from edgefuse.views.options import OverlayPart

ALL: tuple[OverlayPart, ...] = ("scale", "spots", "time", "name")
CASES: tuple[tuple[str, tuple[OverlayPart, ...]], ...] = (
    ("edges", ()), ("highlight", ()), ("inset", ()), ("side-by-side", ()), ("fused", ALL), ("edges", ALL),
)  # fmt: skip


class Keep(Display):
    """Keeps the scene that it is to draw."""

    scene: Scene

    def draw(self, scene: Scene):  # type: ignore[no-untyped-def]
        self.scene = scene
        return scene.fused


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--repetitions", type=int, default=15)
    args = p.parse_args()
    cv2.setNumThreads(1)
    drawn = {}
    for view, parts in CASES:
        made = display.make(view, ViewOptions(), parts, "Gate 3", False, None)
        assert made is not None
        drawn[view, parts] = made
    with (
        edgefuse.open_source("demo?scene=night&depth=16&frames=1") as source,
        edgefuse.load("mobilefuse-edge", runtime="numpy", threads=1) as fuser,
    ):
        pair = source.read()
        assert pair is not None
        keep = fuser.display = Keep(drawn["edges", ()]._view)
        fuser.fuse(pair)
        spent: dict[tuple[str, tuple[OverlayPart, ...]], list[int]] = {case: [] for case in (*CASES, ("fusion alone", ()))}
        for _ in range(args.repetitions + 1):
            for case, times in spent.items():
                begin = time.thread_time_ns()
                if case in drawn:
                    drawn[case].draw(keep.scene)
                else:
                    fuser.fuse(pair)
                times.append(time.thread_time_ns() - begin)
    whole = median(spent["fusion alone", ()][1:])
    for (view, parts), times in spent.items():
        each = median(times[1:])
        print(f"{view:13} {','.join(parts) or '-':22} {each:12,.0f} ns {each / whole:6.1%} of fusion")


if __name__ == "__main__":
    main()
