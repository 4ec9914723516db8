"""Implements MobileFuse-edge: a map at low resolution, a blend in bands at full resolution. Without a network it is blend-classic.

1. `edgefuse.fusion.closed_form_map` computes the blending map: which frame carries more of the scene at each place.
2. `edgefuse.fusion.band_blend` blends the two frames by that map.
3. `edgefuse.fusion.targets` finds warm objects whose contrast this blend would lose, and changes it towards the infrared frame there. The
   network, if there is one, limits this to places that look like targets.
"""

from __future__ import annotations

import time

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefuse.fusion import closed_form_map, validity
from edgefuse.fusion.band_blend import GAINS, BandBlend
from edgefuse.fusion.colour import FLOOR
from edgefuse.fusion.method import Method, MethodResult
from edgefuse.fusion.options import Colour
from edgefuse.fusion.outputs import Outputs
from edgefuse.fusion.targets import TargetBlend
from edgefuse.fusion.temporal_smoothing import Steady
from edgefuse.runtimes import Choice

_ALMOST_ALL = 0.99  # the visible frame's share where the infrared frame shows nothing
GAP_NS = 1_000_000_000  # after a longer gap between two pairs, temporal smoothing starts anew


class MobileFuseEdge(Method):
    """Fuses pairs of one stream. Buffers are allocated at the first pair, and again when the frame size changes."""

    STAGES = ("prepare", "network", "map", "targets", "blend")

    def __init__(self, choice: Choice, mode: Colour, sharpness: float, targets: float, steady: bool) -> None:
        """`edgefuse.fusion.fuser.load` describes the arguments."""
        self._choice, self._floor, self._steady = choice, FLOOR[mode], steady
        self._gain = round((sharpness - 1) * GAINS)
        self._targets = targets if choice.file is not None else 0.0
        self._outputs = Outputs()
        self._size = (0, 0)

    def _resize(self, width: int, height: int) -> None:
        self.close()
        self._bands = BandBlend(width, height, self._choice.threads)
        shape = self._bands.eighths["visible"].shape
        self._closed_form = closed_form_map.best()(shape)
        self._target_blend = TargetBlend(shape, self._targets)
        self._eighth = np.empty(shape, np.uint8)
        self._planes = {name: np.empty(q.shape, np.float32) for name, q in self._bands.quarters.items()}
        self._size, self._memory, self._last_ns = (width, height), Steady(), 0

    def make(self, visible: NDArray[np.uint8], infrared: NDArray[np.uint8], time_ns: int) -> MethodResult:
        begin = time.perf_counter_ns()
        height, width = infrared.shape
        if (width, height) != self._size:
            self._resize(width, height)
        bands = self._bands
        bands.reduce(visible, infrared)
        blank = self._leave_out_borders()
        prepared = time.perf_counter_ns()
        evidence = self._evidence()
        ran = time.perf_counter_ns()
        pace = self._pace(time_ns)
        black = validity.black(bands.quarters["infrared"])
        sky = validity.sky(black, bands.eighths["visible"])
        hidden = validity.hidden(black, sky, validity.blank_border(bands.quarters["infrared"], white=False))
        dark = validity.is_blank(bands.eighths["visible"])
        if dark:
            hidden = None
        blending_map = self._map(hidden, dark, blank, pace)
        fused = bands.mix(blending_map, self._gain, self._memory.noise, hidden, sky)
        mapped = time.perf_counter_ns()
        mask = self._mask(fused, evidence, sky, blank, pace)
        less, targets = self._apply(mask, fused)
        pulled = time.perf_counter_ns()
        data = self._outputs.take(visible.shape)
        chroma = self._floor + (1 - self._floor) * cv2.mean(blending_map)[0]
        bands.finish(visible, data, self._gain, chroma, self._memory.noise, less)
        done = time.perf_counter_ns()
        spent = (prepared - begin, ran - prepared, mapped - ran, pulled - mapped, done - pulled)
        return MethodResult(data, blending_map, 8, dict(zip(self.STAGES, spent, strict=True)), targets, 4)

    def _leave_out_borders(self) -> NDArray[np.uint8] | None:
        """Replace saturated borders of the infrared frame by the mean of the rest, so that they do not affect map and network.

        Changes the quarter and the eighth of the infrared frame. Returns a bool mask of the shape of `eighths`; None without such borders.
        """
        quarter = self._bands.quarters["infrared"]
        border = validity.blank_border(quarter, white=True)
        if border is None:
            return None
        rest = cv2.mean(quarter, mask=1 - border)[0]
        quarter[border > 0] = round(rest)
        self._bands.reduce_quarter("infrared")
        shape = self._bands.eighths["infrared"].shape
        return cv2.resize(border * np.uint8(255), shape[::-1], interpolation=cv2.INTER_AREA) > 0

    def _evidence(self) -> NDArray[np.float32] | None:
        """Run the network. Returns its evidence for targets, float32 in [0, 1] of the shape of `eighths`; None if targets are off."""
        if not self._targets:
            return None
        for name, plane in self._planes.items():
            np.multiply(self._bands.quarters[name], np.float32(1 / 255), out=plane)
        out = self._choice.runtime.run({name: self._choice.tensor(plane) for name, plane in self._planes.items()})["target"]
        height, width = self._bands.eighths["visible"].shape
        return cv2.resize(out.reshape(height // 2, width // 2), (width, height), interpolation=cv2.INTER_LINEAR)

    def _pace(self, time_ns: int) -> NDArray[np.float32] | None:
        """Return how much map and mask may change since the last pair (`Steady.watch`); None: without limit."""
        if not self._steady:
            return None
        if not 0 < time_ns - self._last_ns <= GAP_NS:
            self._memory = Steady()
        self._last_ns = time_ns
        return self._memory.watch(self._bands.planes, (self._bands.eighths["visible"], self._bands.eighths["infrared"]))

    def _mask(
        self, fused: NDArray[np.uint8], evidence: NDArray[np.float32] | None, sky: NDArray[np.float32] | None,
        blank: NDArray[np.uint8] | None, pace: NDArray[np.float32] | None,
    ) -> NDArray[np.float32] | None:  # fmt: skip
        """Compute the mask of targets, float32 in [0, 1] of the shape of `eighths`; None if targets are off.

        fused: `fused_quarter` of the blend. evidence: of the network. sky, blank: cells without targets. pace: of `_pace`.
        """
        if not self._targets:
            return None
        cv2.resize(fused, self._eighth.shape[::-1], dst=self._eighth, interpolation=cv2.INTER_AREA)
        mask = self._target_blend.mask(self._bands.eighths["infrared"], self._eighth, evidence)
        if sky is not None:
            # otherwise the sky turns dark around warm objects in front of it
            mask *= 1 - sky
        if self._steady:
            mask = self._memory.smooth("mask", mask, pace)
        if blank is not None:
            mask = np.where(blank, np.float32(0), mask)
        return mask

    def _apply(
        self, mask: NDArray[np.float32] | None, fused: NDArray[np.uint8]
    ) -> tuple[NDArray[np.uint8] | None, NDArray[np.float32]]:  # fmt: skip
        """Blend targets into `fused` in place.

        Returns the reduction of the visible details' weight, and the mask at a quarter of the size.
        """
        infrared, quarter = self._bands.eighths["infrared"], self._bands.quarters["infrared"]
        if mask is None or not mask.any():
            return None, np.zeros(quarter.shape, np.float32)
        drawn, less = self._target_blend.apply(mask, fused, quarter, self._bands.base, infrared)
        return less, drawn

    def _map(
        self, hidden: NDArray[np.float32] | None, dark: bool, blank: NDArray[np.uint8] | None, pace: NDArray[np.float32] | None
    ) -> NDArray[np.float32]:  # fmt: skip
        """Compute the blending map: the visible frame's share, float32 in [0, 1] of the shape of `eighths`.

        hidden: where the infrared frame shows nothing (`validity.hidden`). dark: whether the visible frame shows nothing. blank: mask of
        saturated borders of the infrared frame. pace: of `_pace`.
        """
        eighths = self._bands.eighths["visible"], self._bands.eighths["infrared"]
        blending_map = self._closed_form(*eighths)
        if self._steady:
            # copied because the map is part of the result and must not change with the next pair
            blending_map = self._memory.smooth("map", blending_map, pace).copy()
        if validity.is_blank(eighths[1]):
            blending_map[:] = 1
        elif dark:
            blending_map[:] = 0
        elif hidden is not None:
            # below 1, because black infrared cells have no details, so their weight need not be reduced
            np.maximum(blending_map, np.float32(_ALMOST_ALL) * cv2.blur(hidden, (3, 3)), out=blending_map)
        if blank is not None:
            blending_map[blank] = 1
        return blending_map

    def close(self) -> None:
        if self._size != (0, 0):
            self._bands.close()
