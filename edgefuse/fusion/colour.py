"""Luma in, colour kept: what happens to the visible frame's chroma.

The network fuses luma. Chroma comes from the visible frame, weighted by how much of the pixel is visible:

- keep: all of it. Most natural by day; infrared detail is tinted by what lies under it.
- balanced: 0.3 + 0.7 M. Warm targets turn whiter, cars keep their colour. The default.
- benchmark: M, the blend of Eq. 1 applied to colour too. About one rank better by the metrics, visibly greyer.

A model without a map uses the mean over a map of one half. Edge models use the mean of their map over the frame, and cap the chroma at
half of the share, in levels, where they leave the visible frame out (`edgefuse.fusion.band_rows.join`): a weight for each pixel would cost
a third of their time.
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
    """(luma (H, W), chroma (H, W, 2) as Cr and Cb around 128) of a BGR image; a grey one is its own luma, chroma None."""
    if image.ndim == 2:
        return image, None
    ycrcb = cv2.cvtColor(image, cv2.COLOR_BGR2YCrCb)
    return ycrcb[..., 0], ycrcb[..., 1:]


def join(
    luma: NDArray[np.uint8], chroma: NDArray[np.uint8] | None, blending_map: NDArray[np.float32] | None, mode: Colour
) -> NDArray[np.uint8]:
    """BGR (H, W, 3) of fused luma and weighted chroma, all uint8; the luma itself where chroma is None."""
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
