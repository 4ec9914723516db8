"""The temperatures that the levels of an 8-bit infrared picture show."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgefuse.frames import Radiometry


@dataclass(frozen=True, slots=True)
class Levels:
    """low, high: the values of the levels 0 and 255; degrees Celsius with `celsius`, else counts. Counts are linear between them."""

    low: float
    high: float
    celsius: bool

    @classmethod
    def of(cls, limits: tuple[float, float] | None, law: Radiometry | None) -> Levels | None:
        """Return the levels for `limits` in counts (`ToGrey.limits`) of a frame with the radiometry `law`.

        None without limits, and where one of them is colder than what a surface of this emissivity reflects.
        """
        if limits is None:
            return None
        low, high = (law.celsius(count) if law is not None else None for count in limits)
        if low is None or high is None:
            return cls(*limits, celsius=False)
        return cls(low, high, celsius=True) if math.isfinite(low) and math.isfinite(high) else None
