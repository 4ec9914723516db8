"""View `inset`: the visible picture, with the whole infrared picture small in its lower right corner."""

from __future__ import annotations

from dataclasses import replace

import cv2

from edgefuse.views.base import Picture, Scene, View, colour
from edgefuse.views.marks import Mark

_SHARE, _MARGIN = 0.4, 0.02  # of the picture's width and height
_FIRST = 1 - _SHARE - _MARGIN


class InsetView(View):
    """Picture in picture. Marks are in the infrared picture."""

    SCALE_ON_LEFT = True

    def draw(self, scene: Scene) -> Picture:
        visible = colour(scene.visible)
        if scene.infrared is None:
            return visible
        picture = visible.copy()
        height, width = picture.shape[:2]
        size = max(1, round(width * _SHARE)), max(1, round(height * _SHARE))
        x, y = round(width * _FIRST), round(height * _FIRST)
        picture[y : y + size[1], x : x + size[0]] = self.thermal(cv2.resize(scene.infrared, size, interpolation=cv2.INTER_AREA))
        cv2.rectangle(picture, (x - 1, y - 1), (x + size[0], y + size[1]), (255, 255, 255))
        return picture

    def place(self, mark: Mark) -> Mark:
        x, y = _FIRST + mark.x * _SHARE, _FIRST + mark.y * _SHARE
        return replace(mark, x=x, y=y, width=mark.width * _SHARE, height=mark.height * _SHARE)
