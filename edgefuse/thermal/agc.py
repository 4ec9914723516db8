"""Automatic gain control without flicker: raw infrared counts to 8 bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

AgcKind = Literal["percentile", "clahe", "off"]
Polarity = Literal["auto", "white-hot", "black-hot"]
Agc = Callable[[NDArray[np.uint16]], NDArray[np.uint8]]
_SAMPLES = 4096  # pixels sampled; enough for percentiles well within the tolerance


class PercentileAgc:
    """Maps 16-bit counts to 8 bit linearly between percentile limits that are stable in time.

    A frame's limits are its `low` and `high` percentiles. The current limits stay while the new ones differ by less than `tolerance` (a
    fraction of the span), follow them by `rate` per frame when the scene drifts, and jump to them when they differ by more than `jump`
    spans (another scene, or a recalibrated sensor). Counts of 0 and 65535 are no measurements and count for nothing. The span is at least
    `min_span` counts, so that noise in a blank frame stays dark.
    """

    def __init__(
        self, low: float = 0.5, high: float = 99.5, tolerance: float = 0.04, rate: float = 0.1, jump: float = 0.5, min_span: float = 64
    ) -> None:
        self._percentiles = (low, high)
        self._tolerance, self._rate, self._jump, self._min_span = tolerance, rate, jump, min_span
        self._limits: tuple[float, float] | None = None

    @property
    def limits(self) -> tuple[float, float] | None:
        """(low, high) limits in counts of the last frame; None before the first."""
        return self._limits

    @property
    def shown(self) -> tuple[float, float] | None:
        """The counts shown as levels 0 and 255 in the last frame; None before the first."""
        if self._limits is None:
            return None
        low, high = self._limits
        return round(low), round(low) + max(high - low, self._min_span)

    def __call__(self, counts: NDArray[np.uint16]) -> NDArray[np.uint8]:
        """Convert counts, uint16 (H, W), to uint8 (H, W): low -> 0, high -> 255, linear between."""
        import cv2

        self._limits = self._follow(*self._measure(counts))
        low, high = self._limits
        # saturating subtraction and scaling are both vectorised, unlike a table look-up
        # OpenCV can't tell a column of four pixels from four channels' numbers, so a column is mapped as a row
        rows = counts.T if counts.shape[1] == 1 else counts
        above: NDArray[np.uint16] = cv2.subtract(rows, (round(low), 0, 0, 0))
        mapped: NDArray[np.uint8] = cv2.convertScaleAbs(above, alpha=255.0 / max(high - low, self._min_span))
        return mapped.reshape(counts.shape)

    def _measure(self, counts: NDArray[np.uint16]) -> tuple[float, float]:
        step = max(1, int((counts.size / _SAMPLES) ** 0.5))
        sample = counts[step // 2 :: step, step // 2 :: step].reshape(-1)
        if sample.min() == 0 or sample.max() == 65535:
            valid = sample[(sample > 0) & (sample < 65535)]
            # a frame that is blank or saturated nearly all over, or close to these values, has them for its scene
            if 4 * valid.size > sample.size and valid.min() > self._min_span and valid.max() < 65535 - self._min_span:
                sample = valid
        ranks = [round((sample.size - 1) * p / 100) for p in self._percentiles]
        low, high = np.partition(sample, ranks)[ranks].tolist()
        if high - low < self._min_span:
            middle = (low + high) / 2
            low, high = middle - self._min_span / 2, middle + self._min_span / 2
        return float(low), float(high)

    def _follow(self, low: float, high: float) -> tuple[float, float]:
        """Return the next limits, given this frame's percentiles."""
        if self._limits is None:
            return low, high
        span = self._limits[1] - self._limits[0]
        off = [measured - held for held, measured in zip(self._limits, (low, high), strict=True)]
        if max(map(abs, off)) > self._jump * span:
            # both limits together, because one that jumps alone could cross the other
            return low, high
        held_low, held_high = (
            held if abs(o) <= self._tolerance * span else held + self._rate * o for held, o in zip(self._limits, off, strict=True)
        )
        return held_low, held_high


class ClaheAgc:
    """Percentile mapping followed by contrast-limited adaptive histogram equalisation (Zuiderveld, Graphics Gems IV).

    It shows faint detail everywhere, but brightness no longer corresponds to temperature across the frame. Sensor noise changes the
    tiles'
    histograms from frame to frame, so the equalisation's effect on the mean of each cell of 8 x 8 pixels is smoothed in time: it follows
    by `rate` per frame, and jumps where it changes by more than `jump` grey levels.
    """

    _TILES, _CLIP, _CELL = (4, 3), 2.0, 8

    def __init__(self, rate: float = 0.1, jump: float = 16.0) -> None:
        import cv2

        self._first = PercentileAgc()
        self._clahe = cv2.createCLAHE(self._CLIP, self._TILES)
        self._rate, self._jump = rate, jump
        self._held: NDArray[np.float32] | None = None

    def __call__(self, counts: NDArray[np.uint16]) -> NDArray[np.uint8]:
        """Convert counts, uint16 (H, W), to uint8 (H, W)."""
        import cv2

        plain = self._first(counts)
        height, width = plain.shape
        local = self._clahe.apply(plain)
        cells = (-(-width // self._CELL), -(-height // self._CELL))
        before, after = (cv2.resize(picture, cells, interpolation=cv2.INTER_AREA) for picture in (plain, local))
        change: NDArray[np.float32] = after.astype(np.float32) - before
        if self._held is None or self._held.shape != change.shape:
            self._held = change
            return local
        off = change - self._held
        self._held = np.where(np.abs(off) > self._jump, change, self._held + np.float32(self._rate) * off)
        back: NDArray[np.float32] = cv2.resize(self._held - change, (width, height), interpolation=cv2.INTER_LINEAR)
        return cv2.add(local, back, dtype=cv2.CV_8U)


def full_range(counts: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Convert without gain control: 0 -> 0, 65535 -> 255."""
    import cv2

    return cv2.convertScaleAbs(counts, alpha=255 / 65535)


def limits(agc: Agc) -> tuple[float, float] | None:
    """Return the counts shown as levels 0 and 255 in the last frame; None where no level has one count (clahe), and before the first."""
    if isinstance(agc, PercentileAgc):
        return agc.shown
    return None if isinstance(agc, ClaheAgc) else (0.0, 65535.0)


def make(kind: AgcKind) -> Agc:
    """Return a new gain control for one stream."""
    return PercentileAgc() if kind == "percentile" else ClaheAgc() if kind == "clahe" else full_range
