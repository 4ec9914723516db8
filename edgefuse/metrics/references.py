"""Simple fusion methods without a network, as references for the mean rank.

Each takes a visible and an infrared picture, uint8 of one size, (H, W) or (H, W, 3) BGR, and returns uint8 of the visible one's shape.
With a colour visible picture, a grey infrared one is used for each channel. Raises InputError for other pictures.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefuse.metrics.planes import Image, check, luma

_LEVELS = 4  # number of levels of the pyramids

Floats = NDArray[np.floating[Any]]


def average(visible: Image, infrared: Image) -> Image:
    """Return the mean of both pictures, rounded down."""
    visible, infrared = _same_channels(visible, infrared)
    return ((visible.astype(np.uint16) + infrared) >> 1).astype(np.uint8)


def maximum(visible: Image, infrared: Image) -> Image:
    """Return the larger value of both pictures at each pixel and channel."""
    return np.maximum(*_same_channels(visible, infrared))


def laplacian(visible: Image, infrared: Image) -> Image:
    """Fuse by Laplacian pyramids of four levels (Burt and Adelson 1983; Toet 1989).

    Chooses the detail of larger magnitude (the visible one if equal), and averages the low-pass residuals.
    """
    first, second = (_pyramid(image) for image in _same_channels(visible, infrared))
    picture: Floats = (first[-1] + second[-1]) / 2
    for a, b in zip(first[-2::-1], second[-2::-1], strict=True):
        picture = _up(picture, a) + np.where(np.abs(a) >= np.abs(b), a, b)
    return np.clip(picture + 0.5, 0, 255).astype(np.uint8)


REFERENCES: dict[str, Callable[[Image, Image], Image]] = {"average": average, "maximum": maximum, "laplacian": laplacian}


def _same_channels(visible: Image, infrared: Image) -> tuple[Image, Image]:
    check(visible=visible, infrared=infrared)
    if visible.ndim == infrared.ndim:
        return visible, infrared
    converted: Image = luma(infrared) if visible.ndim == 2 else cv2.cvtColor(infrared, cv2.COLOR_GRAY2BGR)
    return visible, converted


def _pyramid(image: Image) -> list[Floats]:
    """Return four detail levels, the finest first, and the low-pass residual."""
    low_pass, details = image.astype(np.float32), []
    for _ in range(_LEVELS):
        smaller: NDArray[np.float32] = cv2.pyrDown(low_pass)
        details.append(low_pass - _up(smaller, low_pass))
        low_pass = smaller
    return [*details, low_pass]


def _up(image: Floats, to: Floats) -> Floats:
    grown: Floats = cv2.pyrUp(image, dstsize=(to.shape[1], to.shape[0]))
    return grown
