"""Order statistics of a tile's bands, and the search for pixels with an outlier: one pass over the samples each.

The compiled implementation (extremes.c) gives the same numbers.
"""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgefuse.util import compiled
from edgefuse.util.arrays import Float64Array

Array = NDArray[Any]
_COMPILED = "uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"
ISOLATED = 4.0  # distance of an outlier, as a multiple of what is usual in its pixel


class Usual(NamedTuple):
    """The usual range of each band; a sample's distance is |sample - middle| / half."""

    low: Float64Array
    """(B,), the limit below which a sample may be an outlier; -inf: unknown."""
    high: Float64Array
    """(B,), that above which it may be one; inf: unknown."""

    @property
    def middle(self) -> Float64Array:
        """(B,); NaN where unknown."""
        with np.errstate(invalid="ignore"):
            return np.asarray((self.low + self.high) / 2)

    @property
    def half(self) -> Float64Array:
        """(B,); inf where unknown."""
        return np.asarray((self.high - self.low) / 2)


def extremes(pixels: Array) -> tuple[Array, Array]:
    """Return the smallest and the largest sample of each band (B,) of pixels (n, B), n > 0; NaN where a band has a NaN."""
    if not (library := _library(pixels)):
        return pixels.min(0), pixels.max(0)
    low, high = np.empty((2, pixels.shape[1]), pixels.dtype)
    getattr(library, f"edgefuse_extremes_{pixels.dtype.name}")(*_sizes(pixels), _address(low), _address(high))
    return low, high


def tails(pixels: Array, number: int) -> tuple[Array, Array]:
    """Return per band (B,) the samples number `number`, from 0, in ascending and in descending order, of pixels (n, B) without NaN."""
    if not (library := _library(pixels)):
        ordered = np.partition(pixels, (number, len(pixels) - 1 - number), axis=0)
        return ordered[number], ordered[len(pixels) - 1 - number]
    lows, highs = np.zeros((2, number + 1, pixels.shape[1]), pixels.dtype)
    getattr(library, f"edgefuse_tails_{pixels.dtype.name}")(*_sizes(pixels), ctypes.c_int64(number + 1), _address(lows), _address(highs))
    return lows[number], highs[number]


def outlying(pixels: Array, limits: tuple[Array, Array], usual: Usual, number: int, certain: float) -> NDArray[np.intp]:
    """Return the indices of the pixels (n, B), without NaN, that have an outlier; without the compiled core, those that may have one.

    limits: the smallest and the largest sample (B,), of the pixels' type, that is certainly none. An outlier's distance exceeds 1, and
    either `certain` or `ISOLATED` times the pixel's distance number `number`, from 0, in ascending order; with a number of B or more only
    `certain` counts.
    """
    if not (library := _library(pixels)):
        return np.flatnonzero(((pixels < limits[0]) | (pixels > limits[1])).any(1))
    flags = np.empty(len(pixels), np.uint8)
    middle, half, distances = usual.middle, usual.half, np.empty(pixels.shape[1])
    getattr(library, f"edgefuse_outlying_{pixels.dtype.name}")(
        *_sizes(pixels), *map(_address, (*limits, middle, half)), ctypes.c_int64(number), ctypes.c_double(certain),
        _address(distances), _address(flags),
    )  # fmt: skip
    return np.flatnonzero(flags)


def _library(pixels: Array) -> ctypes.CDLL | None:
    return compiled.library() if pixels.dtype.name in _COMPILED and pixels.flags.c_contiguous and pixels.dtype.isnative else None


def _sizes(pixels: Array) -> tuple[ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64]:
    return _address(pixels), ctypes.c_int64(pixels.shape[0]), ctypes.c_int64(pixels.shape[1])


def _address(array: Array) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)
