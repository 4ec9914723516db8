"""Quantiles of durations from a histogram."""

from __future__ import annotations

import math


class Latency:
    """A histogram of durations in buckets of 1 % width: any quantile to within 1 %, in constant memory."""

    _WIDTH = math.log(1.01)

    def __init__(self) -> None:
        self._buckets: dict[int, int] = {}
        self.count, self.total_ns, self.max_ns = 0, 0, 0

    def add(self, ns: int) -> None:
        bucket = int(math.log(max(ns, 1)) / self._WIDTH)
        self._buckets[bucket] = self._buckets.get(bucket, 0) + 1
        self.count += 1
        self.total_ns += ns
        self.max_ns = max(self.max_ns, ns)

    def quantile(self, q: float) -> float:
        """Return the quantile `q` (0..1) in nanoseconds; 0 if there are no durations."""
        left = math.ceil(q * self.count)
        for bucket in sorted(self._buckets):
            left -= self._buckets[bucket]
            if left <= 0:
                return min(math.exp((bucket + 0.5) * self._WIDTH), self.max_ns)
        return 0.0

    def summary_ms(self) -> dict[str, float]:
        quantiles = {f"p{round(q * 100)}": self.quantile(q) for q in (0.5, 0.95, 0.99)}
        mean = self.total_ns / self.count if self.count else 0.0
        return {k: round(v / 1e6, 6) for k, v in (quantiles | {"max": self.max_ns, "mean": mean}).items()} | {"count": self.count}
