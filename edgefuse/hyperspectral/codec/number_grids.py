"""Floats that are integers in another unit: counts times 0.0001, counts scaled to 0..1 by each band's range, a quantiser's steps.

Such floats have few of their type's values, and are coded as those integers. A grid is `origin + k * step` (MULTIPLES) or `k / step`
(QUOTIENTS), computed in float64 and rounded to the sample type; k is a whole number. Where the software that made the floats rounded more
often, they are a few units in the last place of the largest value away from such a grid: then each k of a band has a correction
(CORRECTED).
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from edgefuse.util.arrays import Float64Array

MULTIPLES, QUOTIENTS, CORRECTED = 3, 4, 6  # kinds of a band, after those of prediction_plan.py; 5 is in relative.py
_FEWEST = 64  # samples of a band below which a grid takes more bytes than it saves
_SAMPLED = 4096  # values of a band in which a grid is looked for
_LEAST_STEP = 16  # of a grid, in rounding errors
_MOST_OFF = 0.02  # share of samples that may be off the grid; they are stored apart
LARGEST = float(1 << 30)  # largest k
_NEAR = 2.0  # distance from a grid that a correction makes up for, in units of the last place of the largest value
_MOST_CORRECTION = 1 << 20  # in units of a value's last place
MOST_CORRECTED = 1 << 22  # pixels of a tile that may have corrections, for the memory of a decoder
_TRIES = 60


class Steps(Protocol):
    """Numbers that stand for the values of a band: a grid, or the cells of relative.py."""

    @property
    def kind(self) -> int: ...

    @property
    def origin(self) -> float: ...

    @property
    def step(self) -> float: ...

    def numbers(self, values: NDArray[Any]) -> Float64Array:
        """Return the numbers of the nearest values; 0 for samples that are not finite."""

    def values(self, numbers: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return the values of numbers, of `dtype`; of integers the nearest that the type holds."""


