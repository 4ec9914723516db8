"""Bootstrap confidence intervals of mean ranks over the pairs (Efron 1979, percentile interval).

The pairs are resampled with replacement; means and ranks are computed for each sample. The interval holds the middle 95 % of the ranks. It
estimates how the ranks vary between independent pairs of the same kind. Frames of one video are correlated, so their interval is too
narrow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgefuse.metrics.fusion.table import METRICS

SAMPLES, LEVEL, SEED = 1000, 0.95, 0
_AT_ONCE = 1 << 20  # comparisons in memory at a time

Real = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """Confidence interval of a method's mean rank. low, high: bounds of the middle 95 %. first: share of samples in which no method has a
    lower mean rank, 0..1."""

    low: float
    high: float
    first: float


def intervals(values: Mapping[str, Real], names: Sequence[str], samples: int = SAMPLES, seed: int = SEED) -> dict[str, Interval]:
    """Return an Interval for each method, from the ranked metrics among `names`; the same seed gives the same result.

    values: for each method float64 (pairs, metrics), the same pairs in the same order, the metrics in the order of `names`; other
    names are ignored. Returns an empty dict with fewer than two pairs or methods, no ranked metric or no samples.
    """
    pairs = len(next(iter(values.values()), ()))
    chosen = [k for k, name in enumerate(names) if name in METRICS and METRICS[name].ranked]
    if pairs < 2 or len(values) < 2 or not chosen or not samples:
        return {}
    columns = [METRICS[names[k]] for k in chosen]
    table = np.array([of_method[:, chosen] for of_method in values.values()])
    # change signs so that the lowest is best
    table *= [-1.0 if m.better == "higher" else 1.0 for m in columns]
    table[np.isnan(table)] = math.inf
    ranks = resampled_ranks(np.ascontiguousarray(table.transpose(1, 0, 2)), samples, seed)
    low, high = np.quantile(ranks, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    best = (ranks == ranks.min(axis=1, keepdims=True)).mean(axis=0)
    return {name: Interval(float(low[k]), float(high[k]), float(best[k])) for k, name in enumerate(values)}


def resampled_ranks(table: Real, samples: int, seed: int) -> Real:
    """Return bootstrap mean ranks (samples, methods), 1 is best. table: (pairs, methods, metrics), lowest is best, no NaN."""
    pairs, methods, metrics = table.shape
    rng = np.random.default_rng(seed)
    ranks = np.empty((samples, methods))
    rows = max(1, _AT_ONCE // (methods * methods * metrics))
    for begin in range(0, samples, rows):
        block = ranks[begin : begin + rows]
        # a sum over rows, not a matrix product: so equal methods stay bit-identical and share their ranks
        with np.errstate(invalid="ignore"):
            means = np.stack([table[rng.integers(0, pairs, pairs)].sum(axis=0) for _ in block])
        means[np.isnan(means)] = math.inf  # infinitely good on one pair, unmeasured on another
        block[:] = _ranks(means).mean(axis=2)
    return ranks


def _ranks(means: Real) -> Real:
    """Rank (samples, methods, metrics) among the methods, 1 is best; equal values share the mean of their ranks."""
    one, other = means[:, :, None], means[:, None]
    better, equal = (other < one).sum(axis=2), (other == one).sum(axis=2)
    return better + (1 + equal) / 2
