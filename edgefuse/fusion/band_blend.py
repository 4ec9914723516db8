"""The blend in bands, at full resolution: base mixed by a map, details chosen by sign.

Both frames are split by averages of 2 x 2 pixels: a base at an eighth of the frame's size, a middle band (a quarter less the base)
and a fine band (full less the quarter). The base is mixed by the blending map M: B = infrared + M (visible - infrared), but never drawn
darker than 3/8 w_v of the visible base: a cold sky is not painted black by day. In each detail band, d_v and d_i being the two sources'
details and +, - their positive and negative parts,

    detail = max(w_v d_v+, w_i d_i+) - max(w_v d_v-, w_i d_i-)

with weights w_v = min(1, 18 M) and w_i = min(1, 1.5 - M, 18 (1 - M)): a frame that is left out of the base is left out of the details,
and where most of the base is the visible frame's, the infrared details are drawn more weakly. Where the signs agree the larger wins,
where they differ the sum lies between the two: without gain, each detail band lies between the inputs' bands and zero, and nothing is
invented. The gain is sharpening, and adds to details of more than CORE levels only, so that it strengthens edges and not noise.
Targets (`edgefuse.fusion.targets`) change the fused quarter between `mix` and `finish`; that step is no convex mix.

The work at full resolution is done in strips that fit a small core's cache, in buffers made once, row by row in `band_rows`.
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

REDUCTION = 4  # of the frames that the map is decided on
MULTIPLE = 32  # frames are padded to a multiple: four levels of halving, and one for the map's own network
CORE = 7  # levels of a fine detail that get no gain
GAINS = 16  # steps of the gain
_MIDDLE = 2 / 9  # of the fine band's gain for the middle band: more would draw halos
_DARKEST = 3 / 8  # of the visible base
_EVEN = 1.5  # less the map: the infrared details' weight
_END = 18.0  # times a source's share: its details' weight where the share nears 0
_SQUARE = np.ones((3, 3), np.uint8)
_AVERAGED = 2.0  # deviations of noise by which two details may differ and still be averaged
# of one plane of a strip: a dozen of the small ones lie in a Raspberry Pi's 512 KB of L2; larger cores lose more to many short calls
_STRIP_BYTES = 1 << 16 if platform.machine().startswith(("arm", "aarch")) else 1 << 19


def padded(n: int) -> int:
    """`n` pixels, made a multiple of 32."""
    return -(-n // MULTIPLE) * MULTIPLE


class BandBlend:
    """Blends pairs of one size. One pair at a time: `reduce`, decide a map on `quarters`, `mix`, then `finish`."""

    def __init__(self, width: int, height: int, threads: int = 1, strip_bytes: int = _STRIP_BYTES, rows: type[Rows] | None = None) -> None:
        """width, height: of the frames, any. threads: strips worked on at once. strip_bytes: of one plane of a strip. rows: how their
        rows are made, the fastest way there is unless told.
        """
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
        self.fused_quarter = np.empty((h // 4, w // 4), np.uint8)
        """What `mix` makes: the fused frame at a quarter of the size. May be changed before `finish`."""
        strip = max(MULTIPLE, strip_bytes // w // MULTIPLE * MULTIPLE)
        # strips of equal height, so that no thread is left with a sliver
        count = -(-h // strip)
        strip = padded(-(-h // count))
        self._strips = [(top, min(top + strip, h)) for top in range(0, h, strip)]
        self._workers = min(threads, len(self._strips))
        self._difference, self._weight = (np.empty((h // 8, w // 8), np.float32) for _ in range(2))
        self.base = np.empty((h // 8, w // 8), np.uint8)
        """The fused base that `mix` makes, at an eighth of the size."""
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
        """Visible and infrared luma as taken in, without the padding."""
        visible, infrared = (self._luma[name][: self.height, : self.width] for name in ("visible", "infrared"))
        return visible, infrared

    def close(self) -> None:
        if self._pool:
            self._pool.shutdown()
            self._pool = None

    def _each_strip(self, work: Callable[[int, int, int], None]) -> None:
        """`work(top, bottom, thread)` for every strip, shared out among the threads; this one takes its part."""

        def share(k: int) -> None:
            for top, bottom in self._strips[k :: self._workers]:
                work(top, bottom, k)

        others = [self._pool.submit(share, k) for k in range(1, self._workers)] if self._pool else []
        share(0)
        for other in others:
            other.result()

    def reduce(self, visible: UInt8Array, infrared: UInt8Array) -> None:
        """Take a pair in: visible uint8 (H, W) or BGR (H, W, 3), infrared uint8 (H, W); makes luma, quarters and eighths."""
        self._take("visible", visible)
        self._take("infrared", infrared)

    def _take(self, name: str, image: UInt8Array) -> None:
        height, width = self.height, self.width
        if image.ndim == 2 and image.shape == self.shape and image.flags.c_contiguous:
            # nothing to pad: work on the frame itself
            self._luma[name] = image
        else:
            # never the last frame, which is not ours to write to
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
        """Make `eighths[name]` anew, after a change to `quarters[name]`."""
        small = self.eighths[name]
        cv2.resize(self.quarters[name], small.shape[::-1], dst=small, interpolation=cv2.INTER_AREA)

    def mix(
        self, blending_map: Float32Array, gain: int = 0, noise: float = 0.0, hidden: Float32Array | None = None,
        sky: Float32Array | None = None,
    ) -> UInt8Array:  # fmt: skip
        """Make `base` and `fused_quarter` of what `reduce` took in; returns the latter.

        blending_map: float32 in [0, 1], the size of `eighths`: the visible frame's share. gain: of the fine band, what it adds, in
        16ths, 0 to 16. noise: the noisier source's deviation in levels; details that differ by less are averaged rather than chosen.
        hidden: float32, how much of each cell the infrared frame does not show: there its base is the visible one.
        sky: float32, how much of each cell is also bright in the visible frame; there and beside it no infrared detail is drawn.
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
        # noise is four times weaker in averages of 4 x 4
        averaged = round(_AVERAGED * noise / 4)
        quarters = self.quarters["visible"], self.quarters["infrared"]
        self._middle.begin(
            BlendInputs(*quarters, self.fused_quarter, weights=self._weights, gain=round(_MIDDLE * gain), core=2 * averaged, noise=averaged)
        )
        self._middle.blend(0, len(self.fused_quarter), 0)
        return self.fused_quarter

    def _weigh(self, blending_map: Float32Array, sky: Float32Array | None) -> None:
        """Make the details' weights, at an eighth of the size: None where a source's are 1 all over."""
        weights: list[UInt8Array | None] = [None, None]
        low, high, _, _ = cv2.minMaxLoc(blending_map)
        if low * _END < 1:
            weights[0] = cv2.convertScaleAbs(blending_map, dst=self._eighth_weights[0], alpha=255 * _END)
        if high > _EVEN - 1 or sky is not None:
            weight = np.subtract(np.float32(_EVEN), blending_map, out=self._weight)
            if high > 1 - _EVEN / _END:
                np.minimum(weight, np.float32(_END) * (1 - blending_map), out=weight)
            if sky is not None:
                # the edge of what stands before it would be drawn as a dark rim
                np.minimum(weight, 1 - cv2.dilate(sky, _SQUARE), out=weight)
            weights[1] = cv2.convertScaleAbs(weight, dst=self._eighth_weights[1], alpha=255)
        self._weights = weights[0], weights[1]

    def finish(
        self, visible: UInt8Array, out: UInt8Array, gain: int = 0, chroma: float = 1.0, noise: float = 0.0,
        less: UInt8Array | None = None,
    ) -> None:  # fmt: skip
        """Blend `fused_quarter` and the fine details into `out` (uint8, the shape of `visible`, contiguous).

        visible: as given to `reduce`. gain, noise: as in `mix`. chroma: how much of the visible frame's chroma is kept, in 0 to 1
        (`band_rows.join`). less: uint8 of the quarters' shape, taken off the visible details' weight, in 255ths.
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
    """The last row of `image` as luma, replicated to `width`."""
    row = image[-1:] if image.ndim == 2 else cv2.cvtColor(image[-1:], cv2.COLOR_BGR2GRAY)
    return cv2.copyMakeBorder(row, 0, 0, 0, width - row.shape[1], cv2.BORDER_REPLICATE)
