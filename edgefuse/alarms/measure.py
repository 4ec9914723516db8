"""What an alarm sees in an infrared frame: degrees or counts of its zone, and whether they are beyond its threshold."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefuse.frames import Frame
from edgefuse.settings.alarm import AlarmSettings
from edgefuse.util.zone import Zone

_DEAD, _SATURATED = 0, 65535  # counts that no scene gives


@dataclass(frozen=True, slots=True)
class Reading:
    """value: degrees Celsius or counts (the alarm's unit) of the pixel or the mean; for an area, of its most extreme pixel. x, y: that
    pixel, from the frame's upper left; None of a mean. pixels: how many are beyond, for an area. beyond, back: as for `Machine.see`."""

    value: float
    x: int | None
    y: int | None
    pixels: int | None
    beyond: bool
    back: bool


def read(frame: Frame, s: AlarmSettings, zone: Zone) -> Reading | str:
    """frame: grey, uint8 or uint16 (H, W). A reading, or in words why there can be none of this frame."""
    law = frame.radiometry
    if frame.colour:
        return "the infrared frames are in colour, which tells no temperature"
    degrees = s.unit == "celsius"
    if degrees and (law is None or law.scale is None):
        return 'the camera tells counts, not degrees; set unit = "counts"'
    where = zone.slices(frame.data.shape)
    if where is None:
        return f"the zone lies outside the infrared frame of {frame.size[0]}x{frame.size[1]} pixels"
    counts: NDArray[Any] = frame.data[where]
    if s.measure == "area" and counts.size < s.pixels:
        return f"the zone has {counts.size} pixels, the alarm wants {s.pixels} beyond"
    scale, offset = (law.scale, law.offset) if degrees and law and law.scale else (1.0, 0.0)
    alive = _alive(counts)
    if alive is not None and not alive.any():
        return "the zone has none but dead pixels"
    over = s.above is not None
    threshold = s.above if s.above is not None else s.below if s.below is not None else 0.0
    release = threshold - s.hysteresis if over else threshold + s.hysteresis
    if s.measure == "mean":
        value = cv2.mean(counts, alive)[0] * scale + offset
        return Reading(round(value, 2), None, None, None, *_compare(value, threshold, release, over))
    low, high, low_at, high_at = cv2.minMaxLoc(counts, alive)
    hottest = s.measure == "hottest" or (s.measure == "area" and over)
    found, (x, y) = (high, high_at) if hottest else (low, low_at)
    value = found * scale + offset
    x, y = x + where[1].start, y + where[0].start
    if s.measure == "area":
        # at least N pixels beyond is the N-th most extreme one beyond: hysteresis is in degrees here, too
        beyond, still = (_count(counts, alive, (limit - offset) / scale, over) for limit in (threshold, release))
        return Reading(round(value, 2), x, y, beyond, beyond >= s.pixels, still < s.pixels)
    return Reading(round(value, 2), x, y, None, *_compare(value, threshold, release, over))


def _alive(counts: NDArray[Any]) -> NDArray[np.uint8] | None:
    """A mask of the pixels that work; None where all do."""
    if counts.dtype != np.uint16:
        return None
    low, high, _, _ = cv2.minMaxLoc(counts)
    if low > _DEAD and high < _SATURATED:
        return None
    return ((counts > _DEAD) & (counts < _SATURATED)).view(np.uint8)


def _compare(value: float, threshold: float, release: float, over: bool) -> tuple[bool, bool]:
    """(beyond, back)."""
    return (value > threshold, value <= release) if over else (value < threshold, value >= release)


def _count(counts: NDArray[Any], alive: NDArray[np.uint8] | None, limit: float, over: bool) -> int:
    # whole counts: comparing with a fraction would make floats of all pixels
    limit = round(limit, 6)
    beyond = counts > max(math.floor(limit), -1) if over else counts < min(math.ceil(limit), 65536)
    return int(np.count_nonzero(beyond if alive is None else beyond & alive.view(bool)))
