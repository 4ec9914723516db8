"""Small made-up pictures of whole-number arithmetic alone: the same on every machine, so that figures can be pinned to them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
SIZE = (60, 83)  # neither side is a multiple of 16, one is odd


def made() -> tuple[Image, Image, Image]:
    """(visible BGR, infrared grey, fused BGR), uint8: a chequered ramp, a warm disc on a slope, and a mixture with some grain."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    grain = (x * 7919 + y * 104729 + x * y * 31) % 23
    ramp = x * 2 + y + 60 * ((x // 9 + y // 7) % 2)
    visible = np.stack([(ramp + shift * (x // 5)) % 256 for shift in (0, 1, 3)], axis=-1)
    infrared = np.where((x - 50) ** 2 + (y - 28) ** 2 < 190, 215, 30 + y) + grain // 4
    fused = (2 * visible + 3 * infrared[..., None]) // 5 + grain[..., None]
    return visible.astype(np.uint8), infrared.astype(np.uint8), np.clip(fused, 0, 255).astype(np.uint8)
