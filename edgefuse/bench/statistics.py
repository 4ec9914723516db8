"""Figures from many durations, and whether they can be trusted.

A run is cut into ten blocks. Their medians tell how well the median is known, their means how well the mean is: to within 1.58
interquartile ranges over the square root of their number, in 95 of 100 cases (the notch of McGill, Tukey and Larsen's box plots, 1978).
Single outliers, as any desktop has, move neither; a machine that is busy or changes its clock moves the blocks apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCKS = 10
FEWEST = 5  # values that a spread can be told from
# a median that is known less well than this is not a figure
UNCERTAIN = 0.05
PERCENTILES = (50, 90, 95, 99)


def summary(spent_ns: Sequence[int], begin_ns: Sequence[int]) -> dict[str, Any]:
    """Of calls in a row: how many, over what time, FPS, latencies in ms, how uncertain median and mean are (a share of them).

    spent_ns: what each took; begin_ns: when each began. n calls' ends span n - 1 intervals, from the first's end to the last's.
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


def blocks(spent: NDArray[np.float64], middle: Callable[..., Any]) -> NDArray[np.float64]:
    """`middle` of each of ten consecutive blocks, of fewer where there are fewer values."""
    return np.array([middle(block) for block in np.array_split(spent, min(BLOCKS, len(spent)))])


def uncertainty(values: NDArray[np.float64]) -> float:
    """How far, as a share of it, the median of what `values` are drawn from may lie from theirs; infinite for fewer than five."""
    if len(values) < FEWEST:
        return math.inf
    low, middle, high = np.percentile(values, (25, 50, 75))
    return float(1.58 * (high - low) / math.sqrt(len(values)) / middle)


def finite(value: float) -> float | None:
    """For JSON, which has no infinity."""
    return round(value, 4) if math.isfinite(value) else None
