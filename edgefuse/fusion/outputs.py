"""Arrays for pictures that leave the fuser, used again once nobody holds them any more."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

_KEPT = 8  # the pipeline holds five at once; who keeps more gets new ones


def _references(held: list[NDArray[np.uint8]]) -> list[int]:
    return [sys.getrefcount(array) for array in held]


_UNUSED = _references([np.empty(0, np.uint8)])[0]  # of an array that nothing but such a list holds; differs between Pythons


class Outputs:
    """uint8 arrays of one shape after another. An array is only handed out again when every reference to it, views included, is gone."""

    def __init__(self) -> None:
        self._arrays: list[NDArray[np.uint8]] = []

    def take(self, shape: tuple[int, ...]) -> NDArray[Any]:
        """An uninitialised uint8 array of `shape`, the caller's to keep."""
        if self._arrays and self._arrays[0].shape != shape:
            self._arrays = []
        for k, references in enumerate(_references(self._arrays)):
            if references <= _UNUSED:
                return self._arrays[k]
        array = np.empty(shape, np.uint8)
        if len(self._arrays) < _KEPT:
            self._arrays.append(array)
        return array
