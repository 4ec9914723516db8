"""Cells of values whose centre is within a relative error of each value in them: nearly equal steps of the logarithm.

A power of two up to the next one is divided into eight parts, and each part into cells of one width, as few as the error allows. All of it
is exact or correctly rounded arithmetic, so that every machine has the same cells. Integers below 4 / error are their own cells.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefuse.hyperspectral.codec.number_grids import LARGEST
from edgefuse.util.arrays import Float64Array

RELATIVE = 5  # kind of a band, after those of number_grids.py
_PARTS = 8
_LEAST_ERROR, _MOST_ERROR = 1e-9, 0.5


class Cells:
    """Cells for samples of `dtype` within a relative `error`; the interface of number_grids.Grid."""

    kind, origin = RELATIVE, 0.0
    step: float
    """The relative error."""

    def __init__(self, error: float, dtype: np.dtype[Any]) -> None:
        self.step = error
        allowed = min(max(error, _LEAST_ERROR), _MOST_ERROR)
        self._whole = dtype.kind != "f"
        if self._whole:
            self._exact = float(math.ceil(4 / allowed))
            self._first = math.frexp(self._exact)[1] - 1  # exponent of the first cells
            half = allowed * (1 - 1 / 8)  # an eighth is for rounding to integers
        else:
            self._exact, self._first = 0.0, -126 if dtype.itemsize == 4 else -1022
            half = max(allowed - 2.0 ** (-23 if dtype.itemsize == 4 else -51), allowed / 2)
        self._starts = 1 + np.arange(_PARTS) / _PARTS
        self._counts = np.ceil(1 / (2 * _PARTS * half * self._starts))
        self._widths = 1 / (_PARTS * self._counts)
        self._before = np.concatenate([[0.0], np.cumsum(self._counts)])

    def numbers(self, values: NDArray[Any]) -> Float64Array:
        """Return the number of each value's cell; 0 for what is not finite, 0, and below the smallest normal float."""
        numbers = np.where(np.isfinite(values), values, 0).astype(np.float64)
        size = np.abs(numbers)
        mantissa, exponent = np.frexp(size)
        rest = np.maximum(2 * mantissa - 1, 0)
        part = np.minimum((rest * _PARTS).astype(np.int64), _PARTS - 1)
        within = np.minimum(np.floor((rest - part / _PARTS) / self._widths[part]), self._counts[part] - 1)
        found = 1 + (exponent - 1.0 - self._first) * self._before[-1] + self._before[part] + within
        found = np.where(exponent - 1 < self._first, 0, found) + self._exact
        if self._whole:
            found = np.where(size < self._exact, size, found)
        else:
            found[size == 0] = 0
        return np.copysign(np.minimum(found, LARGEST), numbers)

    def values(self, numbers: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return the centres of cells, of `dtype`."""
        size = np.abs(numbers)
        cell = np.maximum(size - self._exact - 1, 0)
        octave = np.floor(cell / self._before[-1])
        rest = cell - octave * self._before[-1]
        part = np.minimum(np.searchsorted(self._before, rest, "right") - 1, _PARTS - 1)
        mantissa = self._starts[part] + (rest - self._before[part] + 0.5) * self._widths[part]
        found = np.ldexp(mantissa, (octave + self._first).astype(np.int64).clip(-2000, 2000).astype(np.int32))
        found = np.where(size <= self._exact, size, found) if self._whole else np.where(size == 0, 0, found)
        found = np.copysign(found, numbers)
        if dtype.kind != "f":
            limits = np.iinfo(dtype)
            found = np.clip(np.rint(found), limits.min, limits.max)
        return found.astype(dtype)
