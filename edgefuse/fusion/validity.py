"""Finds where a frame shows nothing: a covered lens, a shutter closed for flat-field correction, saturated or black borders, sky."""

from __future__ import annotations

import cv2
import numpy as np

from edgefuse.util.arrays import Float32Array, UInt8Array

BLANK_DEVIATION = 1.5  # standard deviation in levels, at an eighth of the size, where noise is averaged
SATURATED = 254
BLACK = 17  # infrared levels below it are increasingly black: a sky colder than the camera's range, or the margin of a registered frame
BRIGHT, BRIGHT_RISE = 80.0, 60.0  # visible level from which a cell may be sky; levels above that where it certainly is
SURE = 0.5  # share from which a cell counts as sky; its neighbours may contain some
SIDE = 1 / 3  # smallest share of a side that a blank border covers; a hot object at the edge of the frame covers less
_SQUARE = np.ones((3, 3), np.uint8)


def is_blank(eighth: UInt8Array) -> bool:
    """Return whether a frame (uint8, reduced by 8) has one level everywhere."""
    return float(cv2.meanStdDev(eighth)[1][0, 0]) < BLANK_DEVIATION


def black(quarter: UInt8Array) -> Float32Array:
    """Return how black each cell is: 1 at level 0, 0 from level 17 on; float32 in [0, 1], half the height and width of `quarter`.

    quarter: the infrared frame reduced by 4, uint8.
    """
    shown = cv2.convertScaleAbs(quarter, alpha=255 / BLACK)
    shown = cv2.resize(shown, (quarter.shape[1] // 2, quarter.shape[0] // 2), interpolation=cv2.INTER_AREA)
    share: Float32Array = np.float32(1) - shown * np.float32(1 / 255)
    return share


def sky(black: Float32Array, visible: UInt8Array) -> Float32Array | None:
    """Return how much of each cell is sky by day, float32 in [0, 1] of the shape of `black`; None if there is none.

    Sky is black in the infrared frame, bright in the visible frame and connected to the top of the frame. Such regions elsewhere are cold
    ground, which stays dark around warm objects. black: result of `black`. visible: the visible luma reduced by 8, uint8.
    """
    if black[0].max() < SURE:
        return None
    bright = np.clip((visible - np.float32(BRIGHT)) * np.float32(1 / BRIGHT_RISE), 0, 1)
    share: Float32Array = np.multiply(bright, black, out=bright)
    count, labels = cv2.connectedComponents((share >= SURE).view(np.uint8), connectivity=4, ltype=cv2.CV_16U)
    at_top = np.zeros(count, np.uint8)
    at_top[labels[0]] = 1
    at_top[0] = 0
    if not at_top.any():
        return None
    share *= cv2.dilate(at_top.take(labels), _SQUARE)
    return share


def hidden(black: Float32Array, sky: Float32Array | None, border: UInt8Array | None) -> Float32Array | None:
    """Return where the infrared frame shows nothing, so that the visible frame is used: float32 in [0, 1]; None if nowhere.

    This is the sky by day, and the black margin of a registered frame by day and night. Black regions elsewhere are cold, and stay dark
    around warm objects. black, sky: results of the functions of that name. border: result of `blank_border` with white=False.
    """
    if border is None:
        return sky
    margin: Float32Array = cv2.resize(border.astype(np.float32), black.shape[::-1], interpolation=cv2.INTER_AREA)
    margin *= black
    return margin if sky is None else np.maximum(margin, sky, out=margin)


def blank_border(quarter: UInt8Array, white: bool) -> UInt8Array | None:
    """Return a mask (uint8, 1 where blank) of blank regions that touch a side of the frame along a third of it or more; None if none.

    white: regions at level 254 and above; else at level 0. quarter: the frame reduced by 4, uint8. Cells beside a region are included.
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
    # cells beside a region may contain some of it
    return cv2.dilate(chosen.take(labels), _SQUARE)
