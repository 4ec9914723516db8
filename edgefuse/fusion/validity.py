"""Where the infrared frame shows nothing: a covered lens, a shutter closed for flat-field correction, saturated or black borders."""

from __future__ import annotations

import cv2
import numpy as np

from edgefuse.util.arrays import UInt8Array

BLANK_DEVIATION = 1.5  # levels at an eighth of the size, where sensor noise has averaged out
SATURATED = 254
SIDE = 1 / 3  # of a side that a saturated border covers at least; a hot body cut off by the frame covers less
_SQUARE = np.ones((3, 3), np.uint8)


def is_blank(eighth: UInt8Array) -> bool:
    """Does the frame (uint8, reduced by 8) show one level all over?"""
    return float(cv2.meanStdDev(eighth)[1][0, 0]) < BLANK_DEVIATION


def blank_border(quarter: UInt8Array, white: bool) -> UInt8Array | None:
    """Cells (uint8, 1 where blank) of regions at 254 and above, or at 0, that touch one of the frame's sides along a third of it.

    quarter: uint8, the frame reduced by 4. None where there are none, as almost always.
    """
    blank, how = (SATURATED, cv2.CMP_GE) if white else (0, cv2.CMP_LE)
    sides = [np.ascontiguousarray(side) for side in (quarter[0], quarter[-1], quarter[:, 0], quarter[:, -1])]
    if all(np.count_nonzero(side >= blank if white else side == blank) < SIDE * len(side) for side in sides):
        return None
    count, labels = cv2.connectedComponents(cv2.compare(quarter, blank, how), connectivity=4, ltype=cv2.CV_16U)
    chosen = np.zeros(count, np.uint8)
    for side in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        chosen[np.bincount(side, minlength=count) >= SIDE * len(side)] = 1
    chosen[0] = 0
    if not chosen.any():
        return None
    # the cells beside it hold some of it
    # a look-up table of bytes is a third of the work; there are seldom more than 256 regions
    marked = cv2.LUT(labels.astype(np.uint8), _table(chosen)) if count <= 256 else chosen[labels]
    return cv2.dilate(marked, _SQUARE)


def _table(chosen: UInt8Array) -> UInt8Array:
    return np.pad(chosen, (0, 256 - len(chosen)))
