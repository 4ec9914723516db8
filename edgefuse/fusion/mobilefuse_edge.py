"""MobileFuse-edge: the map at low resolution, the blend at full resolution, in bands. With no network it is blend-classic.

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
from edgefuse.fusion.steady import Steady
from edgefuse.fusion.targets import TargetBlend
from edgefuse.runtimes import Choice

_ALMOST_ALL = 0.99
GAP_NS = 1_000_000_000  # pairs further apart than this are not one motion


class MobileFuseEdge(Method):
    """Everything that is made for a frame size is made when a frame of that size first comes, and kept."""

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
        """Saturated borders of the infrared frame as cells of its eighth, their quarter filled with the mean of the rest, so that they sway
        neither the closed form nor the network.
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
        """The network's evidence for a target, float32 in [0, 1] of the eighths' shape; None without a network, or without targets."""
        if not self._targets:
            return None
        for name, plane in self._planes.items():
            np.multiply(self._bands.quarters[name], np.float32(1 / 255), out=plane)
        out = self._choice.runtime.run({name: self._choice.tensor(plane) for name, plane in self._planes.items()})["target"]
        height, width = self._bands.eighths["visible"].shape
        return cv2.resize(out.reshape(height // 2, width // 2), (width, height), interpolation=cv2.INTER_LINEAR)

    def _pace(self, time_ns: int) -> NDArray[np.float32] | None:
        """How far the map and the mask may move since the last pair; None where they are free to."""
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
        """The mask of targets, float32 in [0, 1] of the eighths' shape; None where there is none to be had."""
        if not self._targets:
            return None
        cv2.resize(fused, self._eighth.shape[::-1], dst=self._eighth, interpolation=cv2.INTER_AREA)
        mask = self._target_blend.mask(self._bands.eighths["infrared"], self._eighth, evidence)
        if sky is not None:
            # it is not drawn dark around what is warm before it
            mask *= 1 - sky
        if self._steady:
            mask = self._memory.smooth("mask", mask, pace)
        if blank is not None:
            mask = np.where(blank, np.float32(0), mask)
        return mask

    def _apply(
        self, mask: NDArray[np.float32] | None, fused: NDArray[np.uint8]
    ) -> tuple[NDArray[np.uint8] | None, NDArray[np.float32]]:  # fmt: skip
        """Pull `fused` to the targets; what the visible details lose, and the mask at a quarter of the size."""
        infrared, quarter = self._bands.eighths["infrared"], self._bands.quarters["infrared"]
        if mask is None or not mask.any():
            return None, np.zeros(quarter.shape, np.float32)
        drawn, less = self._target_blend.apply(mask, fused, quarter, self._bands.base, infrared)
        return less, drawn

    def _map(
        self, hidden: NDArray[np.float32] | None, dark: bool, blank: NDArray[np.uint8] | None, pace: NDArray[np.float32] | None
    ) -> NDArray[np.float32]:  # fmt: skip
        """The visible frame's share.

        hidden: what the infrared frame does not show (`validity.hidden`). dark: the visible frame shows nothing.
        """
        eighths = self._bands.eighths["visible"], self._bands.eighths["infrared"]
        blending_map = self._closed_form(*eighths)
        if self._steady:
            # a copy of the memory: it is handed out, and must not change with the next pair
            blending_map = self._memory.smooth("map", blending_map, pace).copy()
        if validity.is_blank(eighths[1]):
            blending_map[:] = 1
        elif dark:
            blending_map[:] = 0
        elif hidden is not None:
            # its details are 0 already and need no cap
            np.maximum(blending_map, np.float32(_ALMOST_ALL) * cv2.blur(hidden, (3, 3)), out=blending_map)
        if blank is not None:
            blending_map[blank] = 1
        return blending_map

    def close(self) -> None:
        if self._size != (0, 0):
            self._bands.close()
