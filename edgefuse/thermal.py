"""Raw infrared counts to 8 bit: automatic gain control that does not flicker."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class PercentileAgc:
    """16-bit counts -> 8 bit by percentile limits that hold still in time.

    The limits of a frame are its `low` and `high` percentiles. They are kept while the scene stays within `tolerance` (a share of
    the span), approached by `rate` a frame when it drifts, and taken over at once when it jumps by more than `jump` spans (another
    scene, or a sensor that was recalibrated). The span is at least `min_span` counts, so that a blank frame is not blown up to noise.
    """

    def __init__(
        self, low: float = 0.5, high: float = 99.5, tolerance: float = 0.04, rate: float = 0.1, jump: float = 0.5, min_span: float = 64
    ) -> None:
        self._percentiles = (low, high)
        self._tolerance, self._rate, self._jump, self._min_span = tolerance, rate, jump, min_span
        self._limits: tuple[float, float] | None = None

    @property
    def limits(self) -> tuple[float, float] | None:
        """(low, high) in counts that the last frame was mapped with; None before the first."""
        return self._limits

    def __call__(self, counts: NDArray[np.uint16]) -> NDArray[np.uint8]:
        """counts: uint16 (H, W). Returns uint8 (H, W): low -> 0, high -> 255, linear between."""
        low, high = self._measure(counts)
        if self._limits is None:
            self._limits = (low, high)
        else:
            span = self._limits[1] - self._limits[0]
            self._limits = (self._follow(self._limits[0], low, span), self._follow(self._limits[1], high, span))
        low, high = self._limits
        scale = 255.0 / max(high - low, self._min_span)
        # one table look-up a pixel is faster than arithmetic in float, and exact
        table = np.clip((np.arange(65536, dtype=np.float32) - low) * scale + 0.5, 0, 255).astype(np.uint8)
        return table[counts]

    def _measure(self, counts: NDArray[np.uint16]) -> tuple[float, float]:
        # a sixteenth of the pixels gives percentiles to well within the tolerance
        step = 4 if counts.size >= 65536 else 1
        low, high = np.percentile(counts[::step, ::step], self._percentiles)
        if high - low < self._min_span:
            middle = (low + high) / 2
            low, high = middle - self._min_span / 2, middle + self._min_span / 2
        return float(low), float(high)

    def _follow(self, held: float, measured: float, span: float) -> float:
        off = abs(measured - held)
        if off <= self._tolerance * span:
            return held
        return measured if off > self._jump * span else held + self._rate * (measured - held)
