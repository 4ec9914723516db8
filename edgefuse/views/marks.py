"""Marks of the overlay: labelled points and rectangles in the infrared frame, and where they are in the picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edgefuse.calibration.registration import Calibration, project
from edgefuse.frames import FramePair
from edgefuse.thermal.spots import spots
from edgefuse.thermal.units import SIGNS, DegreeUnit, shown


@dataclass(frozen=True, slots=True)
class Mark:
    """A point, or with `width` and `height` a rectangle; shares of a frame's width and height, x and y from the upper left.

    label: what is written beside it, such as a name and a value; "" for none.
    """

    label: str
    x: float
    y: float
    width: float = 0.0
    height: float = 0.0


MarkSource = Callable[[FramePair], Sequence[Mark]]  # makes the marks of a pair, in shares of its infrared frame


def degrees(celsius: float, unit: DegreeUnit = "celsius") -> str:
    """Return a temperature in a unit as a person reads it."""
    return f"{shown(celsius, unit):.1f} {SIGNS[unit]}"


def spot_marks(pair: FramePair, unit: DegreeUnit = "celsius") -> Sequence[Mark]:
    """Return the hottest and the coldest spot of a raw infrared frame; none where it is not raw or missing."""
    extremes = spots(pair.infrared) if pair.missing != "infrared" else None
    if extremes is None:
        return ()
    law, (width, height) = pair.infrared.radiometry, pair.infrared.size
    known = law is not None and law.scale is not None
    return [
        Mark(f"{word} {degrees(spot.value, unit) if known else f'{spot.value:.0f}'}", (spot.x + 0.5) / width, (spot.y + 0.5) / height)
        for word, spot in zip(("min", "max"), extremes, strict=True)
    ]


def on_visible(mark: Mark, calibration: Calibration | None) -> Mark:
    """Return a mark of the infrared frame where it is in the visible frame. Lens distortion is ignored.

    A rectangle becomes the smallest upright one that encloses it.
    """
    if calibration is None:
        return mark
    width, height = calibration.infrared_size
    corners = [(mark.x, mark.y), (mark.x + mark.width, mark.y), (mark.x, mark.y + mark.height), (mark.x + mark.width, mark.y + mark.height)]
    # pixel 0 has its middle at 0, and its left edge at -0.5
    there = project(calibration.homography, np.array(corners, np.float64) * (width, height) - 0.5) + 0.5
    there /= calibration.visible_size
    (left, top), (right, bottom) = there.min(axis=0), there.max(axis=0)
    return Mark(mark.label, float(left), float(top), float(right - left), float(bottom - top))
