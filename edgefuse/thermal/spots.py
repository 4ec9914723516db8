"""The hottest and the coldest pixel of a raw infrared frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefuse.frames import Frame
from edgefuse.thermal import degrees


@dataclass(frozen=True, slots=True)
class Spot:
    """A pixel's value: degrees Celsius, or counts for a frame without radiometry. x, y: its position from the upper left."""

    value: float
    x: int
    y: int


def spots(frame: Frame) -> tuple[Spot, Spot] | None:
    """Return (coldest, hottest) of a raw frame, uint16 (H, W), ignoring pixels without a value (`edgefuse.thermal.degrees.measurable`).

    None where the frame is not raw or has no other pixel.
    """
    if frame.data.dtype != np.uint16 or frame.colour:
        return None
    counts: NDArray[Any] = frame.data
    alive = degrees.measurable(frame)
    if alive is not None and not alive.any():
        return None
    low, high, low_at, high_at = cv2.minMaxLoc(counts, mask=alive)
    law = frame.radiometry

    def spot(value: float, at: tuple[int, int]) -> Spot:
        celsius = law.celsius(value) if law else None
        return Spot(round(value if celsius is None else celsius, 2), at[0], at[1])

    return spot(low, low_at), spot(high, high_at)
