"""A calibration's result for people: where the infrared frame lies, and its edges over a visible picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgefuse.calibration import registration
from edgefuse.calibration.overlay import overlay
from edgefuse.calibration.registration import Calibration
from edgefuse.calibration.views import grey
from edgefuse.frames import FramePair
from edgefuse.util.images import encode


def by(size: Sequence[int]) -> str:
    """Return a size as text: 640x480."""
    return "x".join(map(str, size))


def placed(c: Calibration) -> str:
    """Describe the infrared frame's position in words."""
    ends = registration.project(c.homography, registration.corners(c.infrared_size))
    across = ends[1] - ends[0]
    middle = ends.mean(axis=0) - (np.array(c.visible_size) - 1) / 2
    share = float(np.hypot(*across)) / (c.visible_size[0] - 1)
    turn = float(np.degrees(np.arctan2(across[1], across[0])))
    return (
        f"infrared {by(c.infrared_size)} fills {share:.0%} of the visible width, turned by {turn:.1f} degrees, "
        f"its middle {middle[0]:+.0f},{middle[1]:+.0f} px off"
    )


def picture(calibration: Calibration, pair: FramePair) -> memoryview:
    """Return a PNG of a pair's visible frame with the infrared frame's edges where the calibration puts them."""
    register = registration.Registration(calibration, pair.visible.size, pair.infrared.size)
    seen = register.apply(np.full(pair.infrared.size[::-1], 255, np.uint8)).astype(np.float32) / np.float32(255)
    moved = register.apply(grey(pair.infrared).round().astype(np.uint8)).astype(np.float32)
    visible = (grey(pair.visible).round() if pair.visible.data.dtype == np.uint16 else pair.visible.data).astype(np.uint8)
    return encode(overlay(visible, moved, seen), ".png")
