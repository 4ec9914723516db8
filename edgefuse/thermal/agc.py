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
        self._limits = self._follow(*self._measure(counts))
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

    def _follow(self, low: float, high: float) -> tuple[float, float]:
        """The next limits, given what this frame measures."""
        if self._limits is None:
            return low, high
        span = self._limits[1] - self._limits[0]
        off = [measured - held for held, measured in zip(self._limits, (low, high), strict=True)]
        if max(map(abs, off)) > self._jump * span:
            # both at once: apart, one that jumped could pass one that drifts
            return low, high
        held_low, held_high = (
            held if abs(o) <= self._tolerance * span else held + self._rate * o for held, o in zip(self._limits, off, strict=True)
        )
        return held_low, held_high
