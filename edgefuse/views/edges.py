"""View `edges`: the infrared picture in a palette, with the visible picture's edges embossed."""

from __future__ import annotations

import cv2
import numpy as np

from edgefuse.views.base import Picture, Scene, View, ViewOptions, colour

_SIDE = 5  # pixels: details up to this size are drawn
_NOISE = 3  # levels: smaller differences are noise
_GAIN, _STRONGEST = 2.0, 72  # of a detail, and its largest effect in levels


class EdgesView(View):
    """Adds the visible frame's details (its luma minus its mean over 5 x 5 pixels) to the coloured infrared picture."""

    def __init__(self, options: ViewOptions) -> None:
        super().__init__(options)
        self._strength = np.clip(_GAIN * (np.arange(256.0) - _NOISE), 0, _STRONGEST).astype(np.uint8)

    def draw(self, scene: Scene) -> Picture:
        if scene.infrared is None:
            return scene.visible
        thermal = self.thermal(scene.infrared)
        if scene.pair.missing == "visible":
            return thermal
        luma = cv2.cvtColor(scene.visible, cv2.COLOR_BGR2GRAY) if scene.visible.ndim == 3 else scene.visible
        mean = cv2.blur(luma, (_SIDE, _SIDE))
        # saturating differences of 8 bits take a third of the instructions of weighted sums
        lighter, darker = cv2.subtract(luma, mean), cv2.subtract(mean, luma)
        cv2.add(thermal, colour(cv2.LUT(lighter, self._strength)), thermal)
        return cv2.subtract(thermal, colour(cv2.LUT(darker, self._strength)), thermal)
