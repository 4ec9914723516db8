"""Rows of the blend in bands: details chosen by sign, added to the smaller bands enlarged, and the colour given back.

`NumpyRows` says in NumPy and OpenCV what is done; `CompiledRows` does it in one pass, to the same bits (band_rows.c). All of it is
saturating 8-bit arithmetic.
"""

from __future__ import annotations

import ctypes
import functools
from typing import NamedTuple, Protocol

import cv2
import numpy as np

from edgefuse.util import compiled
from edgefuse.util.arrays import UInt8Array

CHROMA = 128  # a chroma weight of one: the most with which a chroma times its weight is a 16-bit number
_MARGIN = 4  # rows that interpolation adds to a strip above and below: a small one, enlarged


class Bands(NamedTuple):
    """What rows are made of; all uint8, contiguous, of one size."""

    small_visible: UInt8Array
    """The visible frame's smaller bands, reduced by `factor`."""
    small_infrared: UInt8Array
    small_fused: UInt8Array
    factor: int
    """2 or 4."""


class BlendInputs(NamedTuple):
    """What changes from pair to pair."""

    visible: UInt8Array
    """Luma, (h, w), contiguous, as the next."""
    infrared: UInt8Array
    out: UInt8Array
    """(H, W), or (H, W, 3) with `bgr`; H and W at most h and w."""
    bgr: UInt8Array | None = None
    """The visible frame in colour, (H, W, 3)."""
    chroma: int = CHROMA
    """How much of its chroma is kept, in 128ths."""
    weights: tuple[UInt8Array | None, UInt8Array | None] = (None, None)
    """Weights of the visible and of the infrared details, in 255ths, reduced by the factor, contiguous; None: full weight."""
    gain: int = 0
    """What is added to a detail, in 16ths of its levels above `core`: 0 to 16."""
    core: int = 0
    """The levels of a detail that get no gain: sharper noise is only more noise."""
    noise: int = 0
    """Up to so many levels of what the choice adds to the two details' mean are left out."""


class Rows(Protocol):
    def __init__(self, bands: Bands, rows: int, threads: int) -> None:
        """rows: the most that `blend` is asked for at a time."""

    def begin(self, frame: BlendInputs) -> None:
        """Take a pair in; what is in `bands` may still change until `blend`."""

    def blend(self, top: int, bottom: int, thread: int) -> None:
        """Make rows `top` (a multiple of the factor) to `bottom` of the pair's `out`, as thread number `thread`."""


def best() -> type[Rows]:
    """The compiled rows where there are any."""
    return CompiledRows if compiled.library() else NumpyRows


class NumpyRows:
    def __init__(self, bands: Bands, rows: int, threads: int) -> None:
        self._bands = bands
        self._width = bands.small_visible.shape[1] * bands.factor
        self._scratch = [[np.empty((rows + 2 * _MARGIN, self._width), np.uint8) for _ in range(10)] for _ in range(threads)]
        self._colours: list[list[UInt8Array]] = [[] for _ in range(threads)]

    def begin(self, frame: BlendInputs) -> None:
        self._frame = frame

    def blend(self, top: int, bottom: int, thread: int) -> None:
        f, bands, planes = self._frame, self._bands, self._scratch[thread]
        # enlarged in whole small rows
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
    """`Job` of band_rows.c, field by field."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("visible", "infrared", "small_visible", "small_infrared", "small_fused")),
        *((name, ctypes.c_void_p) for name in ("visible_weights", "infrared_weights")),
        *((name, ctypes.c_void_p) for name in ("bgr", "out")),
        *((name, ctypes.c_int64) for name in ("bgr_stride", "out_stride")),
        *((name, ctypes.c_int32) for name in ("height", "width", "out_width", "factor", "noise", "gain", "core")),
        *((name, ctypes.c_int32) for name in ("chroma", "blue", "green", "red")),
    ]


class CompiledRows:
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
        self._frame = frame, bgr  # kept alive
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
    """OpenCV's method to enlarge `factor` times, bilinear, to the bit. On ARM its usual one is, and costs a quarter of the named one."""
    probe = np.random.default_rng(0).integers(0, 256, (16, 16), dtype=np.uint8)
    usual, named = (cv2.resize(probe, None, fx=factor, fy=factor, interpolation=m) for m in (cv2.INTER_LINEAR, cv2.INTER_LINEAR_EXACT))
    return cv2.INTER_LINEAR if np.array_equal(usual, named) else cv2.INTER_LINEAR_EXACT


