"""Computes the mask of targets and blends them into the fused frame; `edgefuse.fusion.targets` explains the steps.

Sums are exact integers and the order of the float32 operations is fixed, so `NumpySteps` and `CompiledSteps` (target_steps.c) give the same
bits.
"""

from __future__ import annotations

import ctypes
from typing import NamedTuple, Protocol

import cv2
import numpy as np

from edgefuse.fusion.boxes import box_sums
from edgefuse.util import compiled
from edgefuse.util.arrays import Float32Array, UInt8Array

AROUND = 25  # side in cells of the window over which brightness is matched
SPREAD = 5  # side in cells of the window in which the patch must not saturate


class Gate(NamedTuple):
    """Parameters that turn lost contrast into the mask."""

    budget: int
    """Maximum number of cells in the mask."""
    begin: float
    """Smallest lost contrast where the mask begins, in 127ths."""
    width: float
    """Lost contrast above the beginning at which the mask is 1, in 127ths."""
    evidence: float
    """The network's evidence, 0..1, where its factor begins to rise from 0."""
    rise: float
    """Slope of the factor, which is 1 from `evidence` + 1 / `rise` on."""


class Strength(NamedTuple):
    """Parameters of blending targets into the fused frame."""

    edge: float
    """The guided filter's epsilon, in levels squared: larger variances count as edges."""
    base: float
    """Weight of the patch, 0..1."""
    detail: float
    """Reduction of the visible details' weight around a warm object, 0..1."""
    own_detail: float
    """Reduction of the visible details' weight on a warm object, 0..1."""
    warm: float
    """Levels above the surroundings where a cell begins to count as part of the warm object."""
    ramp: float
    """Levels above `warm` from which it counts fully."""
    flatter: float
    """Factor of the infrared frame's differences from its local mean in the patch, up to `warm`."""
    brighter: float
    """Factor of the difference above `warm`."""
    brightest: float
    """Largest level that matching the brightness may cause, 0..255."""


class Steps(Protocol):
    """Computes masks and blends targets, for pairs of one size."""

    def __init__(self, shape: tuple[int, int], gate: Gate, strength: Strength) -> None:
        """shape: (rows, columns) of an eighth of the padded frame."""

    def mask(self, lost: UInt8Array, evidence: Float32Array | None) -> Float32Array:
        """Return the mask, a new float32 array in [0, 1] of `shape`.

        lost: lost contrast in 127ths, uint8. evidence: float32 in [0, 1], or None. Both of `shape`, contiguous.
        """

    def pull(
        self, mask: Float32Array, infrared: UInt8Array, base: UInt8Array, quarter: UInt8Array, fused: UInt8Array
    ) -> tuple[Float32Array, UInt8Array]:  # fmt: skip
        """Blend the patch into `fused` in place. Arguments and results: see `TargetBlend.apply`; all arrays are contiguous."""


def best() -> type[Steps]:
    """Return the fastest implementation: the compiled one if the compiled core is there."""
    return CompiledSteps if compiled.library() else NumpySteps


class NumpySteps:
    """Implements `Steps` with NumPy and OpenCV."""

    def __init__(self, shape: tuple[int, int], gate: Gate, strength: Strength) -> None:
        self._gate, self._strength = gate, strength

    def mask(self, lost: UInt8Array, evidence: Float32Array | None) -> Float32Array:
        gate = self._gate
        above = lost.size - np.cumsum(np.bincount(lost.ravel(), minlength=256))
        begin = np.float32(max(gate.begin, int(np.argmax(above <= gate.budget))))
        mask = _share((lost.astype(np.float32) - begin) * np.float32(1 / gate.width))
        if evidence is not None:
            mask = mask * _share((evidence - np.float32(gate.evidence)) * np.float32(gate.rise))
        return _mean_of_nine(mask)

    def pull(
        self, mask: Float32Array, infrared: UInt8Array, base: UInt8Array, quarter: UInt8Array, fused: UInt8Array
    ) -> tuple[Float32Array, UInt8Array]:  # fmt: skip
        s = self._strength
        slope, offset = _guided(mask, infrared, np.float32(s.edge))
        level, around = self._levels(base, infrared)
        own, now = quarter.astype(np.float32), fused.astype(np.float32)
        drawn = _share(_enlarged(slope) * own + _enlarged(offset))
        excess = own - _enlarged(around)
        above = np.maximum(excess - np.float32(s.warm), np.float32(0))
        structure = excess * np.float32(s.flatter) + above * np.float32(s.brighter - s.flatter)
        patch = np.clip(_enlarged(level) + structure, np.float32(0), np.float32(255))
        body = np.minimum(above * np.float32(1 / s.ramp), np.float32(1))
        np.copyto(fused, ((patch - now) * drawn * np.float32(s.base) + now) + np.float32(0.5), casting="unsafe")
        less = (body * np.float32(255 * (s.own_detail - s.detail)) + np.float32(255 * s.detail)) * drawn + np.float32(0.5)
        return drawn, less.astype(np.uint8)

    def _levels(self, base: UInt8Array, infrared: UInt8Array) -> tuple[Float32Array, Float32Array]:
        """Return the brightness that the patch has around a target, and the infrared frame's mean around each cell, in levels."""
        own, fused = (box_sums(x.astype(np.int64), AROUND).astype(np.float32) * np.float32(1 / AROUND**2) for x in (infrared, base))
        hottest = cv2.dilate(infrared, np.ones((SPREAD, SPREAD), np.uint8)).astype(np.float32)
        return np.minimum(fused, (np.float32(self._strength.brightest) - hottest) + own), own


