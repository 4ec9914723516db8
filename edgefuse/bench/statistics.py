"""Statistics of many durations, with their reliability.

A run is divided into ten blocks. The blocks' medians (means) show how well the median (mean) is known: to within 1.58 interquartile
ranges over the square root of their number, in 95 of 100 cases (the notch of McGill, Tukey and Larsen's box plots, 1978). Single
outliers, as on any desktop, affect neither; a busy machine or a changing clock makes the blocks differ.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from edgefuse.bench.report_types import Timing

BLOCKS = 10
MIN_VALUES = 5  # least number of values for a spread
# a median that is less well known is not reported as a result
UNCERTAIN = 0.05
PERCENTILES = (50, 90, 95, 99)


def summary(spent_ns: Sequence[int], begin_ns: Sequence[int]) -> Timing:
    """Summarise consecutive calls: count, duration, FPS, latencies in ms, relative uncertainty of median and mean.

    spent_ns: duration of each call. begin_ns: start of each call. The ends of n calls span n - 1 intervals.
    """
    spent, ends = np.asarray(spent_ns, np.float64), np.add(begin_ns, spent_ns)
    elapsed_s = float(ends[-1] - ends[0]) / 1e9
    ms = {f"p{q}": float(np.percentile(spent, q)) / 1e6 for q in PERCENTILES}
    ms |= {"min": float(spent.min()) / 1e6, "max": float(spent.max()) / 1e6, "mean": float(spent.mean()) / 1e6}
    return {
        "frames": len(spent),
        "elapsed_s": round(elapsed_s, 6),
        "fps": round((len(spent) - 1) / elapsed_s, 3) if elapsed_s > 0 else None,
        "latency_ms": {name: round(value, 6) for name, value in ms.items()},
        "uncertainty": finite(max(uncertainty(blocks(spent, middle)) for middle in (np.median, np.mean))),
        "distribution_ms": [round(float(q), 6) for q in np.percentile(spent, np.linspace(0, 100, 101)) / 1e6],
    }


def blocks(spent: NDArray[np.float64], middle: Callable[[NDArray[np.float64]], np.floating]) -> NDArray[np.float64]:
    """Return `middle` (median or mean) of each of ten consecutive blocks, fewer where there are fewer values."""
    return np.array([middle(block) for block in np.array_split(spent, min(BLOCKS, len(spent)))])


def uncertainty(values: NDArray[np.float64]) -> float:
    """Return the relative uncertainty of the values' median; infinite for fewer than five values."""
    if len(values) < MIN_VALUES:
        return math.inf
    low, middle, high = np.percentile(values, (25, 50, 75))
    return float(1.58 * (high - low) / math.sqrt(len(values)) / middle)


def finite(value: float) -> float | None:
    """Return the value for JSON, which has no infinity."""
    return round(value, 4) if math.isfinite(value) else None
