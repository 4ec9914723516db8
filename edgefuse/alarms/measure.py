"""Measures an alarm's zone in an infrared frame, in degrees or counts, and compares it with the threshold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefuse.detection.tracker import Track
from edgefuse.frames import Frame, Radiometry
from edgefuse.settings.alarm import AlarmSettings
from edgefuse.thermal import degrees, regions, units
from edgefuse.util import shape
from edgefuse.util.shape import Shape


@dataclass(frozen=True, slots=True)
class Reading:
    """Measurement of one frame.

    value: in the alarm's unit, of the pixel or the mean; for an area, of its most extreme pixel.
    x, y: that pixel, from the frame's upper left; None for a mean. pixels: number beyond the threshold, for an area.
    beyond, back: as in `AlarmStateMachine.update`.
    """

    value: float
    x: int | None
    y: int | None
    pixels: int | None
    beyond: bool
    back: bool


def read(frame: Frame, s: AlarmSettings, place: Shape) -> Reading | str:
    """Measure a grey frame, uint8 or uint16 (H, W). Returns a reading, or the reason why there is none."""
    picked = regions.pick(frame, place)
    if isinstance(picked, str) and frame.colour:
        return picked
    law = frame.radiometry if s.unit != "counts" else None
    if s.unit != "counts" and not degrees.known(law):
        return 'the camera gives counts, not degrees; set unit = "counts"'
    if isinstance(picked, str):
        return picked
    counts, alive, left, top = picked
    area = shape.area(place, frame.data.shape)
    if s.measure == "area" and area is not None and area.pixels < s.pixels:
        return f"the zone has {area.pixels} pixels, the alarm needs {s.pixels} beyond"
    over = s.above is not None
    threshold = s.above if s.above is not None else s.below if s.below is not None else 0.0
    release = threshold - s.hysteresis if over else threshold + s.hysteresis
    if s.measure == "mean":
        value = _told(degrees.mean(counts, alive, law), s)
        return Reading(round(value, 2), None, None, None, *_compare(value, threshold, release, over))
    low, high, low_at, high_at = cv2.minMaxLoc(counts, alive)
    hottest = s.measure == "hottest" or (s.measure == "area" and over)
    extreme, (x, y) = (high, high_at) if hottest else (low, low_at)
    celsius = law.celsius(extreme) if law else None
    value = extreme if celsius is None else _told(celsius, s)
    if s.measure == "area":
        # at least N pixels beyond the limit, so the hysteresis applies in degrees here too
        beyond, still = (_count(counts, alive, _counts(limit, s, law), over) for limit in (threshold, release))
        return Reading(round(value, 2), x + left, y + top, beyond, beyond >= s.pixels, still < s.pixels)
    return Reading(round(value, 2), x + left, y + top, None, *_compare(value, threshold, release, over))


def count_people(tracks: Sequence[Track], size: tuple[int, int], s: AlarmSettings, place: Shape) -> Reading | str:
    """Count the people whose middle is in the alarm's zone. size: of the infrared frame, (width, height). Returns a reading, or the reason
    why there is none."""
    width, height = size
    area = shape.area(place, (height, width))
    if area is None:
        return f"the zone lies outside the infrared frame of {width}x{height} pixels"
    inside: list[tuple[int, int]] = []
    for track in tracks:
        x, y = (min(max(0, int(share * side)), side - 1) for share, side in zip(track.box.centre, size, strict=True))
        row, column = y - area.rows.start, x - area.columns.start
        within = 0 <= row < area.rows.stop - area.rows.start and 0 <= column < area.columns.stop - area.columns.start
        if within and (area.mask is None or area.mask[row, column]):
            inside.append((x, y))
    x_first, y_first = inside[0] if inside else (None, None)
    return Reading(float(len(inside)), x_first, y_first, None, len(inside) >= s.people, len(inside) < s.people)


def _told(value: float, s: AlarmSettings) -> float:
    """Return degrees Celsius in the alarm's unit, or counts."""
    return units.shown(value, s.unit)


def _counts(limit: float, s: AlarmSettings, law: Radiometry | None) -> float:
    """Return the counts of a limit in the alarm's unit."""
    return limit if law is None else law.counts(units.celsius_of(limit, s.unit))


def _compare(value: float, threshold: float, release: float, over: bool) -> tuple[bool, bool]:
    """Return (beyond, back)."""
    return (value > threshold, value <= release) if over else (value < threshold, value >= release)


def _count(counts: NDArray[Any], alive: NDArray[np.uint8] | None, limit: float, over: bool) -> int:
    # compare integers, because a fractional limit would convert all pixels to float
    limit = round(limit, 6)
    beyond = counts > max(math.floor(limit), -1) if over else counts < min(math.ceil(limit), 65536)
    return int(np.count_nonzero(beyond if alive is None else beyond & alive.view(bool)))
