"""A shape in the infrared frame: a point 80,60, a line 10,20 150,100, a polygon of three and more points, or a rectangle 80x60+40+30.

All in pixels from the upper left, or all in percent of the frame's width and height: 50%,50%.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import SettingsError
from edgefuse.util import zone
from edgefuse.util.zone import Zone

_POINT = re.compile(r"(\d{1,5}(?:\.\d{1,6})?)(%?),(\d{1,5}(?:\.\d{1,6})?)(%?)")
_MOST_POINTS = 100
_FORMS = "expected X,Y for a point, two of them for a line, more for a polygon, or WIDTHxHEIGHT+X+Y for a rectangle"


class Area(NamedTuple):
    """Pixels of a frame: a rectangle, and 1 where a pixel of it belongs to the area, else 0 (None where all do)."""

    rows: slice
    columns: slice
    mask: NDArray[np.uint8] | None

    @property
    def pixels(self) -> int:
        """Return their number."""
        size = (self.rows.stop - self.rows.start) * (self.columns.stop - self.columns.start)
        return size if self.mask is None else int(np.count_nonzero(self.mask))


@dataclass(frozen=True, slots=True)
class Outline:
    """One point, the two ends of a line, or a polygon's corners, x and y each; with `shares` in percent of the frame's size."""

    points: tuple[tuple[float, float], ...]
    shares: bool

    def pixels(self, height: int, width: int) -> list[tuple[int, int]]:
        """Return (x, y) of each point in a frame's pixels; some may lie beyond it."""
        if self.shares:
            return [(min(int(x * width / 100), width - 1), min(int(y * height / 100), height - 1)) for x, y in self.points]
        return [(int(x), int(y)) for x, y in self.points]


Shape = Zone | Outline


def parse(text: str) -> Shape:
    """Parse a shape; an empty text is the whole frame. Raises SettingsError."""
    words = text.split()
    if "x" in text or not words:
        return zone.parse(text)
    matches = [_POINT.fullmatch(word) for word in words]
    parsed = [m for m in matches if m is not None]
    if len(parsed) < len(words) or len({unit for m in parsed for unit in (m[2], m[4])}) != 1:
        raise SettingsError(f"{text!r} is not a zone; {_FORMS}, all in pixels or all in percent (50%,50%)")
    if len(words) > _MOST_POINTS:
        raise SettingsError(f"{text[:40]!r}... has {len(words)} points; a polygon has at most {_MOST_POINTS}")
    shares = parsed[0][2] == "%"
    points = tuple((float(m[1]), float(m[3])) for m in parsed)
    if shares and any(n > 100 for point in points for n in point):
        raise SettingsError(f"{text!r} reaches beyond the frame; expected at most 100%")
    if not shares and any(n != int(n) for point in points for n in point):
        raise SettingsError(f"{text!r} splits pixels; expected whole numbers, or shares with %")
    return Outline(points, shares)


def kind(shape: Shape) -> str:
    """Return "point", "line", "polygon" or "rectangle"."""
    return "rectangle" if isinstance(shape, Zone) else ("point", "line")[len(shape.points) - 1] if len(shape.points) < 3 else "polygon"


def area(shape: Shape, frame: tuple[int, ...]) -> Area | None:
    """Return a shape's pixels in a frame of a shape (H, W); None where it reaches beyond the frame."""
    if isinstance(shape, Zone):
        where = shape.slices(frame)
        return None if where is None else Area(*where, None)
    return _area(shape, frame[0], frame[1])


@lru_cache(64)
def _area(outline: Outline, height: int, width: int) -> Area | None:
    points = np.array(outline.pixels(height, width), np.int32)
    low, high = points.min(axis=0), points.max(axis=0)
    if high[0] >= width or high[1] >= height:
        return None
    rows, columns = slice(int(low[1]), int(high[1]) + 1), slice(int(low[0]), int(high[0]) + 1)
    if len(points) == 1:
        return Area(rows, columns, None)
    import cv2

    mask = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint8)
    inside = points - low
    if len(points) == 2:
        cv2.line(mask, inside[0].tolist(), inside[1].tolist(), (1,))
    else:
        cv2.fillPoly(mask, [inside], (1,))  # with its edges
    return Area(rows, columns, mask)
