"""The hottest and the coldest pixel of a raw infrared frame."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edgefuse.frames import Frame

_DEAD, _SATURATED = 0, 65535  # counts that no scene produces


@dataclass(frozen=True, slots=True)
class Spot:
    """A pixel's value: degrees Celsius, or counts for a frame without radiometry. x, y: its position from the upper left."""

    value: float
    x: int
    y: int


def spots(frame: Frame) -> tuple[Spot, Spot] | None:
    """Return (coldest, hottest) of a raw frame, uint16 (H, W), ignoring dead (0) and saturated (65535) pixels.

    None where the frame is not raw or has no other pixel.
    """
    if frame.data.dtype != np.uint16 or frame.colour:
        return None
    low, high, low_at, high_at = cv2.minMaxLoc(frame.data)
    if low <= _DEAD or high >= _SATURATED:
        alive = ((frame.data > _DEAD) & (frame.data < _SATURATED)).view(np.uint8)
        if not alive.any():
            return None
        low, high, low_at, high_at = cv2.minMaxLoc(frame.data, mask=alive)
    law = frame.radiometry

    def spot(counts: float, at: tuple[int, int]) -> Spot:
        celsius = law.celsius(counts) if law else None
        return Spot(round(counts if celsius is None else celsius, 2), at[0], at[1])

    return spot(low, low_at), spot(high, high_at)
