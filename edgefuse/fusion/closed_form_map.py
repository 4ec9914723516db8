"""Computes the blending map M in closed form: the frame that differs more from its mean and varies more locally gets the larger share.

A and B are the visible and the infrared luma at an eighth of the size, 0..255; sigma is the standard deviation over 5 x 5 cells:

    M = blur(sigmoid(0.744 |A - mean A| - 1.053 |B - mean B| + 0.887 sigma_A - 1.778 sigma_B - 1.045))

blur is the mean over 13 x 13 cells, applied twice; frames are mirrored about their edge pixels. The result is scaled to [0.10, 0.97]. The
wide blur avoids visible borders that the scene does not have. Source: EdgeFuse; tools/mobilefuse/fit_map.py fitted the constants on
RoadScene and MSRS.

sigmoid(z) is computed as (1 + tanh(z / 2)) / 2, with a rational tanh (error below 1e-4), in 65535ths. Sums are exact integers, and the
order of the float32 operations is fixed, so `NumpyClosedForm` and `CompiledClosedForm` (closed_form_map.c) give the same bits on every
machine.
"""

from __future__ import annotations

import ctypes
from typing import Protocol

import numpy as np

from edgefuse.fusion.boxes import box_sums
from edgefuse.util import compiled
from edgefuse.util.arrays import Float32Array, UInt8Array

DEPARTURE, DEVIATION, BIAS = (0.744, 1.053), (0.887, 1.778), -1.045
WINDOW, BLUR = (5, 5), (13, 13)
# range of the map: both frames always contribute
SHARES = (0.10, 0.97)
_ONE = 65535  # a share of 1
_LARGEST = np.float32(4.97)  # the rational tanh reaches 1 here


class ClosedForm(Protocol):
    """Computes maps of one size."""

    def __init__(self, shape: tuple[int, int]) -> None:
        """shape: (rows, columns) of an eighth of the padded frame."""

    def __call__(self, visible: UInt8Array, infrared: UInt8Array) -> Float32Array:
        """Return the visible frame's share, a new float32 array in [0.10, 0.97]. visible, infrared: uint8 of `shape`, contiguous."""


def best() -> type[ClosedForm]:
    """Return the fastest implementation: the compiled one if the compiled core is there."""
    return CompiledClosedForm if compiled.library() else NumpyClosedForm


class NumpyClosedForm:
    """Implements `ClosedForm` with NumPy."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self._shape = shape

    def __call__(self, visible: UInt8Array, infrared: UInt8Array) -> Float32Array:
        z = _standing_out(visible, DEPARTURE[0], DEVIATION[0]) - _standing_out(infrared, DEPARTURE[1], DEVIATION[1])
        half = np.clip((z + np.float32(BIAS)) * np.float32(0.5), -_LARGEST, _LARGEST)
        share = ((_rational_tanh(half) + np.float32(1)) * np.float32(_ONE / 2) + np.float32(0.5)).astype(np.int64)
        sums = box_sums(box_sums(share, BLUR[0]), BLUR[0])
        low, span = np.float32(SHARES[0]), np.float32(SHARES[1]) - np.float32(SHARES[0])
        scaled: Float32Array = sums.astype(np.float32) * (span / (np.float32(_ONE) * np.float32(BLUR[0] ** 4))) + low
        return scaled


def _standing_out(image: UInt8Array, departure: float, deviation: float) -> Float32Array:
    """Return departure |x - mean x| + deviation sigma(x) of an image, float32 (H, W)."""
    whole = image.astype(np.int64)
    mean = np.float32(whole.sum()) / np.float32(image.size)
    side = WINDOW[0]
    sums, squares = box_sums(whole, side), box_sums(whole * whole, side)
    sigma = np.sqrt((squares * side * side - sums * sums).astype(np.float32)) * np.float32(1 / side**2)
    away: Float32Array = np.float32(departure) * np.abs(image.astype(np.float32) - mean)
    return away + np.float32(deviation) * sigma


def _rational_tanh(x: Float32Array) -> Float32Array:
    """Approximate tanh to 1e-4 by its continued fraction; |x| at most 4.97."""
    s = x * x
    above = ((s + np.float32(378)) * s + np.float32(17325)) * s + np.float32(135135)
    below = ((np.float32(28) * s + np.float32(3150)) * s + np.float32(62370)) * s + np.float32(135135)
    return x * above / below


class _Constants(ctypes.Structure):
    """Mirrors `Constants` of closed_form_map.c, field by field."""

    _fields_ = [
        *((name, ctypes.c_float * 2) for name in ("departure", "deviation")),
        *((name, ctypes.c_float) for name in ("bias", "low", "span")),
    ]


class CompiledClosedForm:
    """Implements `ClosedForm` with the compiled core."""

    def __init__(self, shape: tuple[int, int]) -> None:
        library = compiled.library()
        assert library is not None
        self._run, self._shape = library.edgefuse_closed_form, shape
        self._run.argtypes = (*(ctypes.c_void_p,) * 2, *(ctypes.c_int32,) * 2, *(ctypes.c_void_p,) * 3)
        span = float(np.float32(SHARES[1]) - np.float32(SHARES[0]))
        self._constants = _Constants(DEPARTURE, DEVIATION, BIAS, SHARES[0], span)
        self._scratch = np.empty(2 * shape[0] * shape[1] + 2 * (shape[1] + BLUR[1] - 1), np.uint32)

    def __call__(self, visible: UInt8Array, infrared: UInt8Array) -> Float32Array:
        out = np.empty(self._shape, np.float32)
        pointers = visible.ctypes.data, infrared.ctypes.data
        self._run(*pointers, *self._shape, ctypes.addressof(self._constants), out.ctypes.data, self._scratch.ctypes.data)
        return out
