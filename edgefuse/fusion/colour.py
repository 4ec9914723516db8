"""Splits a picture into luma and chroma, and gives the fused luma the visible frame's chroma.

Models fuse luma. The chroma comes from the visible frame; its weight depends on the blending map M, the visible frame's share:

- keep: weight 1. The most natural colours by day; infrared details are tinted by the visible colour at their place.
- balanced: 0.3 + 0.7 M. Warm targets are whiter, cars keep their colour. The default.
- benchmark: M, that is, Eq. 1 of MobileFuse applied to the chroma too. About one rank better in fusion metrics, but greyer.

Models without a map use M = 0.5. MobileFuse-edge uses the mean of its map over the frame (`edgefuse.fusion.band_rows.join`), because a
weight per pixel would take a third of its time.
"""

from __future__ import annotations

from typing import get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefuse.fusion.options import Colour

FLOOR = {"keep": 1.0, "balanced": 0.3, "benchmark": 0.0}
assert FLOOR.keys() == set(get_args(Colour))


def split(image: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Split an image into luma (H, W) and chroma (H, W, 2): Cr and Cb around 128, all uint8.

    image: BGR (H, W, 3), or grey: chroma is None.
    """
    if image.ndim == 2:
        return image, None
    ycrcb = cv2.cvtColor(image, cv2.COLOR_BGR2YCrCb)
    return ycrcb[..., 0], ycrcb[..., 1:]


def join(
    luma: NDArray[np.uint8], chroma: NDArray[np.uint8] | None, blending_map: NDArray[np.float32] | None, mode: Colour
) -> NDArray[np.uint8]:
    """Join fused luma (H, W) and weighted chroma (H, W, 2) to BGR (H, W, 3), all uint8. Returns the luma itself if chroma is None.

    blending_map: float32 (H, W) in [0, 1], or None for one half everywhere.
    """
    if chroma is None:
        return luma
    floor = FLOOR[mode]
    ycrcb = np.empty((*luma.shape, 3), np.uint8)
    ycrcb[..., 0] = luma
    if floor == 1:
        ycrcb[..., 1:] = chroma
    else:
        share = np.full(luma.shape, 0.5, np.float32) if blending_map is None else blending_map
        weight = (floor + (1 - floor) * share)[..., None]
        ycrcb[..., 1:] = (chroma.astype(np.float32) - 128) * weight + 128.5
    return cv2.cvtColor(ycrcb, cv2.COLOR_YCrCb2BGR)
