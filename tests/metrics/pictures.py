"""Small synthetic pictures computed in integer arithmetic, so that they are the same on every machine and exact figures can be tested."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
SIZE = (60, 83)  # neither side is a multiple of 16, one is odd


def made() -> tuple[Image, Image, Image]:
    """Return (visible BGR, infrared grey, fused BGR), uint8: a checkered ramp, a warm disc on a slope, and their mixture with noise."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    grain = (x * 7919 + y * 104729 + x * y * 31) % 23
    ramp = x * 2 + y + 60 * ((x // 9 + y // 7) % 2)
    visible = np.stack([(ramp + shift * (x // 5)) % 256 for shift in (0, 1, 3)], axis=-1)
    infrared = np.where((x - 50) ** 2 + (y - 28) ** 2 < 190, 215, 30 + y) + grain // 4
    fused = (2 * visible + 3 * infrared[..., None]) // 5 + grain[..., None]
    return visible.astype(np.uint8), infrared.astype(np.uint8), np.clip(fused, 0, 255).astype(np.uint8)
