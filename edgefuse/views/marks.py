"""Marks of the overlay: labelled points and rectangles in the infrared frame, and where they are in the picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgefuse.calibration.registration import Calibration, project
from edgefuse.frames import FramePair
from edgefuse.thermal import degrees, units
from edgefuse.thermal.regions import measure
from edgefuse.thermal.spots import spots
from edgefuse.thermal.units import DegreeUnit
from edgefuse.util import shape
from edgefuse.util.shape import Shape


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


def value(number: float, known: bool, unit: DegreeUnit) -> str:
    """Return degrees Celsius (known) in `unit`, or counts, as a person reads them."""
    return f"{units.shown(number, unit):.1f} {units.SIGNS[unit]}" if known else f"{number:.0f}"


def spot_marks(pair: FramePair, unit: DegreeUnit = "celsius") -> Sequence[Mark]:
    """Return the hottest and the coldest spot of a raw infrared frame; none where it is not raw or missing."""
    extremes = spots(pair.infrared) if pair.missing != "infrared" else None
    if extremes is None:
        return ()
    law, (width, height) = pair.infrared.radiometry, pair.infrared.size
    return [
        Mark(f"{word} {value(spot.value, degrees.known(law), unit)}", (spot.x + 0.5) / width, (spot.y + 0.5) / height)
        for word, spot in zip(("min", "max"), extremes, strict=True)
    ]


def region_marks(pair: FramePair, places: Mapping[str, Shape], unit: DegreeUnit = "celsius") -> Sequence[Mark]:
    """Return the regions of the infrared frame, with their name and mean; a line or a polygon as the rectangle around it.

    A region without a value, as outside the frame, is left out.
    """
    if pair.missing == "infrared":
        return ()
    made, (width, height) = [], pair.infrared.size
    for name, place in places.items():
        measured, where = measure(pair.infrared, name, place), shape.area(place, pair.infrared.data.shape)
        if isinstance(measured, str) or where is None:
            continue
        label = f"{name} {value(measured.mean, measured.unit == 'celsius', unit)}"
        x, y = where.columns.start / width, where.rows.start / height
        columns, rows = where.columns.stop - where.columns.start, where.rows.stop - where.rows.start
        if columns == rows == 1:
            made.append(Mark(label, x + 0.5 / width, y + 0.5 / height))
        else:
            made.append(Mark(label, x, y, columns / width, rows / height))
    return made


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
