"""Block capitals for the demo's shop sign, drawn as strokes.

OpenCV's own text unpacks its fonts into 9 MB that are never freed, and its look changes with the version.
"""

from __future__ import annotations

import cv2
import numpy as np

from edgefuse.demoscene.optics import Array

_HIGH, _STROKE, _GAP = 160, 38, 14  # in pixels: a capital's height, a stroke's width, the gap between letters
_FINE = 4  # fractional bits of a pixel coordinate
Stroke = list[tuple[float, float]]


def _arc(x: float, y: float, rx: float, ry: float, first: int, last: int) -> Stroke:
    """Return a part of an ellipse between two angles in degrees, counted counter-clockwise from the right."""
    turn = np.radians(np.linspace(first, last, 2 + abs(last - first) // 15))
    return list(zip((x + rx * np.cos(turn)).tolist(), (y + ry * np.sin(turn)).tolist(), strict=True))


_BOWL: Stroke = [(0.0, 1.0), *_arc(0.62, 0.74, 0.38, 0.26, 90, -90), (0.0, 0.48)]
# a letter's width relative to its height, and its strokes' centre lines in a box from (0, 0), bottom left, to (1, 1)
_LETTERS: dict[str, tuple[float, list[Stroke]]] = {
    " ": (0.10, []),
    "A": (0.72, [[(0, 0), (0.5, 1), (1, 0)], [(0.2, 0.3), (0.8, 0.3)]]),
    "B": (0.54, [[(0, 0), *_BOWL], [(0, 0.48), *_arc(0.62, 0.24, 0.38, 0.24, 90, -90), (0, 0)]]),
    "C": (0.60, [_arc(0.55, 0.5, 0.55, 0.5, 45, 315)]),
    "E": (0.46, [[(1, 1), (0, 1), (0, 0), (1, 0)], [(0, 0.5), (0.85, 0.5)]]),
    "F": (0.46, [[(1, 1), (0, 1), (0, 0)], [(0, 0.48), (0.85, 0.48)]]),
    "H": (0.56, [[(0, 0), (0, 1)], [(1, 0), (1, 1)], [(0, 0.5), (1, 0.5)]]),
    "I": (0.00, [[(0, 0), (0, 1)]]),
    "K": (0.58, [[(0, 0), (0, 1)], [(1, 1), (0, 0.4)], [(0.35, 0.6), (1, 0)]]),
    "L": (0.44, [[(0, 1), (0, 0), (1, 0)]]),
    "M": (0.74, [[(0, 0), (0, 1), (0.5, 0.3), (1, 1), (1, 0)]]),
    "N": (0.58, [[(0, 0), (0, 1), (1, 0), (1, 1)]]),
    "O": (0.62, [_arc(0.5, 0.5, 0.5, 0.5, 0, 360)]),
    "P": (0.54, [[(0, 0), *_BOWL]]),
    "R": (0.56, [[(0, 0), *_BOWL], [(0.5, 0.48), (1, 0)]]),
    "S": (0.54, [_arc(0.5, 0.75, 0.5, 0.25, 25, 270) + _arc(0.5, 0.25, 0.5, 0.25, 90, -155)]),
    "T": (0.60, [[(0, 1), (1, 1)], [(0.5, 1), (0.5, 0)]]),
    "U": (0.56, [[(0, 1), *_arc(0.5, 0.4, 0.5, 0.4, 180, 360), (1, 1)]]),
    "Y": (0.66, [[(0, 1), (0.5, 0.45), (1, 1)], [(0.5, 0.45), (0.5, 0)]]),
}


def word(text: str) -> Array:
    """Draw a word: uint8 mask (160, w), 255 where there is paint; the letters fill the mask's height."""
    inside = _HIGH - _STROKE
    widths = [round(_LETTERS[letter][0] * _HIGH) + _STROKE for letter in text]
    mask = np.zeros((_HIGH, sum(widths) + _GAP * (len(text) - 1)), np.uint8)
    left = 0
    for letter, width in zip(text, widths, strict=True):
        for stroke in _LETTERS[letter][1]:
            middles = np.array(stroke) * (width - _STROKE, -inside) + (left + _STROKE / 2, inside + _STROKE / 2)
            points = np.round(middles * (1 << _FINE)).astype(np.int32)
            cv2.polylines(mask, [points], False, (255,), _STROKE, cv2.LINE_AA, _FINE)
        left += width + _GAP
    return mask
