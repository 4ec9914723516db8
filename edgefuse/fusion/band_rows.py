"""Blends rows at full resolution: enlarges the fused smaller bands, adds the details chosen by sign, restores the colour.

`NumpyRows` is the reference in NumPy and OpenCV; `CompiledRows` (band_rows.c) does the same in one pass, bit for bit. All arithmetic is
saturating 8-bit arithmetic. `edgefuse.fusion.band_blend` has the equations.
"""

from __future__ import annotations

import ctypes
import functools
from typing import NamedTuple, Protocol

import cv2
import numpy as np

from edgefuse.util import compiled
from edgefuse.util.arrays import UInt8Array

CHROMA = 128  # chroma weight 1.0; the largest scale with which chroma times weight fits into 16 bits
_MARGIN = 4  # rows that interpolation needs above and below a strip: one row of the smaller band, enlarged


class Bands(NamedTuple):
    """The smaller bands that rows are computed from; all uint8, contiguous, of one shape."""

    small_visible: UInt8Array
    """The visible luma reduced by `factor`."""
    small_infrared: UInt8Array
    """The infrared frame reduced by `factor`."""
    small_fused: UInt8Array
    """The fused luma reduced by `factor`."""
    factor: int
    """Reduction along each axis: 2 or 4."""


class BlendInputs(NamedTuple):
    """Arrays and options of one pair."""

    visible: UInt8Array
    """Visible luma, uint8 (h, w), contiguous."""
    infrared: UInt8Array
    """Infrared frame, uint8 (h, w), contiguous."""
    out: UInt8Array
    """Receives the picture: uint8 (H, W), or (H, W, 3) BGR if `bgr` is given; H <= h, W <= w."""
    bgr: UInt8Array | None = None
    """The visible frame in colour, uint8 (H, W, 3) BGR; None: the picture is grey."""
    chroma: int = CHROMA
    """Weight of the visible chroma in 128ths, 0 to 128."""
    weights: tuple[UInt8Array | None, UInt8Array | None] = (None, None)
    """Weights of the visible and of the infrared details in 255ths, uint8, of the shape of the smaller bands; None: weight 1."""
    gain: int = 0
    """Sharpening: 16ths of a detail's levels above `core` that are added to it, 0 to 16."""
    core: int = 0
    """Levels of a detail that are not amplified, so that noise is not sharpened."""
    noise: int = 0
    """Noise threshold in levels: smaller deviations of the chosen detail from the mean of both details are dropped."""


class Rows(Protocol):
    """Blends pairs of one size, some rows at a time."""

    def __init__(self, bands: Bands, rows: int, threads: int) -> None:
        """rows: maximum number of rows per call of `blend`. threads: number of threads that call `blend` at the same time."""

    def begin(self, frame: BlendInputs) -> None:
        """Set the next pair. The contents of `bands` are not read before `blend`."""

    def blend(self, top: int, bottom: int, thread: int) -> None:
        """Write rows `top` (a multiple of the factor) to `bottom` of the pair's `out`. thread: number of the calling thread, from 0."""


def best() -> type[Rows]:
    """Return the fastest implementation: the compiled one if the compiled core is there."""
    return CompiledRows if compiled.library() else NumpyRows


