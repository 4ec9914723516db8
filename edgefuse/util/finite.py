"""Numbers from text and metadata, which must be finite."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import SupportsFloat, SupportsIndex


def finite(values: Iterable[SupportsFloat | SupportsIndex | str]) -> tuple[float, ...]:
    """Return `values` as floats. Raises ValueError if one is not finite."""
    result = tuple(float(v) for v in values)
    if not all(map(math.isfinite, result)):
        raise ValueError("a number that is not finite")
    return result
