"""Finds a thermal sensor's bad pixels in frames of something even, such as its closed lid."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import SourceError

FEWEST = 10  # frames
_FAR = 8.0  # robust standard deviations
_LEAST = 8.0  # counts


def find(frames: Iterable[NDArray[np.uint16]]) -> list[tuple[int, int]]:
    """Return (x, y) of each pixel that is dead, stuck, flickers or differs from its neighbours, in rows from the upper left.

    frames: counts, uint16 (H, W), of an even scene. Raises SourceError for fewer than 10, or where 5 % and more are bad, as the scene
    was then not even.
    """
    count, total, squares = 0, np.zeros(()), np.zeros(())
    unmeasured = np.zeros((), bool)
    for counts in frames:
        values = counts.astype(np.float64)
        total, squares = total + values, squares + values**2
        unmeasured = unmeasured | (counts == 0) | (counts == 65535)
        count += 1
    if count < FEWEST:
        raise SourceError(f"{count} raw infrared frames are too few; record at least {FEWEST} with the lid closed (--record-raw)")
    mean = total / count
    noise = np.sqrt(np.maximum(squares / count - mean**2, 0))
    off = mean - cv2.medianBlur(mean.astype(np.float32), 5)
    usual = float(np.median(noise))
    spread = 1.4826 * float(np.median(np.abs(off)))
    bad = unmeasured | (np.abs(off) > max(_FAR * spread, _LEAST)) | (noise > max(_FAR * usual, _LEAST)) | ((noise == 0) & (usual > 0.5))
    if np.count_nonzero(bad) * 20 > bad.size:
        raise SourceError(f"{np.count_nonzero(bad)} of {bad.size} pixels differ from their neighbours; close the lid, and record again")
    return [(int(x), int(y)) for y, x in zip(*np.nonzero(bad), strict=True)]
