"""Measures an alarm's zone in an infrared frame, in degrees or counts, and compares it with the threshold."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefuse.frames import Frame
from edgefuse.settings.alarm import AlarmSettings
from edgefuse.thermal import invalid
from edgefuse.util.zone import Zone


@dataclass(frozen=True, slots=True)
class Reading:
    """Measurement of one frame.

    value: in degrees Celsius or counts (the alarm's unit), of the pixel or the mean; for an area, of its most extreme pixel.
    x, y: that pixel, from the frame's upper left; None for a mean. pixels: number beyond the threshold, for an area.
    beyond, back: as in `AlarmStateMachine.update`.
    """

    value: float
    x: int | None
    y: int | None
    pixels: int | None
    beyond: bool
    back: bool


def read(frame: Frame, s: AlarmSettings, zone: Zone) -> Reading | str:
    """Measure a grey frame, uint8 or uint16 (H, W). Returns a reading, or the reason why there is none."""
    law = frame.radiometry
    if frame.colour:
        return "the infrared frames are in colour, which gives no temperature"
    degrees = s.unit == "celsius"
    if degrees and (law is None or law.scale is None):
        return 'the camera gives counts, not degrees; set unit = "counts"'
    where = zone.slices(frame.data.shape)
    if where is None:
        return f"the zone lies outside the infrared frame of {frame.size[0]}x{frame.size[1]} pixels"
    counts: NDArray[Any] = frame.data[where]
    if s.measure == "area" and counts.size < s.pixels:
        return f"the zone has {counts.size} pixels, the alarm needs {s.pixels} beyond"
    scale, offset = (law.scale, law.offset) if degrees and law and law.scale else (1.0, 0.0)
    whole: Any = frame.data
    alive = None if counts.dtype != np.uint16 else invalid.alive(whole)
    if alive is not None:
        alive = np.ascontiguousarray(alive[where])
    if alive is not None and not alive.any():
        return "the zone has only dead pixels"
    over = s.above is not None
    threshold = s.above if s.above is not None else s.below if s.below is not None else 0.0
    release = threshold - s.hysteresis if over else threshold + s.hysteresis
    if s.measure == "mean":
        value = cv2.mean(counts, alive)[0] * scale + offset
        return Reading(round(value, 2), None, None, None, *_compare(value, threshold, release, over))
    low, high, low_at, high_at = cv2.minMaxLoc(counts, alive)
    hottest = s.measure == "hottest" or (s.measure == "area" and over)
    extreme, (x, y) = (high, high_at) if hottest else (low, low_at)
    value = extreme * scale + offset
    x, y = x + where[1].start, y + where[0].start
    if s.measure == "area":
        # at least N pixels beyond the limit, so the hysteresis applies in degrees here too
        beyond, still = (_count(counts, alive, (limit - offset) / scale, over) for limit in (threshold, release))
        return Reading(round(value, 2), x, y, beyond, beyond >= s.pixels, still < s.pixels)
    return Reading(round(value, 2), x, y, None, *_compare(value, threshold, release, over))


def _compare(value: float, threshold: float, release: float, over: bool) -> tuple[bool, bool]:
    """Return (beyond, back)."""
    return (value > threshold, value <= release) if over else (value < threshold, value >= release)


def _count(counts: NDArray[Any], alive: NDArray[np.uint8] | None, limit: float, over: bool) -> int:
    # compare integers, because a fractional limit would convert all pixels to float
    limit = round(limit, 6)
    beyond = counts > max(math.floor(limit), -1) if over else counts < min(math.ceil(limit), 65536)
    return int(np.count_nonzero(beyond if alive is None else beyond & alive.view(bool)))
