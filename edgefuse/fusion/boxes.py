"""Sums over square windows, exact; the same in NumPy as boxes.h in C."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def box_sums(x: NDArray[np.int64], side: int) -> NDArray[np.int64]:
    """Return the sum over `side` x `side` cells (odd) around each cell, int64 (H, W); the plane is mirrored about its edge cells."""
    for axis in (0, 1):
        count = x.shape[axis]
        reach = [(side // 2, side // 2) if k == axis else (0, 0) for k in (0, 1)]
        # np.pad mirrors several times if the plane is smaller than the window
        wide = np.pad(x, reach, "reflect" if count > 1 else "edge")
        sums = np.pad(wide.cumsum(axis), [(1, 0) if k == axis else (0, 0) for k in (0, 1)])
        x = np.take(sums, np.arange(side, side + count), axis) - np.take(sums, np.arange(count), axis)
    return x
