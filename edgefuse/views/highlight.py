"""View `highlight`: the visible picture, with warm things tinted by their temperature."""

from __future__ import annotations

import logging
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefuse.frames import Radiometry
from edgefuse.views.base import Picture, Scene, View, ViewOptions, colour

log = logging.getLogger(__name__)

_SHARE = 0.75  # of the tint where a thing is certainly warm
_DEVIATIONS = 2.0  # above the mean from which a level is warm, where no isotherm is given
_RAMP = 24  # levels from the first trace of the tint to all of it
_REDUCED = 4  # times smaller: the picture in which a pixel's surroundings are averaged
_FIRST = 110  # of the palette's levels: the colours below look cold


class HighlightView(View):
    """Tints pixels above the isotherm; without one, the targets of the fusion model and the levels far above the frame's mean.

    The isotherm is compared with the raw counts, because the levels of gain control end below a small hot spot.
    """

    def __init__(self, options: ViewOptions) -> None:
        super().__init__(options)
        self._table = np.ascontiguousarray(self._table[np.linspace(_FIRST, 255, 256).round().astype(int)])
        self._slope = np.clip(np.arange(256) * (255 / _RAMP), 0, 255).astype(np.uint8)
        self._warned = False

    def draw(self, scene: Scene) -> Picture:
        visible = colour(scene.visible)
        if scene.infrared is None:
            return visible
        heat = self._heat(scene, scene.infrared)
        x, y, width, height = cv2.boundingRect(heat)
        if not width:
            return visible
        picture = visible.copy()
        part = (slice(y, y + height), slice(x, x + width))
        share = colour(heat[part])
        tint = cv2.multiply(self.thermal(scene.infrared[part]), share, scale=1 / 255)
        rest = cv2.multiply(visible[part], cv2.bitwise_not(share), scale=1 / 255)
        picture[part] = cv2.add(tint, rest)
        return picture

    def _heat(self, scene: Scene, infrared: Picture) -> Picture:
        """Return the share of the tint in 1/255, uint8 (H, W)."""
        if self.options.isotherm is not None:
            counts, law = scene.pair.infrared.data, scene.pair.infrared.radiometry
            if law is not None and law.scale is not None and counts.dtype == np.uint16 and counts.ndim == 2:
                return scene.register(self._above(counts, law, self.options.isotherm))
            if not self._warned:
                self._warned = True
                log.warning("isotherm: the infrared frames have no temperatures; the view tints what is far warmer than their mean instead")
        mean, deviation = (float(v[0, 0]) for v in cv2.meanStdDev(infrared))
        first = mean + _DEVIATIONS * deviation
        ramp = np.clip((np.arange(256) - first) / _RAMP, 0, 1) * (255 * _SHARE)
        heat = cv2.LUT(infrared, ramp.astype(np.uint8))
        if scene.targets is None or not scene.targets.any():
            return heat
        targets: Picture = cv2.convertScaleAbs(scene.targets, alpha=255 * _SHARE)
        height, width = (n * scene.target_scale for n in targets.shape)
        targets = cv2.resize(targets, (width, height), interpolation=cv2.INTER_LINEAR)[: infrared.shape[0], : infrared.shape[1]]
        return cv2.max(heat, cv2.multiply(targets, self._warmer(infrared), scale=1 / 255))

    def _warmer(self, infrared: Picture) -> Picture:
        """Return how far each pixel is warmer than its surroundings, uint8 (H, W): the mask of targets reaches beyond the things."""
        height, width = infrared.shape
        small = cv2.resize(infrared, (max(1, width // _REDUCED), max(1, height // _REDUCED)), interpolation=cv2.INTER_AREA)
        side = max(3, small.shape[0] // 4) | 1
        around = cv2.resize(cv2.blur(small, (side, side)), (width, height), interpolation=cv2.INTER_LINEAR)
        return cv2.LUT(cv2.subtract(infrared, around), self._slope)

    @staticmethod
    def _above(counts: NDArray[Any], law: Radiometry, isotherm: float) -> Picture:
        """Return the tint's share where the counts are at or above the isotherm, else 0; uint8 of the infrared frame's own size."""
        low, high = 1, 65535
        while low < high:  # the first count at or above the isotherm
            middle = (low + high) // 2
            celsius = law.celsius(middle)
            low, high = (low, middle) if celsius is not None and celsius >= isotherm else (middle + 1, high)
        # 65535 is no measurement
        return cv2.inRange(counts, low, 65534) & np.uint8(255 * _SHARE)
