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
from numpy.typing import NDArray

from edgefuse.util import compiled

Bytes = NDArray[np.uint8]

OPEN = 16  # a share of one in so many leaves a source's details uncapped; a power of two
CHROMA = 128  # a chroma weight of one: the most with which a chroma times its weight is a 16-bit number
_MARGIN = 4  # rows that interpolation adds to a strip above and below: a small one, enlarged


class Bands(NamedTuple):
    """What rows are made of; all uint8, contiguous, of one size."""

    small_visible: Bytes
    """The visible frame's smaller bands, reduced by `factor`."""
    small_infrared: Bytes
    small_fused: Bytes
    shares: Bytes
    """The visible frame's, in 255ths, reduced by `factor`, too."""
    factor: int
    """2 or 4."""


class Frame(NamedTuple):
    """What changes from pair to pair."""

    visible: Bytes
    """Luma, (h, w), contiguous, as the next."""
    infrared: Bytes
    out: Bytes
    """(H, W), or (H, W, 3) with `bgr`; H and W at most h and w."""
    bgr: Bytes | None = None
    """The visible frame in colour, (H, W, 3)."""
    chroma: int = CHROMA
    """How much of its chroma is kept, in 128ths."""
    capped: tuple[bool, bool] = (False, False)
    """Are the visible and the infrared details capped by their source's share?"""
    eighths: int = 0
    """The details' gain, less 1, in eighths: 0 to 8."""
    noise: int = 0
    """Up to so many levels of what the choice adds to the two details' mean are left out."""


class Rows(Protocol):
    def __init__(self, bands: Bands, rows: int, threads: int) -> None:
        """rows: the most that `blend` is asked for at a time."""

    def begin(self, frame: Frame) -> None:
        """Take a pair in; what is in `bands` may still change until `blend`."""

    def blend(self, top: int, bottom: int, thread: int) -> None:
        """Make rows `top` (a multiple of the factor) to `bottom` of the pair's `out`, as thread number `thread`."""


def best() -> type[Rows]:
    """The compiled rows where there are any."""
    return CompiledRows if compiled.library() else NumpyRows