class Grid(NamedTuple):
    """A grid of a band's values."""

    kind: int
    origin: float
    step: float

    def numbers(self, values: NDArray[Any]) -> Float64Array:
        """Return k of the nearest values on the grid; samples that are not finite give 0."""
        numbers = np.where(np.isfinite(values), values, 0).astype(np.float64)
        found = np.rint(numbers * self.step if self.kind == QUOTIENTS else (numbers - self.origin) / self.step)
        return np.clip(found, -LARGEST, LARGEST)

    def values(self, numbers: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return the values of the grid, of `dtype`; of integers the nearest that the type holds."""
        if self.kind == QUOTIENTS:
            found = numbers / self.step
        else:
            found = numbers * self.step
            found += self.origin
        if dtype.kind != "f":
            limits = np.iinfo(dtype)
            found = np.clip(np.rint(found), limits.min, limits.max)
        return found.astype(dtype)


def find(column: NDArray[Any], valid: NDArray[np.bool_] | None) -> Grid | None:
    """Return the grid on which nearly all valid floats of a band (n,) lie to the bit; None if there is none."""
    chosen = column if valid is None else column[valid]
    chosen = chosen[np.isfinite(chosen)]
    if len(chosen) < _FEWEST:
        return None
    with np.errstate(all="ignore"):  # of huge values, which are on no grid
        return _find(chosen, column.dtype)


def _find(chosen: NDArray[Any], dtype: np.dtype[Any]) -> Grid | None:
    sampled = np.unique(chosen[:: max(1, len(chosen) // _SAMPLED)]).astype(np.float64)
    if len(sampled) < 3:
        return None
    rounding = float(np.spacing(np.abs(sampled).max().astype(dtype))) / 2
    gaps = np.sort(np.diff(sampled))
    for part in (1, 2, 3):
        if gaps[0] / part < _LEAST_STEP * rounding:
            return None
        step = _refined(gaps, float(gaps[0]) / part)
        candidates = _candidates(sampled, step, dtype)
        for grid in candidates:
            if _fits(grid, sampled, dtype) and _fits(grid, chosen, dtype):
                return grid
        corrected = candidates[-1]._replace(kind=CORRECTED)
        if len(chosen) <= MOST_CORRECTED and all(_nearly_fits(corrected, v, dtype) for v in (sampled, chosen)):
            return corrected
    return None


def _fits(grid: Grid, values: NDArray[Any], dtype: np.dtype[Any]) -> bool:
    numbers = grid.numbers(values)
    return bool((grid.values(numbers, dtype) != values).sum() <= _MOST_OFF * len(values)) and float(np.abs(numbers).max()) < LARGEST


def _nearly_fits(grid: Grid, values: NDArray[Any], dtype: np.dtype[Any]) -> bool:
    numbers = grid.numbers(values)
    off = np.abs(grid.values(numbers, dtype).astype(np.float64) - values)
    near = off <= _NEAR * np.spacing(np.abs(values).max().astype(dtype))
    return float(np.abs(numbers).max()) < LARGEST and bool(near.mean() >= 1 - _MOST_OFF)


def corrections(numbers: NDArray[Any], made: NDArray[Any], values: NDArray[Any]) -> NDArray[np.int32]:
    """Return how far the values (n,) are from those of their grid, for each distinct number in ascending order; 0 where it is too far."""
    words = f"i{values.dtype.itemsize}"
    first = np.unique(numbers, return_index=True)[1]
    found = values[first].view(words) - made[first].view(words)
    found[np.abs(found) > _MOST_CORRECTION] = 0
    return found.astype(np.int32)


def corrected(numbers: NDArray[Any], made: NDArray[Any], table: NDArray[np.int32]) -> NDArray[Any]:
    """Return the values (n,) of a grid with the corrections of their numbers."""
    words = f"i{made.dtype.itemsize}"
    places = np.searchsorted(np.unique(numbers), numbers)
    return (made.view(words) + table[places].astype(words)).view(made.dtype)


def _refined(gaps: Float64Array, step: float) -> float:
    """Return the step of which the gaps (ascending) are multiples, from an approximate one: small gaps first."""
    total = squares = 0.0
    for low, high in ((0.0, 1.5), (1.5, 4), (4, 12), (12, 40), (40, 150), (150, 1e9)):
        part = gaps[(gaps >= low * step) & (gaps < high * step)]
        if len(part):
            times = np.rint(part / step)
            total += float(times @ part)
            squares += float(times @ times)
            step = total / squares if squares else step
    return step


def _candidates(values: Float64Array, step: float, dtype: np.dtype[Any]) -> list[Grid]:
    """Return grids to try for distinct values in ascending order, whose distances are multiples of about `step`."""
    divisor, found = 1 / step, []
    if np.isfinite(divisor):
        found += [Grid(QUOTIENTS, 0.0, d) for d in dict.fromkeys((float(round(divisor)), float(f"{divisor:.4g}"))) if d]
    found += [Grid(MULTIPLES, 0.0, float(f"{step:.{digits}g}")) for digits in (2, 4, 8)]
    numbers = np.concatenate([[0.0], np.cumsum(np.rint(np.diff(values) / step))])
    for _ in range(3):
        centred = numbers - numbers.mean()
        step = float(centred @ (values - values.mean()) / max(float(centred @ centred), 1e-300))
        if not step:
            return found
        origin = float(values.mean() - step * numbers.mean())
        numbers = np.rint((values - origin) / step)
    return [*found, _centred(values, numbers, step, dtype)]


def _centred(values: Float64Array, numbers: Float64Array, step: float, dtype: np.dtype[Any]) -> Grid:
    """Return the grid that stays furthest away from the limits at which a value would be rounded to another one."""
    half = np.spacing(np.abs(values).astype(dtype)).astype(np.float64) / 2
    width = 4 * float(half.max()) / max(float(np.ptp(numbers)), 1.0)
    low, high = step - width, step + width

    def room(step: float) -> tuple[float, float]:
        rest = values - numbers * step
        least, most = float((rest - half).max()), float((rest + half).min())
        return most - least, (most + least) / 2

    for _ in range(_TRIES):
        a, b = low + (high - low) / 3, high - (high - low) / 3
        low, high = (a, high) if room(a)[0] < room(b)[0] else (low, b)
    step = (low + high) / 2
    return Grid(MULTIPLES, room(step)[1], step)
