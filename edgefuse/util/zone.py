"""A rectangle in the infrared frame, in pixels or percent: 80x60+40+30, or 50%x40%+25%+30%."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgefuse.errors import SettingsError

_FORM = re.compile(r"(\d{1,5}(?:\.\d{1,6})?)(%?)x(\d{1,5}(?:\.\d{1,6})?)(%?)\+(\d{1,5}(?:\.\d{1,6})?)(%?)\+(\d{1,5}(?:\.\d{1,6})?)(%?)")


@dataclass(frozen=True, slots=True)
class Zone:
    """Size and upper left corner in pixels, or with `shares` in percent of the frame's width and height."""

    width: float
    height: float
    x: float
    y: float
    shares: bool = False

    def slices(self, shape: tuple[int, ...]) -> tuple[slice, slice] | None:
        """Return (rows, columns) in a frame of `shape` (H, W), at least a pixel each; None where the zone exceeds the frame."""
        columns, rows = self._span(self.x, self.width, shape[1]), self._span(self.y, self.height, shape[0])
        return None if columns is None or rows is None else (rows, columns)

    def _span(self, begin: float, length: float, whole: int) -> slice | None:
        scale = whole / 100 if self.shares else 1
        first, end = round(begin * scale), round((begin + length) * scale)
        if self.shares:
            first = min(first, whole - 1)
            end = max(end, first + 1)
        return slice(first, end) if end <= whole else None


WHOLE = Zone(100, 100, 0, 0, shares=True)


def parse(text: str) -> Zone:
    """Parse a zone; an empty text is the whole frame. Raises SettingsError."""
    if not text:
        return WHOLE
    match = _FORM.fullmatch(text)
    if match is None or len(set(match.groups()[1::2])) != 1:
        raise SettingsError(f"{text!r} is not a zone; expected WIDTHxHEIGHT+X+Y in pixels (80x60+40+30) or percent (50%x40%+25%+30%)")
    width, height, x, y = map(float, match.groups()[::2])
    shares = match[2] == "%"
    if not width or not height:
        raise SettingsError(f"{text!r} is an empty zone; expected a width and a height above 0")
    if shares and (x + width > 100 or y + height > 100):
        raise SettingsError(f"{text!r} reaches beyond the frame; expected X + WIDTH and Y + HEIGHT of at most 100%")
    if not shares and any(n != int(n) for n in (width, height, x, y)):
        raise SettingsError(f"{text!r} splits pixels; expected whole numbers, or shares with %")
    return Zone(width, height, x, y, shares)
