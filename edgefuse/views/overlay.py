"""Draws the overlay into a picture: scale bar, marks, time and name. White with a black outline, so that it is legible on anything."""

from __future__ import annotations

import cv2
import numpy as np

from edgefuse.thermal.levels import Levels
from edgefuse.thermal.units import SIGNS, DegreeUnit, Unit, shown
from edgefuse.views import draw_text
from edgefuse.views.base import Picture
from edgefuse.views.marks import Mark

_BLACK, _WHITE = (0, 0, 0), (255, 255, 255)


class Overlay:
    """Draws into one picture, uint8, grey or BGR. Texts drawn later are moved from those drawn earlier."""

    def __init__(self, picture: Picture) -> None:
        self._picture, self._capital = picture, draw_text.height(picture)
        self._height, self._width = picture.shape[:2]
        self._taken: list[draw_text.Box] = []

    def scale(self, colours: Picture, levels: Levels | None, on_left: bool, unit: DegreeUnit = "celsius") -> None:
        """Draw a bar of the palette `colours`, uint8 (256, 3), with the values of its ends. Only for a BGR picture."""
        capital, rows, top = self._capital, self._height // 2, self._height // 4
        left = capital if on_left else self._width - 2 * capital
        for margin, shade in ((2, _BLACK), (1, _WHITE)):
            corners = (left - margin, top - margin), (left + capital - 1 + margin, top + rows - 1 + margin)
            cv2.rectangle(self._picture, *corners, shade)
        bar = colours[np.linspace(255, 0, rows).round().astype(int)]
        self._picture[top : top + rows, left : left + capital] = bar[:, None]
        self._taken.append((left - 2, top - 2, left + capital + 2, top + rows + 2))
        if levels is None:
            texts = ("warm", "cold")
        else:
            told: Unit = unit if levels.celsius else "counts"
            digits, sign = (1 if abs(levels.high - levels.low) < 10 else 0, f" {SIGNS[unit]}") if levels.celsius else (0, "")
            texts = (f"{shown(levels.high, told):.{digits}f}{sign}", f"{shown(levels.low, told):.{digits}f}{sign}")
        for told_text, y in zip(texts, (top - round(1.2 * capital), top + rows + round(1.2 * capital)), strict=True):
            if on_left:
                self._put(told_text, left - 4, y)
            else:
                self._put(told_text, left + capital + 4, y, "right")

    def mark(self, mark: Mark) -> None:
        """Draw a mark and its label. A mark whose middle is outside the picture is left out."""
        middle_x, middle_y = mark.x + mark.width / 2, mark.y + mark.height / 2
        if not (0 <= middle_x < 1 and 0 <= middle_y < 1):
            return
        if mark.width or mark.height:
            self._rectangle(mark)
            return
        x, y = int(middle_x * self._width), int(middle_y * self._height)
        reach = max(4, self._capital // 2)
        for thickness, shade in ((3, _BLACK), (1, _WHITE)):
            cv2.drawMarker(self._picture, (x, y), shade, cv2.MARKER_CROSS, 2 * reach + thickness - 1, thickness)
        self._taken.append((x - reach, y - reach, x + reach + 1, y + reach + 1))
        if middle_x > 0.6:
            self._put(mark.label, x - reach - 1, y, "right")
        else:
            self._put(mark.label, x + reach + 2, y)

    def _rectangle(self, mark: Mark) -> None:
        first = round(mark.x * self._width), round(mark.y * self._height)
        last = round((mark.x + mark.width) * self._width), round((mark.y + mark.height) * self._height)
        for thickness, shade in ((3, _BLACK), (1, _WHITE)):
            cv2.rectangle(self._picture, first, last, shade, thickness)
        # above the rectangle, or inside where there is no room
        above = first[1] - self._capital
        self._put(mark.label, first[0], above if above > self._capital else first[1] + round(1.2 * self._capital))

    def name(self, words: str) -> None:
        """Write a name into the upper left corner."""
        self._put(words, 2, round(1.2 * self._capital))

    def time(self, words: str) -> None:
        """Write a time into the lower left corner."""
        self._put(words, 2, self._height - round(1.2 * self._capital))

    def _put(self, words: str, x: int, y: int, anchor: draw_text.Anchor = "left") -> None:
        draw_text.put(self._picture, words, x, y, anchor, self._taken)