def _share(x: Float32Array) -> Float32Array:
    return np.clip(x, np.float32(0), np.float32(1))


def _mean_of_nine(x: Float32Array) -> Float32Array:
    """Return the mean over 3 x 3 cells; the edge is repeated."""
    wide = np.pad(x, ((1, 1), (0, 0)), "edge")
    column = np.pad((wide[:-2] + wide[1:-1]) + wide[2:], ((0, 0), (1, 1)), "edge")
    mean: Float32Array = ((column[:, :-2] + column[:, 1:-1]) + column[:, 2:]) * np.float32(1 / 9)
    return mean


def _guided(mask: Float32Array, infrared: UInt8Array, edge: np.float32) -> tuple[Float32Array, Float32Array]:
    """Return slope and offset of the guided filter, averaged over 3 x 3 cells. edge: the filter's epsilon."""
    guide: Float32Array = infrared.astype(np.float32)
    squares: Float32Array = guide * guide
    products: Float32Array = guide * mask
    mean_guide, mean_mask, product, square = _mean_of_nine(guide), _mean_of_nine(mask), _mean_of_nine(products), _mean_of_nine(squares)
    variance: Float32Array = np.add(square - mean_guide * mean_guide, edge, dtype=np.float32)
    own: Float32Array = np.divide(product - mean_guide * mean_mask, variance, dtype=np.float32)
    return _mean_of_nine(own), _mean_of_nine(mean_mask - own * mean_guide)


def _enlarged(small: Float32Array) -> Float32Array:
    """Enlarge a plane to twice its height and width, bilinear; the edge is repeated."""
    for axis in (0, 1):
        wide = np.pad(small, [(1, 1) if k == axis else (0, 0) for k in (0, 1)], "edge")
        count = small.shape[axis]
        middle = np.float32(0.75) * small
        parts = [middle + np.float32(0.25) * np.take(wide, np.arange(first, first + count), axis) for first in (0, 2)]
        shape = [2 * n if k == axis else n for k, n in enumerate(small.shape)]
        small = np.stack(parts, axis + 1).reshape(shape)
    return small


class _Pull(ctypes.Structure):
    """Mirrors `Pull` of target_steps.c, field by field."""

    _fields_ = [
        *((name, ctypes.c_int32) for name in ("height", "width")),
        *((name, ctypes.c_float) for name in ("edge", "base", "warm", "ramp", "flatter", "rise", "brightest", "detail")),
        ("own_more", ctypes.c_float),
    ]


class CompiledSteps:
    """Implements `Steps` with the compiled core."""

    def __init__(self, shape: tuple[int, int], gate: Gate, strength: Strength) -> None:
        library = compiled.library()
        assert library is not None
        self._shape, (height, width) = shape, shape
        self._mask, self._pull = library.edgefuse_target_mask, library.edgefuse_pull
        self._mask.argtypes = (*(ctypes.c_void_p,) * 2, *(ctypes.c_int32,) * 3, *(ctypes.c_float,) * 4, *(ctypes.c_void_p,) * 2)
        self._pull.argtypes = (ctypes.c_void_p,) * 9
        self._gate = gate.budget, gate.begin, 1 / gate.width, gate.evidence, gate.rise
        s = strength
        tone = s.warm, 1 / s.ramp, s.flatter, s.brighter - s.flatter, s.brightest
        details = 255 * s.detail, 255 * (s.own_detail - s.detail)
        self._job = _Pull(height, width, s.edge, s.base, *tone, *details)
        self._less = np.empty((2 * height, 2 * width), np.uint8)
        self._scratch = np.empty(9 * height * width + 16 * width + 64, np.float32)

    def mask(self, lost: UInt8Array, evidence: Float32Array | None) -> Float32Array:
        out = np.empty(self._shape, np.float32)
        given = None if evidence is None else evidence.ctypes.data
        self._mask(lost.ctypes.data, given, *self._shape, *self._gate, out.ctypes.data, self._scratch.ctypes.data)
        return out

    def pull(
        self, mask: Float32Array, infrared: UInt8Array, base: UInt8Array, quarter: UInt8Array, fused: UInt8Array
    ) -> tuple[Float32Array, UInt8Array]:  # fmt: skip
        drawn = np.empty(self._less.shape, np.float32)
        planes = (x.ctypes.data for x in (mask, infrared, base, quarter, fused, drawn, self._less, self._scratch))
        self._pull(ctypes.addressof(self._job), *planes)
        return drawn, self._less
