"""Prepares pairs for fusion: checks their sizes, and converts them to 8 bits, the infrared frame to grey."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import FrameError
from edgefuse.frames import FramePair
from edgefuse.thermal.grey import ToGrey


def check_sizes(pair: FramePair) -> None:
    """Raise FrameError if the two frames differ in size."""
    if pair.visible.size != pair.infrared.size:
        sizes = " but infrared ".join("x".join(map(str, f.size)) for f in (pair.visible, pair.infrared))
        raise FrameError(pair.name, "size", f"{pair.name}: visible is {sizes}; run edgefuse calibrate once, then give --calibration FILE")


def eight_bits(pair: FramePair, grey: ToGrey) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the visible frame, uint8 (H, W) or (H, W, 3) BGR, and the infrared frame, uint8 (H, W). grey: the stream's converter."""
    return visible_8(pair), infrared_8(pair, grey)


def visible_8(pair: FramePair) -> NDArray[np.uint8]:
    visible: NDArray[Any] = pair.visible.data
    # 16-bit values use the full range; a gain per frame would cause flicker and colour shifts
    return cv2.convertScaleAbs(visible, alpha=255 / 65535) if visible.dtype == np.uint16 else visible


def infrared_8(pair: FramePair, grey: ToGrey) -> NDArray[np.uint8]:
    return grey(pair.infrared.data)
