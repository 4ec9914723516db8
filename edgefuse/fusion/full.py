"""Models that draw the fused luma themselves, at full resolution (MobileFuse as published and its ablations)."""

from __future__ import annotations

import time

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefuse.fusion import colour
from edgefuse.fusion.method import Made, Method
from edgefuse.runtimes import Choice
from edgefuse.settings import Colour
from edgefuse.zoo import Card


class FullResolution(Method):
    """Luma and infrared in; the fused luma out and, where the model has one, the blending map."""

    STAGES = ("prepare", "network", "colour")

    def __init__(self, card: Card, choice: Choice, mode: Colour) -> None:
        self._choice, self._colour = choice, mode
        self._has_map = "map" in {t.name for t in card.outputs}

    def make(self, visible: NDArray[np.uint8], infrared: NDArray[np.uint8], time_ns: int) -> Made:
        begin = time.perf_counter_ns()
        luma, chroma = colour.split(visible)
        inputs = {"visible": self._tensor(luma), "infrared": self._tensor(infrared)}
        prepared = time.perf_counter_ns()
        outputs = self._choice.runtime.run(inputs)
        ran = time.perf_counter_ns()
        # rounded to nearest, saturated
        fused = cv2.convertScaleAbs(np.maximum(outputs["fused"].reshape(luma.shape), 0), alpha=255)
        blending_map = outputs["map"].reshape(luma.shape) if self._has_map else None
        data = colour.join(fused, chroma, blending_map, self._colour)
        done = time.perf_counter_ns()
        return Made(data, blending_map, 1, dict(zip(self.STAGES, (prepared - begin, ran - prepared, done - ran), strict=True)))

    def _tensor(self, luma: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self._choice.tensor(np.multiply(luma, np.float32(1 / 255), dtype=np.float32))
