"""Draws text that is legible on any background: white, with a black outline. ASCII and the degree sign; other letters become "?"."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Literal

import cv2
import numpy as np

from edgefuse.util.arrays import UInt8Array
from edgefuse.views.base import Picture

Anchor = Literal["left", "right"]
Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels
_FONT = cv2.FONT_HERSHEY_SIMPLEX  # OpenCV 5 has another font than OpenCV 4, so its sizes are measured
_SMALLEST = 10  # pixels of a capital letter: legible in a picture of 320 x 240
_TRIES = 9  # steps of half a text's height, up and down
_SHARE = 32  # a capital letter is this fraction of the picture's height


def height(picture: Picture) -> int:
    """Return the height of capital letters in this picture, in pixels."""
    return max(_SMALLEST, round(picture.shape[0] / _SHARE))


def plain(text: str) -> str:
    """Return a text with drawable characters only: accents are removed, unknown characters become "?"."""
    letters = unicodedata.normalize("NFKD", text.replace("\u00b0", "\0").replace("\u2212", "-"))
    kept = (c for c in letters if not unicodedata.combining(c))
    return "".join("\u00b0" if c == "\0" else c if " " <= c <= "~" else "?" for c in kept)


def _rendered(text: str, scale: float, thickness: int) -> UInt8Array:
    """Return a text's coverage as OpenCV draws it, uint8; its baseline is at two thirds of the height."""
    (width, tall), _ = cv2.getTextSize(text, _FONT, scale, thickness)
    side = max(12, 2 * tall)
    plane = np.zeros((3 * side, width + 2 * side), np.uint8)
    return cv2.putText(plane, text, (side, 2 * side), _FONT, scale, (255,), thickness, cv2.LINE_AA)


@lru_cache(16)
def _scale(capital: int, thickness: int) -> float:
    """Return OpenCV's scale for capital letters of that height in pixels."""

    def tall(scale: float) -> int:
        return int(cv2.boundingRect((_rendered("H", scale, thickness) > 127).astype(np.uint8))[3])

    # OpenCV 4 adds the strokes' thickness to the height, whatever the scale
    slope = (tall(8.0) - tall(4.0)) / 4.0
    return max(0.1, (capital - (tall(8.0) - 8.0 * slope)) / slope)


@lru_cache(64)
def _drawn(text: str, capital: int) -> tuple[UInt8Array, UInt8Array]:
    """Return the ink's and the outline's coverage, uint8 (h, w), of a text with capital letters of that height in pixels.

    All texts of one height have the same number of rows above and below the baseline.
    """
    thickness, outline, degree = max(1, round(capital / 9)), max(2, round(capital / 7)), round(capital * 0.5)
    scale = _scale(capital, thickness)
    pieces: list[UInt8Array] = []
    above, below = capital + outline + 1, round(capital * 0.35) + outline
    for number, part in enumerate(plain(text).split("\u00b0")):
        if number:
            ring = np.zeros((above + below, degree), np.uint8)
            radius = max(2, round(capital * 0.16))
            pieces.append(cv2.circle(ring, (degree // 2, above - capital + radius), radius, (255,), 1, cv2.LINE_AA))
        if part:
            plane = _rendered(part, scale, thickness)
            baseline = 2 * plane.shape[0] // 3
            x, _, wide, _ = cv2.boundingRect(plane)
            # blanks at the ends have no ink, and keep their place
            wide = max(wide, cv2.getTextSize(part, _FONT, scale, thickness)[0][0])
            pieces.append(plane[baseline - above : baseline + below, x : x + wide])
    ink = cv2.copyMakeBorder(np.hstack(pieces), 0, 0, outline, outline, cv2.BORDER_CONSTANT, value=0)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * outline + 1, 2 * outline + 1))
    return ink, cv2.dilate(ink, kernel)


def put(picture: Picture, text: str, x: int, y: int, anchor: Anchor = "left", taken: list[Box] | None = None) -> None:
    """Draw `text` into `picture` (uint8, grey or BGR), moved inside where it would reach beyond the edge.

    x: the text's left or right end, by `anchor`. y: its vertical middle. A text wider than the picture is cut. taken: boxes that it is
    moved away from; its own is added.
    """
    if not text:
        return
    ink, edge = _drawn(text, height(picture))
    rows, columns = ink.shape
    left = max(0, min(x if anchor == "left" else x - columns, picture.shape[1] - columns))
    top = max(0, min(y - rows // 2, picture.shape[0] - rows))
    if taken is not None:
        left, top = _free((left, top), (columns, rows), picture.shape[1::-1], taken)
        taken.append((left, top, left + columns, top + rows))
    part = picture[top : top + rows, left : left + columns]
    ink, edge = (plane[: part.shape[0], : part.shape[1]] for plane in (ink, edge))
    if picture.ndim == 3:
        ink, edge = cv2.cvtColor(ink, cv2.COLOR_GRAY2BGR), cv2.cvtColor(edge, cv2.COLOR_GRAY2BGR)
    part[:] = cv2.add(cv2.subtract(part, edge), ink)


def _free(first: tuple[int, int], size: tuple[int, int], within: tuple[int, ...], taken: list[Box]) -> tuple[int, int]:
    """Return the nearest place (left, top) of a box of this size that meets none of `taken`; `first` where there is none."""
    for aside in (0, 1, -1, 2, -2):
        left = first[0] + aside * size[0] // 2
        for step in range(_TRIES):
            for top in (first[1] + step * size[1] // 2, first[1] - step * size[1] // 2):
                inside = 0 <= left <= within[0] - size[0] and 0 <= top <= within[1] - size[1]
                if inside and not any(_meet((left, top, left + size[0], top + size[1]), box) for box in taken):
                    return left, top
    return first


def _meet(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
