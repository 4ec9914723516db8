"""Runs models whose network outputs the fused luma at full resolution: MobileFuse as published, its ablations, NestFuse."""

from __future__ import annotations

import time

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefuse.fusion import colour, memory_check
from edgefuse.fusion.method import Method, MethodResult
from edgefuse.fusion.options import Colour
from edgefuse.runtimes import Choice
from edgefuse.zoo import Card


class FullResolution(Method):
    """Fuses pairs with a network that takes luma and infrared and returns the fused luma and, for some models, the blending map."""

    STAGES = ("prepare", "network", "colour")

    def __init__(self, card: Card, choice: Choice, mode: Colour) -> None:
        self._choice, self._colour = choice, mode
        self._has_map = "map" in {t.name for t in card.outputs}
        self._card, self._multiple = card, card.multiple
        self._fits: tuple[int, ...] = ()  # the last shape that fitted into memory

    def make(self, visible: NDArray[np.uint8], infrared: NDArray[np.uint8], time_ns: int) -> MethodResult:
        begin = time.perf_counter_ns()
        luma, chroma = colour.split(visible)
        if luma.shape != self._fits:
            memory_check.check(self._card, self._choice, luma.shape)
            self._fits = luma.shape
        inputs = {"visible": self._tensor(luma), "infrared": self._tensor(infrared)}
        prepared = time.perf_counter_ns()
        outputs = self._choice.runtime.run(inputs)
        ran = time.perf_counter_ns()
        # rounds to nearest and saturates
        fused = cv2.convertScaleAbs(np.maximum(self._plane(outputs["fused"], luma.shape), 0), alpha=255)
        blending_map = self._plane(outputs["map"], luma.shape) if self._has_map else None
        data = colour.join(fused, chroma, blending_map, self._colour)
        done = time.perf_counter_ns()
        return MethodResult(data, blending_map, 1, dict(zip(self.STAGES, (prepared - begin, ran - prepared, done - ran), strict=True)))

    def _tensor(self, luma: NDArray[np.uint8]) -> NDArray[np.float32]:
        below, right = (-n % self._multiple for n in luma.shape)
        if below or right:
            luma = cv2.copyMakeBorder(luma, 0, below, 0, right, cv2.BORDER_REPLICATE)
        return self._choice.tensor(np.multiply(luma, np.float32(1 / 255), dtype=np.float32))

    def _plane(self, output: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Return an output as one plane (H, W), without the padding."""
        height, width = (n + -n % self._multiple for n in shape)
        return output.reshape(height, width)[: shape[0], : shape[1]]
