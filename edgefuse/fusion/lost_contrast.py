"""Finds where a fused picture loses the contrast of the infrared frame, on three scales, at an eighth of the frame's size.

The contrast of a cell is d / (s + 4). d is the difference between the mean of a centre of 1, 3 or 5 cells along each axis and the mean of
the ring around it, which fills a box of 5, 7 or 9; s is the ring's standard deviation; both in levels. C is the contrast in the infrared
frame, K that in the picture, and `keep` the share of the contrast that is enough. The lost contrast is

    L = min(C, 2) clip(4 (keep - K / C)) clip((d - 15) / 10),     each clip to [0, 1]

in 127ths, rounded down. It counts for the whole box, so a cell gets the largest L of all boxes that contain it (`largest`). Sums are exact
integers, and the order of the float32 operations is fixed, without fused multiply-adds, so that `NumpyLostContrast` and
`CompiledLostContrast` (lost_contrast.c) give the same bits on every machine.
"""

from __future__ import annotations

import ctypes
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefuse.util import compiled
from edgefuse.util.arrays import Float32Array, UInt8Array

SCALES = ((1, 5), (3, 7), (5, 9))  # sides of centre and box, in cells
STEPS = 127  # the value that stands for a lost contrast of 1
MOST = 2.0  # contrasts are limited to this, so that a value fits into a byte
_DIFFERENCE, _RISE, _SLOPE, _NOISE = 15.0, 10.0, 4.0, 4.0
_KERNELS = [np.ones((box, box), np.uint8) for _, box in SCALES]
_BORDER = 4  # cells by which the widest box extends beyond the frame, whose edge is repeated


class LostContrast(Protocol):
    """Computes the lost contrast of pictures of one size."""

    def __init__(self, shape: tuple[int, int]) -> None:
        """shape: (rows, columns) of both pictures."""

    def planes(self, infrared: UInt8Array, fused: UInt8Array, keep: float) -> list[UInt8Array]:
        """Return L for each scale, uint8 of `shape`; overwritten by the next call. Arguments: see `largest`."""


def best() -> type[LostContrast]:
    """Return the fastest implementation: the compiled one if the compiled core is there."""
    return CompiledLostContrast if compiled.library() else NumpyLostContrast


def largest(finder: LostContrast, infrared: UInt8Array, fused: UInt8Array, keep: float) -> UInt8Array:
    """Return for each cell the largest L of the boxes that contain it, uint8 in 127ths, of the shape of the pictures.

    infrared, fused: uint8 at an eighth of the size, contiguous. keep: share of the contrast that is enough, 0..1.
    """
    widened = [cv2.dilate(plane, kernel) for plane, kernel in zip(finder.planes(infrared, fused, keep), _KERNELS, strict=True)]
    return cv2.max(cv2.max(widened[0], widened[1], dst=widened[0]), widened[2], dst=widened[0])


class NumpyLostContrast:
    """Implements `LostContrast` with NumPy."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self._shape = shape

    def planes(self, infrared: UInt8Array, fused: UInt8Array, keep: float) -> list[UInt8Array]:
        sums = [_sums(picture) for picture in (infrared, fused)]
        return [self._plane(sums, centre, box, np.float32(keep)) for centre, box in SCALES]

    def _plane(self, sums: list[tuple[NDArray[np.int64], NDArray[np.int64]]], centre: int, box: int, keep: np.float32) -> UInt8Array:
        difference, contrast = _contrast(sums[0], centre, box, self._shape)
        _, kept = _contrast(sums[1], centre, box, self._shape)
        rise = np.minimum((difference - np.float32(_DIFFERENCE)) * np.float32(1 / _RISE), np.float32(1))
        standing = rise > 0
        ratio = np.divide(kept, contrast, out=np.zeros_like(kept), where=standing)
        missing = np.clip((keep - ratio) * np.float32(_SLOPE), np.float32(0), np.float32(1))
        value = np.minimum(contrast, np.float32(MOST)) * missing * rise * np.float32(STEPS)
        return np.where(standing, value, 0).astype(np.uint8)


def _sums(picture: UInt8Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the integral images of the picture and of its squares; the edge is repeated by `_BORDER` cells on each side."""
    whole = np.pad(picture.astype(np.int64), _BORDER, mode="edge")
    return tuple(np.pad(x, ((1, 0), (1, 0))).cumsum(0).cumsum(1) for x in (whole, whole * whole))  # type: ignore[return-value]


def _box(sums: NDArray[np.int64], size: int, shape: tuple[int, int]) -> NDArray[np.int64]:
    """Return the sum over `size` x `size` cells around each cell, from an integral image."""
    first = _BORDER - size // 2
    y, x = slice(first, first + shape[0]), slice(first, first + shape[1])
    below, right = slice(y.start + size, y.stop + size), slice(x.start + size, x.stop + size)
    return sums[below, right] - sums[y, right] - sums[below, x] + sums[y, x]


def _contrast(
    sums: tuple[NDArray[np.int64], NDArray[np.int64]], centre: int, box: int, shape: tuple[int, int]
) -> tuple[Float32Array, Float32Array]:  # fmt: skip
    """Return d and d / (s + 4) of each cell, from the integral images of `_sums`."""
    cells = centre * centre
    ring = box * box - cells
    middle = _box(sums[0], centre, shape)
    around = _box(sums[0], box, shape) - middle
    squares = _box(sums[1], box, shape) - _box(sums[1], centre, shape)
    difference = (middle * ring - around * cells).astype(np.float32) * (np.float32(1) / np.float32(ring * cells))
    deviation = np.sqrt((squares * ring - around * around).astype(np.float32)) * (np.float32(1) / np.float32(ring))
    return difference, difference / (deviation + np.float32(_NOISE))


class CompiledLostContrast:
    """Implements `LostContrast` with the compiled core."""

    def __init__(self, shape: tuple[int, int]) -> None:
        library = compiled.library()
        assert library is not None
        height, width = shape
        self._run = library.edgefuse_lost_contrast
        self._run.argtypes = [
            ctypes.c_void_p,
            ctypes.c_void_p,
            ctypes.c_int32,
            ctypes.c_int32,
            ctypes.c_float,
            ctypes.c_void_p,
            ctypes.c_void_p,
        ]
        self._shape = shape
        self._planes = np.empty((len(SCALES), *shape), np.uint8)
        self._scratch = np.empty(4 * (height + 2 * _BORDER + 1) * (width + 2 * _BORDER + 1) + width, np.int32)

    def planes(self, infrared: UInt8Array, fused: UInt8Array, keep: float) -> list[UInt8Array]:
        planes, scratch = self._planes.ctypes.data, self._scratch.ctypes.data
        self._run(infrared.ctypes.data, fused.ctypes.data, *self._shape, keep, planes, scratch)
        return list(self._planes)
