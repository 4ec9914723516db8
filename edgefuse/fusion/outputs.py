"""Arrays for fused pictures, which are reused once nothing refers to them any more."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

_KEPT = 8  # the pipeline holds five at a time; further arrays are not reused


def _references(held: list[NDArray[np.uint8]]) -> list[int]:
    return [sys.getrefcount(array) for array in held]


_UNUSED = _references([np.empty(0, np.uint8)])[
    0
]  # reference count of an array that only such a list holds; depends on the version of Python


class Outputs:
    """A pool of uint8 arrays of one shape. An array is reused only when no reference to it or to a view of it is left."""

    def __init__(self) -> None:
        self._arrays: list[NDArray[np.uint8]] = []

    def take(self, shape: tuple[int, ...]) -> NDArray[Any]:
        """Return an uninitialised uint8 array of `shape`, which the caller may keep."""
        if self._arrays and self._arrays[0].shape != shape:
            self._arrays = []
        for k, references in enumerate(_references(self._arrays)):
            if references <= _UNUSED:
                return self._arrays[k]
        array = np.empty(shape, np.uint8)
        if len(self._arrays) < _KEPT:
            self._arrays.append(array)
        return array
