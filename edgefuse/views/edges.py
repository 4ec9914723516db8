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
        detail = np.arange(256) - 128.0
        cored = np.sign(detail) * np.clip(_GAIN * (np.abs(detail) - _NOISE), 0, _STRONGEST)
        self._emboss = np.rint(128 + cored).astype(np.uint8)

    def draw(self, scene: Scene) -> Picture:
        if scene.infrared is None:
            return scene.visible
        thermal = self.thermal(scene.infrared)
        if scene.pair.missing == "visible":
            return thermal
        luma = cv2.cvtColor(scene.visible, cv2.COLOR_BGR2GRAY) if scene.visible.ndim == 3 else scene.visible
        mean = cv2.blur(luma, (_SIDE, _SIDE))
        # 128 is no detail
        detail = cv2.LUT(cv2.addWeighted(luma, 1, mean, -1, 128), self._emboss)
        return cv2.addWeighted(thermal, 1, colour(detail), 1, -128, thermal)
