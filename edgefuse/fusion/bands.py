"""The blend in bands, at full resolution: base mixed by a map, details chosen by sign.

Both frames are split by averages of 2 x 2 pixels: a base at an eighth of the frame's size, a middle band (a quarter less the base)
and a fine band (full less the quarter). The base is mixed by the blending map M: B = infrared + M (visible - infrared). In each
detail band, d_v and d_i being the two sources' details and +, - their positive and negative parts,

    detail = max(d_v+, d_i+) - max(d_v-, d_i-)

Where the signs agree the larger wins, where they differ the sum lies between the two: at gain 1 each band of the output is a convex
mix of the inputs' bands, and nothing is invented. A gain above 1 is sharpening, no more and no less.

Where M leaves a source less than a sixteenth, its details are capped at 16 x 255 x its share, in levels: what is left out of the base
is left out of the details, too. A capped detail lies between the source's and zero, and the choice still lies between the two
sources' own; only where sensor noise is averaged out beside a cap is it between the capped ones.

All full-resolution work is saturating 8-bit arithmetic, in strips that fit a small core's cache, in buffers made once.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]

REDUCTION = 4  # of the frames that the map is decided on
BASE = 8  # of the map and the base
MULTIPLE = 32  # frames are padded to a multiple: four levels of halving, and one for the map's own network
_OPEN = 16  # a share of one in so many leaves a source's details uncapped; a power of two
_MIDDLE = 2 / 3  # of the fine band's gain for the middle band: more would draw halos
_AVERAGED = 1.5  # deviations of noise by which two details may differ and still be averaged
_COLOUR_BYTES = 1 << 17  # of one plane of a strip in colour
# of one plane of a strip: a dozen of the small ones lie in a Raspberry Pi's 512 KB of L2; larger cores lose more to many short calls
_STRIP_BYTES = 1 << 16 if platform.machine().startswith(("arm", "aarch")) else 1 << 19


def padded(n: int) -> int:
    """`n` pixels, made a multiple of 32."""
    return -(-n // MULTIPLE) * MULTIPLE


class _Scratch:
    """One thread's planes for a strip of `rows` x `width` and the rows above and below that interpolation needs."""

    def __init__(self, rows: int, width: int) -> None:
        self.planes = [np.empty((rows + 2 * BASE, width), np.uint8) for _ in range(11)]
        # three planes a pixel: in shorter strips yet
        rows = min(rows, max(MULTIPLE, _COLOUR_BYTES // width))
        self.colours = [np.full((rows, width, 3), 128, np.uint8) for _ in range(4)]


def enlarged(small: Bytes, top: int, bottom: int, factor: int, out: Bytes) -> Bytes:
    """Rows `top` to `bottom` (multiples of `factor`) of `small` enlarged `factor` times, bilinear; a view into `out`."""
    first, last = max(0, top // factor - 1), min(small.shape[0], bottom // factor + 1)
    whole = out[: (last - first) * factor]
    cv2.resize(small[first:last], (whole.shape[1], whole.shape[0]), dst=whole, interpolation=cv2.INTER_LINEAR)
    begin = top - first * factor
    return whole[begin : begin + bottom - top]


# eighths of a gain above 1, as right shifts to add and then to subtract
_SHIFTS = {1: (3, None), 2: (2, None), 3: (1, 3), 4: (1, None), 5: (1, -3), 6: (0, 2), 7: (0, 3), 8: (0, None)}


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

    visible, infrared: (the source, its base enlarged). caps: of either source's detail. noise: up to so many levels of what the
    choice adds to the two details' mean are left out.
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


class BandBlend:
    """Blends pairs of one size. One pair at a time: `reduce`, then decide a map on `quarters`, then `finish`."""

    def __init__(self, width: int, height: int, threads: int = 1, strip_bytes: int = _STRIP_BYTES) -> None:
        """width, height: of the frames, any. threads: strips worked on at once. strip_bytes: of one plane of a strip."""
        self.width, self.height = width, height
        w, h = padded(width), padded(height)
        self.shape = (h, w)
        self._luma = {"visible": np.empty((h, w), np.uint8), "infrared": np.empty((h, w), np.uint8)}
        self._own = dict(self._luma)
        self._half = np.empty((h // 2, w // 2), np.uint8)
        self.quarters = {name: np.empty((h // 4, w // 4), np.uint8) for name in self._luma}
        """The padded pair at a quarter of its size: uint8 by "visible" and "infrared"."""
        self.eighths = {name: np.empty((h // 8, w // 8), np.uint8) for name in self._luma}
        """The same at an eighth."""
        self._fused_quarter = np.empty((h // 4, w // 4), np.uint8)
        rows = max(MULTIPLE, strip_bytes // w // MULTIPLE * MULTIPLE)
        # strips of equal height, so that no thread is left with a sliver
        count = -(-h // rows)
        rows = padded(-(-h // count))
        self._strips = [(top, min(top + rows, h)) for top in range(0, h, rows)]
        workers = min(threads, len(self._strips))
        self._scratch = [_Scratch(rows, w) for _ in range(workers)]
        self._small = [np.empty((h // 4, w // 4), np.uint8) for _ in range(11)]
        self._difference = np.empty((h // 8, w // 8), np.float32)
        self._base = np.empty((h // 8, w // 8), np.uint8)
        self._pool = ThreadPoolExecutor(workers - 1, "edgefuse-blend") if workers > 1 else None

    @property
    def planes(self) -> tuple[Bytes, Bytes]:
        """Visible and infrared luma as taken in, without the padding."""
        visible, infrared = (self._luma[name][: self.height, : self.width] for name in ("visible", "infrared"))
        return visible, infrared

    def close(self) -> None:
        if self._pool:
            self._pool.shutdown()
            self._pool = None

    def _each_strip(self, work: Callable[[int, int, _Scratch], None]) -> None:
        """`work(top, bottom, scratch)` for every strip, shared out among the threads; this one takes its part."""

        def share(k: int) -> None:
            for top, bottom in self._strips[k :: len(self._scratch)]:
                work(top, bottom, self._scratch[k])

        others = [self._pool.submit(share, k) for k in range(1, len(self._scratch))] if self._pool else []
        share(0)
        for other in others:
            other.result()

    def reduce(self, visible: Bytes, infrared: Bytes) -> None:
        """Take a pair in: visible uint8 (H, W) or BGR (H, W, 3), infrared uint8 (H, W); makes luma, quarters and eighths."""
        self._take("visible", visible)
        self._take("infrared", infrared)

    def _take(self, name: str, image: Bytes) -> None:
        height, width = self.height, self.width
        if image.ndim == 2 and image.shape == self.shape and image.flags.c_contiguous:
            # nothing to pad: work on the frame itself
            self._luma[name] = image
        else:
            # never the last frame, which is not ours to write to
            self._luma[name] = self._own[name]
        luma, given = self._luma[name], self._luma[name] is image

        def work(top: int, bottom: int, scratch: _Scratch) -> None:
            end = min(bottom, height)
            if top < end and not given:
                part = luma[top:end, :width]
                if image.ndim == 3:
                    cv2.cvtColor(image[top:end], cv2.COLOR_BGR2GRAY, dst=part)
                else:
                    np.copyto(part, image[top:end])
                if width < luma.shape[1]:
                    luma[top:end, width:] = luma[top:end, width - 1 : width]
            if end < bottom:
                luma[max(end, top) : bottom] = luma[end - 1] if end > top else _last_row(image, luma.shape[1])
            half, quarter = self._half[top // 2 : bottom // 2], self.quarters[name][top // 4 : bottom // 4]
            cv2.resize(luma[top:bottom], half.shape[::-1], dst=half, interpolation=cv2.INTER_AREA)
            cv2.resize(half, quarter.shape[::-1], dst=quarter, interpolation=cv2.INTER_AREA)

        self._each_strip(work)
        self.reduce_quarter(name)

    def reduce_quarter(self, name: str) -> None:
        """Make `eighths[name]` anew, after a change to `quarters[name]`."""
        small = self.eighths[name]
        cv2.resize(self.quarters[name], small.shape[::-1], dst=small, interpolation=cv2.INTER_AREA)

    def finish(self, blending_map: Floats, visible: Bytes, out: Bytes, eighths: int = 0, chroma: float = 1.0, noise: float = 0.0) -> None:
        """Blend what `reduce` took in, into `out` (uint8, the shape of `visible`).

        blending_map: float32 in [0, 1], the size of `eighths`: the visible frame's share. visible: as given to `reduce`. chroma:
        how much of its chroma is kept, as `join` says. eighths: the fine band's gain, less 1, in eighths, 0 to 8. noise: the noisier
        source's deviation in levels; details that differ by less are averaged rather than chosen.
        """
        shares = cv2.convertScaleAbs(blending_map, alpha=255)
        low, high = int(shares.min()), int(shares.max())
        # which source is left out somewhere; the closed form alone never gives the visible frame all
        capped = (low * _OPEN < 255, high == 255)
        fused_quarter = self._base_and_middle(blending_map, shares, capped, eighths, noise)
        matrix = None if chroma == 1 or visible.ndim == 2 else chroma_matrix(chroma)
        tau = round(_AVERAGED * noise)

        def work(top: int, bottom: int, scratch: _Scratch) -> None:
            planes, end = scratch.planes, min(bottom, self.height)
            if end <= top:
                return
            parts = [plane[: bottom - top] for plane in planes[:6]]
            sources = [
                (self._luma[name][top:bottom], enlarged(self.quarters[name], top, bottom, REDUCTION, plane))
                for name, plane in (("visible", planes[6]), ("infrared", planes[7]))
            ]
            share = enlarged(shares, top, bottom, BASE, planes[8]) if any(capped) else None
            caps = _caps(share, capped, (planes[9][: bottom - top], planes[10][: bottom - top]))
            positive, negative = select(sources[0], sources[1], caps, eighths, tau, parts)
            fused = enlarged(fused_quarter, top, bottom, REDUCTION, planes[6])
            cv2.add(fused, positive, dst=fused)
            cv2.subtract(fused, negative, dst=fused)
            keep = (slice(0, end - top), slice(0, self.width))
            if visible.ndim == 2:
                np.copyto(out[top:end], fused[keep])
                return
            rows = scratch.colours[0].shape[0]
            for first in range(0, end - top, rows):
                here = slice(first, min(first + rows, end - top)), slice(0, self.width)
                whole = slice(top + here[0].start, top + here[0].stop), here[1]
                shown = share[here] if share is not None and capped[0] else None
                join(visible[whole], self._luma["visible"][whole], fused[here], matrix, shown, scratch, out[whole])

        self._each_strip(work)

    def _base_and_middle(self, blending_map: Floats, shares: Bytes, capped: tuple[bool, bool], eighths: int, noise: float) -> Bytes:
        """The fused frame at a quarter of the size, from base and middle band; uint8, overwritten by the next pair."""
        a, b = self.eighths["visible"], self.eighths["infrared"]
        np.subtract(a, b, out=self._difference, dtype=np.float32)
        np.multiply(self._difference, blending_map, out=self._difference)
        np.add(self._difference, b, out=self._difference)
        base = cv2.convertScaleAbs(self._difference, dst=self._base)
        size, planes = self._fused_quarter.shape[::-1], self._small
        sources = []
        for name, plane in (("visible", planes[6]), ("infrared", planes[7])):
            sources.append((self.quarters[name], cv2.resize(self.eighths[name], size, dst=plane, interpolation=cv2.INTER_LINEAR)))
        share = cv2.resize(shares, size, dst=planes[8], interpolation=cv2.INTER_LINEAR) if any(capped) else None
        caps = _caps(share, capped, (planes[9], planes[10]))
        # noise is four times weaker in averages of 4 x 4
        positive, negative = select(sources[0], sources[1], caps, round(_MIDDLE * eighths), round(_AVERAGED * noise / 4), planes)
        fused = cv2.resize(base, size, dst=self._fused_quarter, interpolation=cv2.INTER_LINEAR)
        cv2.add(fused, positive, dst=fused)
        return cv2.subtract(fused, negative, dst=fused)


def _caps(share: Bytes | None, capped: tuple[bool, bool], planes: tuple[Bytes, Bytes]) -> tuple[Bytes | None, Bytes | None]:
    """The most levels of the visible and of the infrared frame's details that may show, for the visible frame's share in 255ths."""
    if share is None:
        return None, None
    caps: list[Bytes | None] = [None, None]
    for k, plane in enumerate(planes):
        if capped[k]:
            own = share if k == 0 else cv2.bitwise_not(share, dst=plane)
            caps[k] = cv2.add(own, own, dst=plane)
            for _ in range(_OPEN.bit_length() - 2):
                cv2.add(plane, plane, dst=plane)
    return caps[0], caps[1]


# BGR -> BGR less luma, as `cv2.cvtColor` weighs it
_CHROMA = np.column_stack([np.eye(3) - np.array([[0.114, 0.587, 0.299]] * 3), [0.0] * 3]).astype(np.float32)


def chroma_matrix(weight: float) -> Floats:
    """(3, 4) for `cv2.transform`: BGR -> 128 + weight (BGR - luma)."""
    matrix = np.float32(weight) * _CHROMA
    matrix[:, 3] = 128
    return matrix


def join(bgr: Bytes, luma: Bytes, fused: Bytes, matrix: Floats | None, share: Bytes | None, scratch: _Scratch, out: Bytes) -> None:
    """BGR of the fused luma and the visible frame's chroma: all of it where `matrix` is None, else weighted by a `chroma_matrix` and,
    where a share is given, at most share / 2 levels of it, so that what the infrared frame alone shows is grey.
    """
    rows, width = luma.shape
    coloured, three, more, grey = (c[:rows, :width] for c in scratch.colours)
    if matrix is None:
        change = scratch.planes[0][:rows, :width]
        cv2.subtract(fused, luma, dst=change)
        cv2.add(bgr, cv2.merge((change, change, change), dst=three), dst=coloured)
        cv2.subtract(luma, fused, dst=change)
        cv2.subtract(coloured, cv2.merge((change, change, change), dst=three), dst=out)
        return
    cv2.transform(bgr, matrix, dst=coloured)
    cv2.subtract(coloured, grey, dst=more)
    cv2.subtract(grey, coloured, dst=coloured)
    if share is not None:
        cap = np.right_shift(share, 1, out=scratch.planes[0][:rows, :width])
        cv2.merge((cap, cap, cap), dst=three)
        cv2.min(more, three, dst=more)
        cv2.min(coloured, three, dst=coloured)
    cv2.merge((fused, fused, fused), dst=three)
    cv2.add(three, more, dst=three)
    cv2.subtract(three, coloured, dst=out)


def _last_row(image: Bytes, width: int) -> Bytes:
    """The last row of `image` as luma, replicated to `width`."""
    row = image[-1:] if image.ndim == 2 else cv2.cvtColor(image[-1:], cv2.COLOR_BGR2GRAY)
    return cv2.copyMakeBorder(row, 0, 0, 0, width - row.shape[1], cv2.BORDER_REPLICATE)
