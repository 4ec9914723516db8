"""The arithmetic of the pull to targets: `NumpySteps` in NumPy and OpenCV, `CompiledSteps` (target_steps.c) to the same bits.

Float32 in one order, sums of integers exact. `edgefuse.fusion.targets` says what is computed, and why.
"""

from __future__ import annotations

import ctypes
from typing import NamedTuple, Protocol

import cv2
import numpy as np

from edgefuse.fusion.boxes import box_sums
from edgefuse.util import compiled
from edgefuse.util.arrays import Float32Array, UInt8Array

AROUND = 25  # cells that brightness is matched over, each way
SPREAD = 5  # cells, each way, in which the infrared frame must not saturate


class Gate(NamedTuple):
    """How the mask is made of what is lost."""

    budget: int
    """Cells that may be in the mask."""
    begin: float
    """Levels of what is lost where the mask begins, at least."""
    width: float
    """Levels further it is 1."""
    evidence: float
    """Evidence of the network from which its gate begins to open."""
    rise: float
    """How fast it does: 1 / rise further it is open."""


class Strength(NamedTuple):
    """How far the frame is pulled."""

    edge: float
    """Variance in levels that is an edge to the guided filter."""
    base: float
    """Share of the way to the patch."""
    detail: float
    """Share of the visible details that is taken away around a warm body."""
    own_detail: float
    """The same on the warm body itself."""
    warm: float
    """Levels above the surroundings from which a cell is of the warm body itself."""
    ramp: float
    """Levels further it is so for certain."""
    brighter: float
    """Share of the levels above `warm` that is added."""
    brightest: float
    """Level that the patch's warm parts stay below."""


class Steps(Protocol):
    def __init__(self, shape: tuple[int, int], gate: Gate, strength: Strength) -> None:
        """shape: (rows, columns) of an eighth of the padded frame."""

    def mask(self, found: UInt8Array, evidence: Float32Array | None) -> Float32Array:
        """The mask, float32 in [0, 1], the caller's. found: uint8; evidence: float32 in [0, 1], or None; all of `shape`, contiguous."""

    def pull(
        self, mask: Float32Array, infrared: UInt8Array, base: UInt8Array, quarter: UInt8Array, fused: UInt8Array
    ) -> tuple[Float32Array, UInt8Array]:  # fmt: skip
        """Pull `fused` in place; the mask drawn to edges (float32 in [0, 1], the caller's) and what visible details lose, in 255ths.

        mask, infrared, base: of `shape`; quarter: the infrared frame, and fused, twice as high and wide. All contiguous.
        """


def best() -> type[Steps]:
    """The compiled ones where there are any."""
    return CompiledSteps if compiled.library() else NumpySteps


class NumpySteps:
    def __init__(self, shape: tuple[int, int], gate: Gate, strength: Strength) -> None:
        self._gate, self._strength = gate, strength

    def mask(self, found: UInt8Array, evidence: Float32Array | None) -> Float32Array:
        gate = self._gate
        above = found.size - np.cumsum(np.bincount(found.ravel(), minlength=256))
        begin = np.float32(max(gate.begin, int(np.argmax(above <= gate.budget))))
        mask = _share((found.astype(np.float32) - begin) * np.float32(1 / gate.width))
        if evidence is not None:
            mask = mask * _share((evidence - np.float32(gate.evidence)) * np.float32(gate.rise))
        return _mean_of_nine(mask)

    def pull(
        self, mask: Float32Array, infrared: UInt8Array, base: UInt8Array, quarter: UInt8Array, fused: UInt8Array
    ) -> tuple[Float32Array, UInt8Array]:  # fmt: skip
        s = self._strength
        slope, offset = _guided(mask, infrared, np.float32(s.edge))
        shift, around = self._shift(base, infrared)
        own, now = quarter.astype(np.float32), fused.astype(np.float32)
        drawn = _share(_enlarged(slope) * own + _enlarged(offset))
        patch = np.clip(_enlarged(shift) + own, np.float32(0), np.float32(255))
        np.copyto(fused, ((patch - now) * drawn * np.float32(s.base) + now) + np.float32(0.5), casting="unsafe")
        body = _share(((own - _enlarged(around)) - np.float32(s.warm)) * np.float32(1 / s.ramp))
        more = np.float32(255 * (s.own_detail - s.detail))
        less = (body * more + np.float32(255 * s.detail)) * drawn + np.float32(0.5)
        return drawn, less.astype(np.uint8)

    def _shift(self, base: UInt8Array, infrared: UInt8Array) -> tuple[Float32Array, Float32Array]:
        """What is added to the infrared frame to make the patch, in levels; that frame's mean around each cell."""
        s = self._strength
        own, fused = (box_sums(x.astype(np.int64), AROUND).astype(np.float32) * np.float32(1 / AROUND**2) for x in (infrared, base))
        brighter = np.maximum((infrared.astype(np.float32) - own) - np.float32(s.warm), np.float32(0))
        room = np.float32(s.brightest) - cv2.dilate(infrared, np.ones((SPREAD, SPREAD), np.uint8)).astype(np.float32)
        return np.minimum(fused - own, room) + brighter * np.float32(s.brighter), own


