"""View `side-by-side`: the visible picture on the left, the infrared picture on the right."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from edgefuse.views.base import Picture, Scene, View, colour
from edgefuse.views.marks import Mark

_WIDEST = 1920  # pixels: what the Raspberry Pi's H.264 encoder takes


class SideBySideView(View):
    """Twice as wide as the frame, or 1920 pixels where that is less. A missing camera's half is black."""

    def draw(self, scene: Scene) -> Picture:
        height, width = scene.fused.shape[:2]
        size = width, height
        if 2 * width > _WIDEST:
            size = _WIDEST // 2, max(1, round(height * _WIDEST / (2 * width)))
        picture = np.zeros((size[1], 2 * size[0], 3), np.uint8)
        if scene.pair.missing != "visible":
            picture[:, : size[0]] = _fit(colour(scene.visible), size)
        if scene.infrared is not None:
            picture[:, size[0] :] = self.thermal(_fit(scene.infrared, size))
        return picture

    def place(self, mark: Mark) -> Mark:
        return replace(mark, x=0.5 + mark.x / 2, width=mark.width / 2)


def _fit(picture: Picture, size: tuple[int, int]) -> Picture:
    return picture if picture.shape[1::-1] == size else cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