class NumpyRows:
    """Implements `Rows` with NumPy and OpenCV."""

    def __init__(self, bands: Bands, rows: int, threads: int) -> None:
        self._bands = bands
        self._width = bands.small_visible.shape[1] * bands.factor
        self._scratch = [[np.empty((rows + 2 * _MARGIN, self._width), np.uint8) for _ in range(10)] for _ in range(threads)]
        self._colours: list[list[UInt8Array]] = [[] for _ in range(threads)]

    def begin(self, frame: BlendInputs) -> None:
        self._frame = frame

    def blend(self, top: int, bottom: int, thread: int) -> None:
        f, bands, planes = self._frame, self._bands, self._scratch[thread]
        # enlarge whole rows of the smaller bands
        end = -(-bottom // bands.factor) * bands.factor
        parts = [plane[: end - top] for plane in planes[:6]]
        visible = f.visible[top:end], enlarged(bands.small_visible, top, end, bands.factor, planes[6])
        infrared = f.infrared[top:end], enlarged(bands.small_infrared, top, end, bands.factor, planes[7])
        weights = [None if w is None else enlarged(w, top, end, bands.factor, planes[8 + k]) for k, w in enumerate(f.weights)]
        positive, negative = select(visible, infrared, (weights[0], weights[1]), Strength(f.gain, f.core, f.noise), parts)
        fused = enlarged(bands.small_fused, top, end, bands.factor, planes[6])
        cv2.add(fused, positive, dst=fused)
        cv2.subtract(fused, negative, dst=fused)
        out = f.out[top:bottom]
        keep = (slice(0, len(out)), slice(0, out.shape[1]))
        if f.bgr is None:
            np.copyto(out, fused[keep])
            return
        if not self._colours[thread]:
            self._colours[thread] = [np.empty((planes[0].shape[0], out.shape[1], 3), np.uint8) for _ in range(3)]
        join(f.bgr[top:bottom], fused[keep], f.chroma, self._colours[thread], out)


class _Job(ctypes.Structure):
    """Mirrors `Job` of band_rows.c, field by field."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("visible", "infrared", "small_visible", "small_infrared", "small_fused")),
        *((name, ctypes.c_void_p) for name in ("visible_weights", "infrared_weights")),
        *((name, ctypes.c_void_p) for name in ("bgr", "out")),
        *((name, ctypes.c_int64) for name in ("bgr_stride", "out_stride")),
        *((name, ctypes.c_int32) for name in ("height", "width", "out_width", "factor", "noise", "gain", "core")),
        *((name, ctypes.c_int32) for name in ("chroma", "blue", "green", "red")),
    ]


class CompiledRows:
    """Implements `Rows` with the compiled core."""

    def __init__(self, bands: Bands, rows: int, threads: int) -> None:
        library = compiled.library()
        assert library is not None
        self._run, self._bands = library.edgefuse_band_rows, bands
        self._run.argtypes = ctypes.c_void_p, ctypes.c_int32, ctypes.c_int32, ctypes.c_void_p
        height, width = (n * bands.factor for n in bands.small_visible.shape)
        self._job = _Job(height=height, width=width, factor=bands.factor)
        for name in ("small_visible", "small_infrared", "small_fused"):
            setattr(self._job, name, getattr(bands, name).ctypes.data)
        self._scratch = [np.empty(library.edgefuse_band_scratch(width), np.uint8) for _ in range(threads)]
        self._pointers = [s.ctypes.data for s in self._scratch]

    def begin(self, frame: BlendInputs) -> None:
        job, bgr, out = self._job, frame.bgr, frame.out
        if bgr is not None and bgr.strides[1:] != (3, 1):
            bgr = np.ascontiguousarray(bgr)
        self._frame = frame, bgr  # keep the arrays alive
        job.visible, job.infrared, job.out = frame.visible.ctypes.data, frame.infrared.ctypes.data, out.ctypes.data
        job.out_stride, job.out_width = out.strides[0], out.shape[1]
        job.bgr, job.bgr_stride = (None, 0) if bgr is None else (bgr.ctypes.data, bgr.strides[0])
        weights = [None if w is None else w.ctypes.data for w in frame.weights]
        job.visible_weights, job.infrared_weights = weights
        job.noise, job.gain, job.core, job.chroma = frame.noise, frame.gain, frame.core, frame.chroma
        job.blue, job.green, job.red = luma_parts(frame.chroma)

    def blend(self, top: int, bottom: int, thread: int) -> None:
        self._run(ctypes.addressof(self._job), top, bottom, self._pointers[thread])


@functools.cache
def exact(factor: int) -> int:
    """Return OpenCV's interpolation flag that enlarges `factor` times with exact bilinear weights.

    On ARM the faster INTER_LINEAR gives the same bits as INTER_LINEAR_EXACT, in a quarter of the time.
    """
    # without numpy.random, which would cost a run two megabytes
    probe = (np.arange(256) ** 3 * 167 % 251).astype(np.uint8).reshape(16, 16)
    usual, named = (cv2.resize(probe, None, fx=factor, fy=factor, interpolation=m) for m in (cv2.INTER_LINEAR, cv2.INTER_LINEAR_EXACT))
    return cv2.INTER_LINEAR if np.array_equal(usual, named) else cv2.INTER_LINEAR_EXACT


def enlarged(small: UInt8Array, top: int, bottom: int, factor: int, out: UInt8Array) -> UInt8Array:
    """Return rows `top` to `bottom` (multiples of `factor`) of `small`, enlarged `factor` times (bilinear), as a view into `out`."""
    first, last = max(0, top // factor - 1), min(small.shape[0], bottom // factor + 1)
    whole = out[: (last - first) * factor]
    cv2.resize(small[first:last], (whole.shape[1], whole.shape[0]), dst=whole, interpolation=exact(factor))
    begin = top - first * factor
    return whole[begin : begin + bottom - top]


class Strength(NamedTuple):
    """Sharpening and noise threshold of the details. gain, core, noise: as in `BlendInputs`."""

    gain: int = 0
    core: int = 0
    noise: int = 0


def strengthen(detail: UInt8Array, gain: int, core: int) -> None:
    """Amplify a detail in place: add gain / 16 of its levels above `core`, rounded down, saturated."""
    if gain:
        more = cv2.subtract(detail, np.full_like(detail, core)).astype(np.uint16)
        cv2.add(detail, (more * np.uint16(gain) >> np.uint16(4)).astype(np.uint8), dst=detail)


def weigh(detail: UInt8Array, weight: UInt8Array) -> None:
    """Multiply a detail by a weight in 255ths, in place, rounded to nearest."""
    product = detail.astype(np.uint16) * weight + np.uint16(128)
    # (n + n / 256) / 256 equals n / 255 for all n = product of two bytes + 128
    np.copyto(detail, product + (product >> np.uint16(8)) >> np.uint16(8), casting="unsafe")


def select(
    visible: tuple[UInt8Array, UInt8Array], infrared: tuple[UInt8Array, UInt8Array],
    weights: tuple[UInt8Array | None, UInt8Array | None], how: Strength, scratch: list[UInt8Array],
) -> tuple[UInt8Array, UInt8Array]:  # fmt: skip
    """Choose a detail by sign, and return its (positive, negative) part: planes of `scratch`, one of which is 0 at each pixel.

    visible, infrared: (frame, its enlarged smaller band), uint8. weights: of the visible and the infrared detail, in 255ths, of the
    frame's shape, or None. scratch: six planes of that shape.
    """
    a, b, c, d, e, f = scratch[:6]
    for (source, base), weight, positive, negative in ((visible, weights[0], a, b), (infrared, weights[1], c, d)):
        cv2.subtract(source, base, dst=positive)
        cv2.subtract(base, source, dst=negative)
        if weight is not None:
            weigh(positive, weight)
            weigh(negative, weight)
    if how.noise:
        cv2.min(a, c, dst=e)
        cv2.min(b, d, dst=f)
    cv2.max(a, c, dst=a)
    cv2.max(b, d, dst=b)
    cv2.subtract(a, b, dst=c)
    cv2.subtract(b, a, dst=d)
    for chosen, smaller in ((c, e), (d, f)):
        if how.noise:
            # subtract the excess over the mean of both details, (chosen - smaller) / 2, but at most `noise`
            cv2.subtract(chosen, smaller, dst=smaller)
            np.right_shift(smaller, 1, out=smaller)
            np.minimum(smaller, np.uint8(how.noise), out=smaller)
            cv2.subtract(chosen, smaller, dst=chosen)
        strengthen(chosen, how.gain, how.core)
    return c, d


def luma_parts(chroma: int) -> tuple[int, int, int]:
    """Return the weights of blue, green and red in luma, scaled to a sum of `chroma` 128ths; integers, so that grey stays grey."""
    blue, red = round(0.114 * chroma), round(0.299 * chroma)
    return blue, chroma - blue - red, red


def join(bgr: UInt8Array, fused: UInt8Array, chroma: int, scratch: list[UInt8Array], out: UInt8Array) -> None:
    """Write BGR = fused luma + chroma / 128 (visible BGR - visible luma) to `out`, saturated.

    bgr, out: uint8 (H, W, 3). fused: uint8 (H, W). scratch: three uint8 arrays of at least (H, W, 3).
    """
    more, less, three = (s[: len(fused)] for s in scratch)
    matrix = np.zeros((3, 4), np.float32)
    matrix[:, :3] = (np.eye(3) * chroma - luma_parts(chroma)) / CHROMA
    # halfway between two 128ths, because OpenCV rounds halves differently from build to build
    matrix[:, 3] = 1 / 512
    cv2.transform(bgr, matrix, dst=more)
    matrix[:, :3] *= -1
    cv2.transform(bgr, matrix, dst=less)
    cv2.merge((fused, fused, fused), dst=three)
    cv2.add(three, more, dst=three)
    cv2.subtract(three, less, dst=out)