def _share(x: Float32Array) -> Float32Array:
    return np.clip(x, np.float32(0), np.float32(1))


def _mean_of_nine(x: Float32Array) -> Float32Array:
    """The mean over 3 x 3, the edge repeated."""
    wide = np.pad(x, ((1, 1), (0, 0)), "edge")
    column = np.pad((wide[:-2] + wide[1:-1]) + wide[2:], ((0, 0), (1, 1)), "edge")
    mean: Float32Array = ((column[:, :-2] + column[:, 1:-1]) + column[:, 2:]) * np.float32(1 / 9)
    return mean


def _guided(mask: Float32Array, infrared: UInt8Array, edge: np.float32) -> tuple[Float32Array, Float32Array]:
    """Slope and offset of the guided filter, averaged."""
    guide: Float32Array = infrared.astype(np.float32)
    squares: Float32Array = guide * guide
    products: Float32Array = guide * mask
    mean_guide, mean_mask, product, square = _mean_of_nine(guide), _mean_of_nine(mask), _mean_of_nine(products), _mean_of_nine(squares)
    variance: Float32Array = np.add(square - mean_guide * mean_guide, edge, dtype=np.float32)
    own: Float32Array = np.divide(product - mean_guide * mean_mask, variance, dtype=np.float32)
    return _mean_of_nine(own), _mean_of_nine(mean_mask - own * mean_guide)


def _enlarged(small: Float32Array) -> Float32Array:
    """Twice as high and wide, bilinear, the edge repeated."""
    for axis in (0, 1):
        wide = np.pad(small, [(1, 1) if k == axis else (0, 0) for k in (0, 1)], "edge")
        count = small.shape[axis]
        middle = np.float32(0.75) * small
        parts = [middle + np.float32(0.25) * np.take(wide, np.arange(first, first + count), axis) for first in (0, 2)]
        shape = [2 * n if k == axis else n for k, n in enumerate(small.shape)]
        small = np.stack(parts, axis + 1).reshape(shape)
    return small


class _Pull(ctypes.Structure):
    """`Pull` of target_steps.c, field by field."""

    _fields_ = [
        *((name, ctypes.c_int32) for name in ("height", "width")),
        *((name, ctypes.c_float) for name in ("edge", "base", "warm", "ramp", "brighter", "brightest", "detail", "own_more")),
    ]


class CompiledSteps:
    def __init__(self, shape: tuple[int, int], gate: Gate, strength: Strength) -> None:
        library = compiled.library()
        assert library is not None
        self._shape, (height, width) = shape, shape
        self._mask, self._pull = library.edgefuse_target_mask, library.edgefuse_pull
        self._mask.argtypes = (*(ctypes.c_void_p,) * 2, *(ctypes.c_int32,) * 3, *(ctypes.c_float,) * 4, *(ctypes.c_void_p,) * 2)
        self._pull.argtypes = (ctypes.c_void_p,) * 9
        self._gate = gate.budget, gate.begin, 1 / gate.width, gate.evidence, gate.rise
        s = strength
        details = 255 * s.detail, 255 * (s.own_detail - s.detail)
        self._job = _Pull(height, width, s.edge, s.base, s.warm, 1 / s.ramp, s.brighter, s.brightest, *details)
        self._less = np.empty((2 * height, 2 * width), np.uint8)
        self._scratch = np.empty(9 * height * width + 16 * width + 64, np.float32)

    def mask(self, found: UInt8Array, evidence: Float32Array | None) -> Float32Array:
        out = np.empty(self._shape, np.float32)
        given = None if evidence is None else evidence.ctypes.data
        self._mask(found.ctypes.data, given, *self._shape, *self._gate, out.ctypes.data, self._scratch.ctypes.data)
        return out

    def pull(
        self, mask: Float32Array, infrared: UInt8Array, base: UInt8Array, quarter: UInt8Array, fused: UInt8Array
    ) -> tuple[Float32Array, UInt8Array]:  # fmt: skip
        drawn = np.empty(self._less.shape, np.float32)
        planes = (x.ctypes.data for x in (mask, infrared, base, quarter, fused, drawn, self._less, self._scratch))
        self._pull(ctypes.addressof(self._job), *planes)
        return drawn, self._less
