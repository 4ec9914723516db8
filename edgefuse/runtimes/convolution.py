"""2-D convolution of one picture, in NumPy and compiled (convolution.c), which is as fast as onnxruntime for small networks.

Both process strips of rows, so that their data stays in the cache, and distribute the strips over threads.
"""

from __future__ import annotations

import ctypes
import functools
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from edgefuse.util import compiled
from edgefuse.util.arrays import Float32Array
from edgefuse.util.blas import one_blas_thread

_STRIP_BYTES = 1 << 18  # size of a strip of inputs or outputs: three fit the L2 cache of a Cortex-A53 or a desktop core
# limits that keep every product in convolution.c within its type
MAX_CHANNELS, MAX_REACH, MAX_STRIDE, MAX_SIDE = 1 << 14, 1 << 8, 1 << 6, 1 << 20
_MAX_BYTES = 1 << 31  # of the output, and of a strip's scratch memory
_KEPT_BYTES = 1 << 20  # results up to this size reuse their memory in the next call


class Convolution:
    """Cross-correlation with zero padding of half the kernel, plus bias, then optionally ReLU; in NumPy."""

    def __init__(
        self, weight: Float32Array, bias: Float32Array, dilation: int = 1, stride: int = 1, groups: int = 1, relu: bool = False
    ) -> None:
        """weight: float32 (outputs, inputs / groups, kernel, kernel), kernel odd. bias: float32 (outputs,). groups: 1, or the number
        of inputs, which must equal that of outputs (depthwise).
        """
        self._weight, self._bias = weight, bias
        self._dilation, self._stride, self._groups, self._relu = dilation, stride, groups, relu
        self._outputs, self._kernel = weight.shape[0], weight.shape[2]
        self.inputs = weight.shape[1] * groups

    def __call__(self, x: Float32Array, pool: ThreadPoolExecutor | None = None) -> Float32Array:
        """x: float32 (inputs, H, W). Returns float32 (outputs, ceil(H / stride), ceil(W / stride))."""
        shape, rows = self._plan(x.shape)
        y, (_, height, width) = np.empty(shape, np.float32), shape
        filtered = _depthwise if self._groups > 1 else _dense
        reach, bias = self._dilation * (self._kernel // 2), self._bias[:, None, None]

        def strip(top: int) -> None:
            bottom = min(top + rows, height)
            first, last = top * self._stride, (bottom - 1) * self._stride + 1
            part = x[:, first:last] if reach == 0 else _padded(x, first, last, reach)
            out = filtered(part, self._weight, self._dilation, self._stride, bottom - top, width)
            out += bias
            if self._relu:
                np.maximum(out, 0, out=out)
            y[:, top:bottom] = out

        _each(strip, height, rows, pool)
        return y

    def _plan(self, shape: tuple[int, ...]) -> tuple[tuple[int, int, int], int]:
        """Return the output shape for an input shape, and the rows of a strip of the output."""
        height, width = (-(-n // self._stride) for n in shape[1:])
        if not all(1 <= n <= MAX_SIDE for n in shape[1:]) or 4 * self._outputs * height * width > _MAX_BYTES:
            raise ValueError(f"an input of {shape} is too large")
        rows = max(1, min(height, _STRIP_BYTES // (4 * width * max(self._outputs, self.inputs))))
        return (self._outputs, height, width), rows


def _each(strip: Callable[[int], None], height: int, rows: int, pool: ThreadPoolExecutor | None) -> None:
    """Call `strip(top)` for every `rows` of `height` rows, on the pool if there is one."""
    tops = range(0, height, rows)
    if pool and len(tops) > 1:
        list(pool.map(strip, tops))
    else:
        for top in tops:
            strip(top)


class _Job(ctypes.Structure):
    """`Convolution` of convolution.c, field by field."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("x", "weight", "bias", "y")),
        *((name, ctypes.c_int32) for name in ("inputs", "height", "width", "outputs", "out_height", "out_width")),
        *((name, ctypes.c_int32) for name in ("kernel", "dilation", "stride", "groups", "relu")),
    ]


class CompiledConvolution(Convolution):
    """The same, compiled; equal up to float32 rounding. The next call may overwrite the returned array."""

    _for: tuple[int, ...] = ()
    _kept: Float32Array | None = None

    def __call__(self, x: Float32Array, pool: ThreadPoolExecutor | None = None) -> Float32Array:
        library, x = _functions(), np.ascontiguousarray(x, np.float32)
        if x.shape != self._for:
            self._resize(x.shape)
        job, y = self._job, self._kept
        if y is None:
            y = np.empty(self._shape, np.float32)
            job.y = y.ctypes.data
        job.x = x.ctypes.data
        address, height, rows = ctypes.addressof(job), self._shape[1], self._rows

        def strip(top: int) -> None:
            scratch = self._scratch if pool is None else np.empty_like(self._scratch)
            library.edgefuse_convolution(address, top, min(top + rows, height), scratch.ctypes.data)

        _each(strip, height, rows, pool)
        return y

    def _resize(self, shape: tuple[int, ...]) -> None:
        self._for, (self._shape, self._rows) = shape, self._plan(shape)
        sizes = *shape, *self._shape
        options = self._kernel, self._dilation, self._stride, self._groups, self._relu
        self._job = _Job(None, self._weight.ctypes.data, self._bias.ctypes.data, None, *sizes, *options)
        scratch_bytes = _functions().edgefuse_convolution_scratch(ctypes.addressof(self._job), self._rows)
        if not 0 <= scratch_bytes <= _MAX_BYTES:
            self._for = ()
            raise ValueError(f"an input of {shape} is too large")
        self._scratch = np.empty(scratch_bytes, np.uint8)
        # a large buffer is freed between the steps instead, to save memory
        self._kept = np.empty(self._shape, np.float32) if 4 * math.prod(self._shape) <= _KEPT_BYTES else None
        self._job.y = None if self._kept is None else self._kept.ctypes.data


@functools.cache
def _functions() -> ctypes.CDLL:
    library = compiled.library()
    assert library is not None
    library.edgefuse_convolution.argtypes = ctypes.c_void_p, ctypes.c_int32, ctypes.c_int32, ctypes.c_void_p
    library.edgefuse_convolution_scratch.argtypes = ctypes.c_void_p, ctypes.c_int32
    library.edgefuse_convolution_scratch.restype = ctypes.c_int64
    return library


def best() -> type[Convolution]:
    """Return the compiled class if the compiled library is available, else the NumPy one."""
    return CompiledConvolution if compiled.library() else Convolution


def _padded(x: Float32Array, top: int, bottom: int, reach: int) -> Float32Array:
    """Return rows top - reach to bottom + reach of x with `reach` more columns on either side, zero-padded."""
    channels, height, width = x.shape
    part = np.zeros((channels, bottom - top + 2 * reach, width + 2 * reach), np.float32)
    first, last = max(0, top - reach), min(height, bottom + reach)
    part[:, first - top + reach : last - top + reach, reach : reach + width] = x[:, first:last]
    return part


def _depthwise(part: Float32Array, weight: Float32Array, dilation: int, stride: int, rows: int, width: int) -> Float32Array:
    channels, _, kernel, _ = weight.shape
    out = np.zeros((channels, rows, width), np.float32)
    product = np.empty_like(out)
    for dy in range(kernel):
        for dx in range(kernel):
            np.multiply(_tap(part, dy * dilation, dx * dilation, stride, rows, width), weight[:, 0, dy, dx, None, None], out=product)
            out += product
    return out


def _dense(part: Float32Array, weight: Float32Array, dilation: int, stride: int, rows: int, width: int) -> Float32Array:
    outputs, inputs, kernel, _ = weight.shape
    if kernel == 1 and stride == 1:
        columns = part.reshape(inputs, rows * width)
    else:
        taps = np.empty((inputs, kernel, kernel, rows, width), np.float32)
        for dy in range(kernel):
            for dx in range(kernel):
                taps[:, dy, dx] = _tap(part, dy * dilation, dx * dilation, stride, rows, width)
        columns = taps.reshape(inputs * kernel * kernel, rows * width)
    with one_blas_thread():
        return (weight.reshape(outputs, -1) @ columns).reshape(outputs, rows, width)


def _tap(part: Float32Array, y: int, x: int, stride: int, rows: int, width: int) -> Float32Array:
    """Return the input samples (channels, rows, width) under the kernel's tap (y, x) for all outputs; a view."""
    return part[:, y : y + (rows - 1) * stride + 1 : stride, x : x + (width - 1) * stride + 1 : stride]