def enlarged(small: UInt8Array, top: int, bottom: int, factor: int, out: UInt8Array) -> UInt8Array:
    """Rows `top` to `bottom` (multiples of `factor`) of `small` enlarged `factor` times, bilinear; a view into `out`."""
    first, last = max(0, top // factor - 1), min(small.shape[0], bottom // factor + 1)
    whole = out[: (last - first) * factor]
    cv2.resize(small[first:last], (whole.shape[1], whole.shape[0]), dst=whole, interpolation=exact(factor))
    begin = top - first * factor
    return whole[begin : begin + bottom - top]


class Strength(NamedTuple):
    """gain, core, noise: as in `BlendInputs`."""

    gain: int = 0
    core: int = 0
    noise: int = 0


def strengthen(detail: UInt8Array, gain: int, core: int) -> None:
    """Add to `detail` `gain` 16ths of what it has above `core` levels, in place, rounded down, saturated."""
    if gain:
        more = cv2.subtract(detail, np.full_like(detail, core)).astype(np.uint16)
        cv2.add(detail, (more * np.uint16(gain) >> np.uint16(4)).astype(np.uint8), dst=detail)


def weigh(detail: UInt8Array, weight: UInt8Array) -> None:
    """`detail` times `weight` in 255ths, in place, rounded to nearest."""
    product = detail.astype(np.uint16) * weight + np.uint16(128)
    # n / 255 for all products of two bytes and a half
    np.copyto(detail, product + (product >> np.uint16(8)) >> np.uint16(8), casting="unsafe")


def select(
    visible: tuple[UInt8Array, UInt8Array], infrared: tuple[UInt8Array, UInt8Array],
    weights: tuple[UInt8Array | None, UInt8Array | None], how: Strength, scratch: list[UInt8Array],
) -> tuple[UInt8Array, UInt8Array]:  # fmt: skip
    """The chosen detail as (positive, negative) part, one of which is 0 at each pixel; both are planes of `scratch`.

    visible, infrared: (the source, its base enlarged). weights: of either source's detail, of its size, or None.
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
            # chosen less its excess over the mean, (chosen - smaller) / 2, or less `noise` where that excess is larger
            cv2.subtract(chosen, smaller, dst=smaller)
            np.right_shift(smaller, 1, out=smaller)
            np.minimum(smaller, np.uint8(how.noise), out=smaller)
            cv2.subtract(chosen, smaller, dst=chosen)
        strengthen(chosen, how.gain, how.core)
    return c, d


def luma_parts(chroma: int) -> tuple[int, int, int]:
    """What of blue, green and red makes the luma that a chroma of that weight is less of, in 128ths: whole, so that grey stays grey."""
    blue, red = round(0.114 * chroma), round(0.299 * chroma)
    return blue, chroma - blue - red, red


def join(bgr: UInt8Array, fused: UInt8Array, chroma: int, scratch: list[UInt8Array], out: UInt8Array) -> None:
    """BGR of the fused luma and the visible frame's chroma (BGR less luma): `chroma` 128ths of it."""
    more, less, three = (s[: len(fused)] for s in scratch)
    matrix = np.zeros((3, 4), np.float32)
    matrix[:, :3] = (np.eye(3) * chroma - luma_parts(chroma)) / CHROMA
    # between two 128ths: OpenCV rounds halves up here and to even there
    matrix[:, 3] = 1 / 512
    cv2.transform(bgr, matrix, dst=more)
    matrix[:, :3] *= -1
    cv2.transform(bgr, matrix, dst=less)
    cv2.merge((fused, fused, fused), dst=three)
    cv2.add(three, more, dst=three)
    cv2.subtract(three, less, dst=out)
