"""Where the infrared frame shows nothing: a covered lens, a shutter closed for flat-field correction, saturated or black borders."""

from __future__ import annotations

import cv2
import numpy as np

from edgefuse.util.arrays import Float32Array, UInt8Array

BLANK_DEVIATION = 1.5  # levels at an eighth of the size, where sensor noise has averaged out
SATURATED = 254
BLACK = 17  # levels below which the infrared frame says less and less: a sky colder than the camera's range, a registered frame's margin
BRIGHT, BRIGHT_RISE = 80.0, 60.0  # levels of the visible frame from which it may be sky, and further it is
SURE = 0.5  # share from which a cell counts as sky; its neighbours hold some of it
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
    """A sky by day: float32 in [0, 1]. None where there is none.

    It is black in the infrared frame, bright to the eye, and reaches the frame's top: what is so elsewhere is a cold ground, and stays
    dark around what is warm. black: of `black`. visible: uint8, the visible frame reduced by 8.
    """
    if black[0].max() < SURE:
        return None
    bright = np.clip((visible - np.float32(BRIGHT)) * np.float32(1 / BRIGHT_RISE), 0, 1)
    share: Float32Array = np.multiply(bright, black, out=bright)
    _, labels = cv2.connectedComponents((share >= SURE).astype(np.uint8), connectivity=4, ltype=cv2.CV_16U)
    at_top = np.unique(labels[0])
    reached = np.isin(labels, at_top[at_top > 0]).astype(np.uint8)
    share *= cv2.dilate(reached, _SQUARE)
    return share if share.any() else None


def hidden(black: Float32Array, sky: Float32Array | None, border: UInt8Array | None) -> Float32Array | None:
    """Where the visible frame is drawn because the infrared frame shows nothing: float32 in [0, 1]. None where it is nowhere.

    By day that is the sky; the black margin of a registered frame, also in the dark. Elsewhere black is cold, and stays dark around what
    is warm. black, sky: of the functions of that name; border: of `blank_border`, black.
    """
    if border is None:
        return sky
    margin: Float32Array = cv2.resize(border.astype(np.float32), black.shape[::-1], interpolation=cv2.INTER_AREA)
    margin *= black
    return margin if sky is None else np.maximum(margin, sky, out=margin)


def blank_border(quarter: UInt8Array, white: bool) -> UInt8Array | None:
    """Cells (uint8, 1 where blank) of regions at 254 and above, or at 0, that touch one of the frame's sides along a third of it.

    quarter: uint8, the frame reduced by 4. None where there are none, as almost always.
    """
    blank, how = (SATURATED, cv2.CMP_GE) if white else (0, cv2.CMP_LE)
    sides = quarter[0], quarter[-1], quarter[:, 0], quarter[:, -1]
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
    return cv2.dilate(chosen[labels], _SQUARE)
