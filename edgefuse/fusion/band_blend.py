"""Blends two frames in three frequency bands at full resolution: the base by a blending map, the details by their sign.

Both frames are reduced by averages of 2 x 2 pixels. The base is the frame at an eighth of its size; the middle band is the difference
between a quarter of the size and the base; the fine band is the difference between the frame and the quarter. The base is blended by the
map M (MobileFuse, Eq. 1): B = infrared + M (visible - infrared), but never darker than 3/8 w_v times the visible base, so that a cold sky
does not turn black by day. In each detail band, where d_v and d_i are the two frames' details and +, - their positive and negative parts,

    detail = max(w_v d_v+, w_i d_i+) - max(w_v d_v-, w_i d_i-)

with weights w_v = min(1, 18 M) and w_i = min(1, 1.5 - M, 18 (1 - M)): a frame that does not contribute to the base does not contribute to
the details, and infrared details are weaker where the base is mostly visible. If the signs agree, the larger detail is chosen; if they
differ, the result lies between the two. Without gain, each detail band therefore lies between the inputs' bands and zero. The gain
sharpens: it amplifies details above CORE levels only, which are edges rather than noise. Targets (`edgefuse.fusion.targets`) change the
fused quarter between `mix` and `finish`; that step is not a convex combination.

The frame is processed in strips that fit the cache of a small core, in preallocated buffers, row by row (`band_rows`).
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

from edgefuse.fusion import band_rows
from edgefuse.fusion.band_rows import CHROMA, Bands, BlendInputs, Rows, enlarged
from edgefuse.util.arrays import Float32Array, UInt8Array

REDUCTION = 4  # factor by which `quarters` are smaller than the frame
MULTIPLE = 32  # frames are padded to a multiple of it, because the network takes quarters whose sides are multiples of 8
CORE = 7  # levels of a fine detail that are not amplified
GAINS = 16  # steps of the gain between 1 and 2
_MIDDLE = 2 / 9  # gain of the middle band relative to that of the fine band; a larger one causes halos
_DARKEST = 3 / 8  # lower limit of the blended base, as a share of the visible base
_EVEN = 1.5  # the infrared details' weight is at most this minus the map
_END = 18.0  # a frame's details have at most this times its share in the base as weight
_SQUARE = np.ones((3, 3), np.uint8)
_AVERAGED = 2.0  # noise threshold in standard deviations: details that differ by less are averaged
# bytes of one plane of a strip: on a Raspberry Pi the planes fit into 512 KB of L2; on larger cores fewer calls matter more
_STRIP_BYTES = 1 << 16 if platform.machine().startswith(("arm", "aarch")) else 1 << 19


def padded(n: int) -> int:
    """Round `n` up to a multiple of 32."""
    return -(-n // MULTIPLE) * MULTIPLE


class BandBlend:
    """Blends pairs of one size, one after another: call `reduce`, compute a map from `quarters` or `eighths`, then `mix` and `finish`."""

    def __init__(self, width: int, height: int, threads: int = 1, strip_bytes: int = _STRIP_BYTES, rows: type[Rows] | None = None) -> None:
        """Allocate all buffers.

        width, height: of the frames, in pixels. threads: number of strips processed at the same time. strip_bytes: approximate size of
        one plane of a strip. rows: implementation of the blend; None: the fastest one.
        """
        self.width, self.height = width, height
        w, h = padded(width), padded(height)
        self.shape = (h, w)
        self._luma = {"visible": np.empty((h, w), np.uint8), "infrared": np.empty((h, w), np.uint8)}
        self._own = dict(self._luma)
        self._half = np.empty((h // 2, w // 2), np.uint8)
        self.quarters = {name: np.empty((h // 4, w // 4), np.uint8) for name in self._luma}
        """The padded lumas "visible" and "infrared" at a quarter of the size, uint8 (h / 4, w / 4)."""
        self.eighths = {name: np.empty((h // 8, w // 8), np.uint8) for name in self._luma}
        """The padded lumas "visible" and "infrared" at an eighth of the size, uint8 (h / 8, w / 8)."""
        self.fused_quarter = np.empty((h // 4, w // 4), np.uint8)
        """The fused luma at a quarter of the size, set by `mix`; may be modified before `finish`."""
        strip = max(MULTIPLE, strip_bytes // w // MULTIPLE * MULTIPLE)
        # strips of equal height, so that all threads have equal work
        count = -(-h // strip)
        strip = padded(-(-h // count))
        self._strips = [(top, min(top + strip, h)) for top in range(0, h, strip)]
        self._workers = min(threads, len(self._strips))
        self._difference, self._weight = (np.empty((h // 8, w // 8), np.float32) for _ in range(2))
        self.base = np.empty((h // 8, w // 8), np.uint8)
        """The fused base, uint8 at an eighth of the size, set by `mix`."""
        self._eighth_weights = [np.empty((h // 8, w // 8), np.uint8) for _ in range(2)]
        self._quarter_weights = [np.empty((h // 4, w // 4), np.uint8) for _ in range(2)]
        self._weights: tuple[UInt8Array | None, UInt8Array | None] = (None, None)
        make = rows or band_rows.best()
        eighths, quarters = self.eighths, self.quarters
        self._middle = make(Bands(eighths["visible"], eighths["infrared"], self.base, 2), h // 4, 1)
        fine = Bands(quarters["visible"], quarters["infrared"], self.fused_quarter, REDUCTION)
        self._fine = make(fine, strip, self._workers)
        self._pool = ThreadPoolExecutor(self._workers - 1, "edgefuse-blend") if self._workers > 1 else None

    @property
    def planes(self) -> tuple[UInt8Array, UInt8Array]:
        """Visible and infrared luma of the current pair, uint8 (H, W), without the padding."""
        visible, infrared = (self._luma[name][: self.height, : self.width] for name in ("visible", "infrared"))
        return visible, infrared

    def close(self) -> None:
        """End the threads; safe to call twice."""
        if self._pool:
            self._pool.shutdown()
            self._pool = None

    def _each_strip(self, work: Callable[[int, int, int], None]) -> None:
        """Call `work(top, bottom, thread)` for each strip, in all threads including this one."""

        def share(k: int) -> None:
            for top, bottom in self._strips[k :: self._workers]:
                work(top, bottom, k)

        others = [self._pool.submit(share, k) for k in range(1, self._workers)] if self._pool else []
        share(0)
        for other in others:
            other.result()

    def reduce(self, visible: UInt8Array, infrared: UInt8Array) -> None:
        """Set the next pair and compute its lumas, quarters and eighths.

        visible: uint8 (H, W) or (H, W, 3) BGR. infrared: uint8 (H, W).
        """
        self._take("visible", visible)
        self._take("infrared", infrared)

    def _take(self, name: str, image: UInt8Array) -> None:
        height, width = self.height, self.width
        if image.ndim == 2 and image.shape == self.shape and image.flags.c_contiguous:
            # no padding needed: use the frame itself
            self._luma[name] = image
        else:
            # not the previous frame, which belongs to the caller and must not be written to
            self._luma[name] = self._own[name]
        luma, given = self._luma[name], self._luma[name] is image

        def work(top: int, bottom: int, thread: int) -> None:
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
        """Recompute `eighths[name]` after a change of `quarters[name]`."""
        small = self.eighths[name]
        cv2.resize(self.quarters[name], small.shape[::-1], dst=small, interpolation=cv2.INTER_AREA)

    def mix(
        self, blending_map: Float32Array, gain: int = 0, noise: float = 0.0, hidden: Float32Array | None = None,
        sky: Float32Array | None = None,
    ) -> UInt8Array:  # fmt: skip
        """Blend the pair's base and middle band. Sets `base` and `fused_quarter`, and returns the latter.

        blending_map: share of the visible frame, float32 in [0, 1], of the shape of `eighths`. gain: amplification of the fine band in
        16ths, 0 to 16. noise: standard deviation of the noisier frame's noise in levels; details that differ by little more are averaged.
        hidden: share of each cell where the infrared frame shows nothing, float32 in [0, 1]; the visible base replaces the infrared one.
        sky: share of each cell that is sky by day, float32 in [0, 1]; there and in the cells beside it infrared details are left out.
        """
        a, b = self.eighths["visible"], self.eighths["infrared"]
        shown: UInt8Array | Float32Array = b if hidden is None else np.add(np.multiply(a, hidden, out=self._weight), b, out=self._weight)
        mixed = np.subtract(a, shown, out=self._difference, dtype=np.float32)
        np.multiply(mixed, blending_map, out=mixed)
        np.add(mixed, shown, out=mixed)
        darkest = np.multiply(a, np.float32(_DARKEST), out=self._weight)
        if cv2.minMaxLoc(blending_map)[0] * _END < 1:
            np.multiply(darkest, np.minimum(blending_map * np.float32(_END), 1), out=darkest)
        np.maximum(mixed, darkest, out=mixed)
        cv2.convertScaleAbs(mixed, dst=self.base)
        self._weigh(blending_map, sky)
        # averages of 4 x 4 pixels have a quarter of the noise
        averaged = round(_AVERAGED * noise / 4)
        quarters = self.quarters["visible"], self.quarters["infrared"]
        self._middle.begin(
            BlendInputs(*quarters, self.fused_quarter, weights=self._weights, gain=round(_MIDDLE * gain), core=2 * averaged, noise=averaged)
        )
        self._middle.blend(0, len(self.fused_quarter), 0)
        return self.fused_quarter

    def _weigh(self, blending_map: Float32Array, sky: Float32Array | None) -> None:
        """Compute the details' weights (visible, infrared) at an eighth of the size; None where a weight is 1 everywhere."""
        weights: list[UInt8Array | None] = [None, None]
        low, high, _, _ = cv2.minMaxLoc(blending_map)
        if low * _END < 1:
            weights[0] = cv2.convertScaleAbs(blending_map, dst=self._eighth_weights[0], alpha=255 * _END)
        if high > _EVEN - 1 or sky is not None:
            weight = np.subtract(np.float32(_EVEN), blending_map, out=self._weight)
            if high > 1 - _EVEN / _END:
                np.minimum(weight, np.float32(_END) * (1 - blending_map), out=weight)
            if sky is not None:
                # otherwise objects in front of the sky get a dark rim
                np.minimum(weight, 1 - cv2.dilate(sky, _SQUARE), out=weight)
            weights[1] = cv2.convertScaleAbs(weight, dst=self._eighth_weights[1], alpha=255)
        self._weights = weights[0], weights[1]

    def finish(
        self, visible: UInt8Array, out: UInt8Array, gain: int = 0, chroma: float = 1.0, noise: float = 0.0,
        less: UInt8Array | None = None,
    ) -> None:  # fmt: skip
        """Write `fused_quarter` plus the fine details to `out` (uint8, of the shape of `visible`, contiguous).

        visible: as given to `reduce`. gain, noise: as in `mix`. chroma: weight of the visible frame's chroma, 0..1 (`band_rows.join`).
        less: reduction of the visible details' weight in 255ths, uint8 of the shape of `quarters`.
        """
        weights = [None if w is None else enlarged(w, 0, len(q), 2, q) for w, q in zip(self._weights, self._quarter_weights, strict=True)]
        if less is not None:
            kept = self._quarter_weights[0]
            weights[0] = cv2.bitwise_not(less, dst=kept) if weights[0] is None else cv2.subtract(kept, less, dst=kept)
        bgr = None if visible.ndim == 2 else visible
        luma = self._luma["visible"], self._luma["infrared"]
        averaged = round(_AVERAGED * noise)
        core = max(CORE, 2 * averaged)
        self._fine.begin(BlendInputs(*luma, out, bgr, round(chroma * CHROMA), (weights[0], weights[1]), gain, core, averaged))

        def work(top: int, bottom: int, thread: int) -> None:
            if top < self.height:
                self._fine.blend(top, min(bottom, self.height), thread)

        self._each_strip(work)


def _last_row(image: UInt8Array, width: int) -> UInt8Array:
    """Return the last row of `image` as luma, its last pixel repeated up to `width`."""
    row = image[-1:] if image.ndim == 2 else cv2.cvtColor(image[-1:], cv2.COLOR_BGR2GRAY)
    return cv2.copyMakeBorder(row, 0, 0, 0, width - row.shape[1], cv2.BORDER_REPLICATE)
