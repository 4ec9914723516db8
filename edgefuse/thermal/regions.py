"""Mean, minimum and maximum of regions of an infrared frame: a point, line, rectangle or polygon, over its pixels with a value.

A region lies in the infrared frame as EdgeFuse gets it: after the camera's rotate, flip and crop, before registration with the visible one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefuse.frames import Frame
from edgefuse.thermal import degrees
from edgefuse.thermal.spots import Spot
from edgefuse.util import shape
from edgefuse.util.shape import Shape


class Picked(NamedTuple):
    """A region's pixels: the rectangle around it, 1 where a pixel of it counts (None where all do), and its upper left corner."""

    counts: NDArray[Any]
    chosen: NDArray[np.uint8] | None
    x: int
    y: int


@dataclass(frozen=True, slots=True)
class RegionValues:
    """A region's values in one frame, in `unit`. pixels: how many have a value. minimum, maximum: of one pixel each, with its place."""

    name: str
    shape: Shape
    unit: Literal["celsius", "counts"]
    mean: float
    minimum: Spot
    maximum: Spot
    pixels: int


def pick(frame: Frame, place: Shape) -> Picked | str:
    """Return the pixels of a grey frame, uint8 or uint16 (H, W), in a place, or the reason why there are none."""
    if frame.colour:
        return "the infrared frames are in colour, which gives no temperature"
    area = shape.area(place, frame.data.shape)
    if area is None:
        noun = "zone" if shape.kind(place) == "rectangle" else shape.kind(place)
        return f"the {noun} lies outside the infrared frame of {frame.size[0]}x{frame.size[1]} pixels"
    where = area.rows, area.columns
    alive, chosen = degrees.measurable(frame), area.mask
    if alive is not None:
        part = np.ascontiguousarray(alive[where])
        chosen = part if chosen is None else chosen & part
        if not chosen.any():
            return "the zone has only dead pixels, or such as no surface of this emissivity gives"
    return Picked(frame.data[where], chosen, area.columns.start, area.rows.start)


def measure(frame: Frame, name: str, place: Shape) -> RegionValues | str:
    """Measure a region of a grey frame, uint8 or uint16 (H, W). Returns its values, or the reason why it has none."""
    picked = pick(frame, place)
    if isinstance(picked, str):
        return picked
    law = frame.radiometry
    low, high, low_at, high_at = cv2.minMaxLoc(picked.counts, picked.chosen)

    def spot(value: float, at: tuple[int, int]) -> Spot:
        celsius = law.celsius(value) if law else None
        return Spot(round(value if celsius is None else celsius, 2), at[0] + picked.x, at[1] + picked.y)

    pixels = picked.counts.size if picked.chosen is None else int(np.count_nonzero(picked.chosen))
    mean = round(degrees.mean(picked.counts, picked.chosen, law), 2)
    return RegionValues(name, place, "celsius" if degrees.known(law) else "counts", mean, spot(low, low_at), spot(high, high_at), pixels)
