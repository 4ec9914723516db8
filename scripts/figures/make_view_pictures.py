"""Draws docs/images/views.jpg and views-small.png, the views of the demo scene: `python scripts/figures/make_view_pictures.py [FOLDER]`.

views.jpg: fused, edges, highlight and inset, then side-by-side below, at 640 x 480. views-small.png: edges with the overlay at 320 x 240.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

import edgefuse
from edgefuse.frames import Frame, FramePair, Radiometry
from edgefuse.sources.demo import DemoSource
from edgefuse.views import display
from edgefuse.views.base import ViewOptions

OUT = Path(__file__).resolve().parents[2] / "docs/images"
NAMES = ("fused", "edges", "highlight", "inset", "side-by-side")
FRAME = 48


def moment(size: str, scene: str) -> FramePair:
    """Return a pair of the demo, with 16-bit infrared."""
    with edgefuse.open_source(f"demo?scene={scene}&size={size}&depth=16") as source:
        assert isinstance(source, DemoSource)
        visible, infrared = source.scene.render(FRAME)
    law = Radiometry("demo", 0.01, -273.15)
    return FramePair(Frame(visible, "visible", 0, "demo"), Frame(infrared, "infrared", 0, "demo", law), FRAME)


def main() -> None:
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else OUT
    day, night, small = moment("640x480", "day"), moment("640x480", "night"), moment("320x240", "day")
    with edgefuse.load() as fuser:
        pictures = {}
        for name in NAMES:
            fuser.display = display.make(name, ViewOptions(), ("scale", "spots", "name"), name, False, None)
            pictures[name] = fuser.fuse(day if name in ("edges", "side-by-side") else night).data
        fuser.display = display.make("edges", ViewOptions(), ("scale", "spots", "time", "name"), "Gate 3", False, None)
        cv2.imwrite(str(out / "views-small.png"), fuser.fuse(small).data)
    rows = [np.hstack([pictures[a], pictures[b]]) for a, b in (NAMES[:2], NAMES[2:4])]
    cv2.imwrite(str(out / "views.jpg"), np.vstack([*rows, pictures["side-by-side"]]), [cv2.IMWRITE_JPEG_QUALITY, 85])


if __name__ == "__main__":
    main()