class NumpyRows:
    def __init__(self, bands: Bands, rows: int, threads: int) -> None:
        self._bands = bands
        self._width = bands.shares.shape[1] * bands.factor
        self._scratch = [[np.empty((rows + 2 * _MARGIN, self._width), np.uint8) for _ in range(11)] for _ in range(threads)]
        self._colours: list[list[Bytes]] = [[] for _ in range(threads)]

    def begin(self, frame: Frame) -> None:
        self._frame = frame

    def blend(self, top: int, bottom: int, thread: int) -> None:
        f, bands, planes = self._frame, self._bands, self._scratch[thread]
        # enlarged in whole small rows
        end = -(-bottom // bands.factor) * bands.factor
        parts = [plane[: end - top] for plane in planes[:6]]
        visible = f.visible[top:end], enlarged(bands.small_visible, top, end, bands.factor, planes[6])
        infrared = f.infrared[top:end], enlarged(bands.small_infrared, top, end, bands.factor, planes[7])
        share = enlarged(bands.shares, top, end, bands.factor, planes[8]) if any(f.capped) else None
        caps = _caps(share, f.capped, (planes[9][: end - top], planes[10][: end - top]))
        positive, negative = select(visible, infrared, caps, f.eighths, f.noise, parts)
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
        cap = None
        if share is not None and f.capped[0]:
            cap = np.right_shift(share, 1, out=planes[0][: end - top])[keep]
        join(f.bgr[top:bottom], fused[keep], f.chroma, cap, self._colours[thread], out)


class _Job(ctypes.Structure):
    """`Job` of band_rows.c, field by field."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("visible", "infrared", "small_visible", "small_infrared", "small_fused", "shares")),
        *((name, ctypes.c_void_p) for name in ("bgr", "out")),
        *((name, ctypes.c_int64) for name in ("bgr_stride", "out_stride")),
        *((name, ctypes.c_int32) for name in ("height", "width", "out_width", "factor", "cap_visible", "cap_infrared")),
        *((name, ctypes.c_int32) for name in ("noise", "chroma", "blue", "green", "red", "gain_shift", "other_shift", "other_sign")),
    ]


class CompiledRows:
    def __init__(self, bands: Bands, rows: int, threads: int) -> None:
        library = compiled.library()
        assert library is not None
        self._run, self._bands = library.edgefuse_band_rows, bands
        self._run.argtypes = ctypes.c_void_p, ctypes.c_int32, ctypes.c_int32, ctypes.c_void_p
        height, width = (n * bands.factor for n in bands.shares.shape)
        self._job = _Job(height=height, width=width, factor=bands.factor)
        for name in ("small_visible", "small_infrared", "small_fused", "shares"):
            setattr(self._job, name, getattr(bands, name).ctypes.data)
        self._scratch = [np.empty(library.edgefuse_band_scratch(width), np.uint8) for _ in range(threads)]
        self._pointers = [s.ctypes.data for s in self._scratch]

    def begin(self, frame: Frame) -> None:
        job, bgr, out = self._job, frame.bgr, frame.out
        if bgr is not None and bgr.strides[1:] != (3, 1):
            bgr = np.ascontiguousarray(bgr)
        self._frame = frame, bgr  # kept alive
        job.visible, job.infrared, job.out = frame.visible.ctypes.data, frame.infrared.ctypes.data, out.ctypes.data
        job.out_stride, job.out_width = out.strides[0], out.shape[1]
        job.bgr, job.bgr_stride = (None, 0) if bgr is None else (bgr.ctypes.data, bgr.strides[0])
        job.cap_visible, job.cap_infrared = frame.capped
        job.noise, job.chroma = frame.noise, frame.chroma
        job.blue, job.green, job.red = luma_parts(frame.chroma)
        first, second = _SHIFTS[frame.eighths]
        job.gain_shift, job.other_shift = first, abs(second or 0)
        job.other_sign = 0 if second is None else -1 if second > 0 else 1

    def blend(self, top: int, bottom: int, thread: int) -> None:
        self._run(ctypes.addressof(self._job), top, bottom, self._pointers[thread])


@functools.cache
def exact(factor: int) -> int:
    """OpenCV's method to enlarge `factor` times, bilinear, to the bit. On ARM its usual one is, and costs a quarter of the named one."""
    probe = np.random.default_rng(0).integers(0, 256, (16, 16), dtype=np.uint8)
    usual, named = (cv2.resize(probe, None, fx=factor, fy=factor, interpolation=m) for m in (cv2.INTER_LINEAR, cv2.INTER_LINEAR_EXACT))
    return cv2.INTER_LINEAR if np.array_equal(usual, named) else cv2.INTER_LINEAR_EXACT


def enlarged(small: Bytes, top: int, bottom: int, factor: int, out: Bytes) -> Bytes:
    """Rows `top` to `bottom` (multiples of `factor`) of `small` enlarged `factor` times, bilinear; a view into `out`."""
    first, last = max(0, top // factor - 1), min(small.shape[0], bottom // factor + 1)
    whole = out[: (last - first) * factor]
    cv2.resize(small[first:last], (whole.shape[1], whole.shape[0]), dst=whole, interpolation=exact(factor))
    begin = top - first * factor
    return whole[begin : begin + bottom - top]


# eighths of a gain above 1, as right shifts to add and then to subtract (or, negative, to add)
_SHIFTS = {0: (8, None), 1: (3, None), 2: (2, None), 3: (1, 3), 4: (1, None), 5: (1, -3), 6: (0, 2), 7: (0, 3), 8: (0, None)}


def strengthen(detail: Bytes, eighths: int, more: Bytes, less: Bytes, noise: int = 0) -> None:
    """`detail` times 1 + eighths / 8 (0 to 8), in place, saturated; `more` and `less` are scratch. Shifts only: 8 bit all the way.

    Its first `noise` levels get no gain: sharper noise is only more noise.
    """
    if not eighths:
        return
    first, second = _SHIFTS[eighths]
    source = detail
    if noise:
        source = np.maximum(detail, np.uint8(noise), out=less)
        np.subtract(source, np.uint8(noise), out=source)
    np.right_shift(source, first, out=more)
    if second is not None:
        np.right_shift(source, abs(second), out=less)
        (cv2.subtract if second > 0 else cv2.add)(more, less, dst=more)
    cv2.add(detail, more, dst=detail)


def select(
    visible: tuple[Bytes, Bytes], infrared: tuple[Bytes, Bytes], caps: tuple[Bytes | None, Bytes | None], eighths: int, noise: int,
    scratch: list[Bytes],
) -> tuple[Bytes, Bytes]:  # fmt: skip
    """The chosen detail as (positive, negative) part, one of which is 0 at each pixel; both are planes of `scratch`.

    visible, infrared: (the source, its base enlarged). caps: of either source's detail. eighths, noise: as in `Frame`.
    """
    a, b, c, d, e, f = scratch[:6]
    for (source, base), cap, positive, negative in ((visible, caps[0], a, b), (infrared, caps[1], c, d)):
        cv2.subtract(source, base, dst=positive)
        cv2.subtract(base, source, dst=negative)
        if cap is not None:
            cv2.min(positive, cap, dst=positive)
            cv2.min(negative, cap, dst=negative)
    if noise:
        cv2.min(a, c, dst=e)
        cv2.min(b, d, dst=f)
    cv2.max(a, c, dst=a)
    cv2.max(b, d, dst=b)
    cv2.subtract(a, b, dst=c)
    cv2.subtract(b, a, dst=d)
    for chosen, smaller in ((c, e), (d, f)):
        if noise:
            # chosen less its excess over the mean, (chosen - smaller) / 2, or less `noise` where that excess is larger
            cv2.subtract(chosen, smaller, dst=smaller)
            np.right_shift(smaller, 1, out=smaller)
            np.minimum(smaller, np.uint8(noise), out=smaller)
            cv2.subtract(chosen, smaller, dst=chosen)
        # what two noisy sources leave of a mean is still noise
        strengthen(chosen, eighths, a, b, 2 * noise)
    return c, d


def _caps(share: Bytes | None, capped: tuple[bool, bool], planes: tuple[Bytes, Bytes]) -> tuple[Bytes | None, Bytes | None]:
    """The most levels of the visible and of the infrared frame's details that may show, for the visible frame's share in 255ths."""
    if share is None:
        return None, None
    caps: list[Bytes | None] = [None, None]
    for k, plane in enumerate(planes):
        if capped[k]:
            own = share if k == 0 else cv2.bitwise_not(share, dst=plane)
            caps[k] = cv2.add(own, own, dst=plane)
            for _ in range(OPEN.bit_length() - 2):
                cv2.add(plane, plane, dst=plane)
    return caps[0], caps[1]


def luma_parts(chroma: int) -> tuple[int, int, int]:
    """What of blue, green and red makes the luma that a chroma of that weight is less of, in 128ths: whole, so that grey stays grey."""
    blue, red = round(0.114 * chroma), round(0.299 * chroma)
    return blue, chroma - blue - red, red


def join(bgr: Bytes, fused: Bytes, chroma: int, cap: Bytes | None, scratch: list[Bytes], out: Bytes) -> None:
    """BGR of the fused luma and the visible frame's chroma (BGR less luma): `chroma` 128ths of it, and at most `cap` levels of it where
    that is given, so that what the infrared frame alone shows is grey.
    """
    more, less, three = (s[: len(fused)] for s in scratch)
    matrix = np.zeros((3, 4), np.float32)
    matrix[:, :3] = (np.eye(3) * chroma - luma_parts(chroma)) / CHROMA
    # between two 128ths: OpenCV rounds halves up here and to even there
    matrix[:, 3] = 1 / 512
    cv2.transform(bgr, matrix, dst=more)
    matrix[:, :3] *= -1
    cv2.transform(bgr, matrix, dst=less)
    if cap is not None:
        cv2.merge((cap, cap, cap), dst=three)
        cv2.min(more, three, dst=more)
        cv2.min(less, three, dst=less)
    cv2.merge((fused, fused, fused), dst=three)
    cv2.add(three, more, dst=three)
    cv2.subtract(three, less, dst=out)
