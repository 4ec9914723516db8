"""Where the infrared frame shows nothing: a covered lens, a shutter closed for flat-field correction, saturated or black borders."""

from __future__ import annotations

import cv2
import numpy as np

from edgefuse.util.arrays import Float32Array, UInt8Array

BLANK_DEVIATION = 1.5  # levels at an eighth of the size, where sensor noise has averaged out
SATURATED = 254
BLACK = 17  # levels below which the infrared frame says less and less: a sky colder than the camera's range, a registered frame's margin
BRIGHT, BRIGHT_RISE = 80.0, 60.0  # levels of the visible frame from which it may be sky, and further it is
SIDE = 1 / 3  # of a side that a saturated border covers at least; a hot body cut off by the frame covers less
_SQUARE = np.ones((3, 3), np.uint8)


def is_blank(eighth: UInt8Array) -> bool:
    """Does the frame (uint8, reduced by 8) show one level all over?"""
    return float(cv2.meanStdDev(eighth)[1][0, 0]) < BLANK_DEVIATION


def black(quarter: UInt8Array) -> Float32Array:
    """How much of each cell of an eighth is black, float32 in [0, 1]: 1 at level 0, 0 from 17 on. quarter: uint8, the infrared frame's."""
    shown = cv2.convertScaleAbs(quarter, alpha=255 / BLACK)
    shown = cv2.resize(shown, (quarter.shape[1] // 2, quarter.shape[0] // 2), interpolation=cv2.INTER_AREA)
    share: Float32Array = np.float32(1) - shown * np.float32(1 / 255)
    return share


def sky(black: Float32Array, visible: UInt8Array) -> Float32Array | None:
    """Where what the infrared frame shows black is bright to the eye, as a sky by day: float32 in [0, 1]. None where it is nowhere.

    black: of `black`. visible: uint8, the visible frame reduced by 8.
    """
    bright = np.clip((visible - np.float32(BRIGHT)) * np.float32(1 / BRIGHT_RISE), 0, 1)
    share: Float32Array = np.multiply(bright, black, out=bright)
    return share if share.any() else None


def white_border(quarter: UInt8Array) -> UInt8Array | None:
    """Cells (uint8, 1 where blank) of regions at 254 and above that touch one of the frame's sides along a third of it.

    quarter: uint8, the frame reduced by 4. None where there are none, as almost always.
    """
    sides = quarter[0], quarter[-1], quarter[:, 0], quarter[:, -1]
    if all(np.count_nonzero(side >= SATURATED) < SIDE * len(side) for side in sides):
        return None
    count, labels = cv2.connectedComponents(cv2.compare(quarter, SATURATED, cv2.CMP_GE), connectivity=4, ltype=cv2.CV_16U)
    chosen = np.zeros(count, np.uint8)
    for side in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        chosen[np.bincount(side, minlength=count) >= SIDE * len(side)] = 1
    chosen[0] = 0
    if not chosen.any():
        return None
    # the cells beside it hold some of it
    return cv2.dilate(chosen[labels], _SQUARE)
