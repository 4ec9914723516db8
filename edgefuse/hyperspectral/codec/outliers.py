"""Finds the samples of a tile that are far from all others: undeclared fill values, hot samples, infinities. They are coded apart, exactly.

One such sample among counts of a few thousand would widen the quantiser's range for the whole tile, and a fill value's edges would take the
bytes of the valid samples.

- A fill value is the smallest or largest value of a tile, repeated, with a gap to all others: of half their range if programs commonly use
  that value, of their whole range otherwise.
- A single outlier is off by several times the range of its band, and most bands of its pixel are not: a bright target is bright in many
  bands, and stays with the others. Without one of its bands it would take more bytes than with it.
- Samples that are not finite, or whose squares float32 can't sum.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import InputError
from edgefuse.hyperspectral.codec import extremes
from edgefuse.hyperspectral.codec.extremes import ISOLATED, Usual
from edgefuse.hyperspectral.codec.klt import sample_indices

Array = NDArray[Any]
Mask = NDArray[np.bool_]

MAX_MAGNITUDE = 1e12  # largest magnitude whose squares can be summed in float32
COMMON_FILLS = (-9999.0, -999.0, -32768.0, -32767.0, -99999.0, -1e20, 1e20, 65535.0, float(np.float32(9.96921e36)))
_SAMPLED = 256  # pixels that the quick test looks at
_FEWEST = 16  # pixels of a tile below which single outliers are not looked for
_FEWEST_BANDS = 4  # bands below which a sample can't be compared with the others of its pixel
_ROWS = 4096  # pixels whose distances are computed at a time
_TAIL = 50  # a fiftieth of the samples on each side lies outside a band's range
_SINGLE, _CERTAIN = 2.5, 64.0  # distance of a single outlier, in ranges; from the second on its pixel does not matter
_COMMON_GAP, _OTHER_GAP = 0.5, 1.0  # gap to a fill value, as a share of the range of the others
_COMMON_COUNT, _OTHER_SHARE = 8, 1e-3  # least number of samples with a common fill value; least share with another one
_MAX_FILLS = 4
_FEW = 64  # samples up to which each is coded with its position, rather than all with a mask
_MAX_SINGLES = 0.1  # largest share of single outliers; more are no outliers


class Fill(NamedTuple):
    """A value that marks missing samples, and the mask of the samples that hold it."""

    value: float
    mask: Mask
    """(n, B)"""


class Outliers(NamedTuple):
    """The samples of a tile that are coded apart."""

    fills: list[Fill]
    singles: Mask
    """(n, B)"""

    @property
    def mask(self) -> Mask:
        """All of them, (n, B)."""
        result = self.singles.copy()
        for fill in self.fills:
            result |= fill.mask
        return result


def common(value: float) -> bool:
    """Return whether programs commonly use `value` as a fill value."""
    return value in COMMON_FILLS or abs(value) > 1e30


class Suspicion(NamedTuple):
    """The kinds of outliers that a tile of finite samples may hold."""

    fills: bool = True
    singles: bool = True


def suspected(pixels: Array, low: Array, high: Array, singles: bool = True) -> Suspicion:
    """Quick test of finite pixels (n, B): False if certainly no sample is an outlier of that kind.

    low, high: (B,), smallest and largest sample of each band. singles: whether to look for single outliers.
    """
    least, most = float(low.min()), float(high.max())
    if least < -MAX_MAGNITUDE or most > MAX_MAGNITUDE or common(least) or common(most):
        return Suspicion()
    sampled = pixels[sample_indices(len(pixels), max(1, len(pixels) // _SAMPLED))]
    fills = False
    for value in (least, most):
        equal = sampled == value
        fills |= bool(equal.sum() >= _OTHER_SHARE * equal.size) and _is_far(value, sampled[~equal], _OTHER_GAP)
    if not singles or len(pixels) < _FEWEST:
        return Suspicion(fills, False)
    usual = _usual(sampled)
    return Suspicion(fills, bool((low < usual.low).any() or (high > usual.high).any()))


def find(pixels: Array, missing: Mask | None, kinds: Suspicion = Suspicion(), finite: bool = False) -> Outliers | None:  # noqa: B008
    """Return the outliers among the samples (n, B) that are not `missing`; None if there are none.

    kinds: which finite samples to look for; those that are not finite are always found. finite: whether all are known to be finite.
    Raises InputError if most samples are too large.
    """
    finite = finite or pixels.dtype.kind != "f" or bool(np.isfinite(pixels).all())
    if missing is None and not kinds.fills and finite:
        single = _singles(pixels, None) if kinds.singles and len(pixels) >= _FEWEST else None
        return None if single is None else Outliers([], single)
    rest = np.ones(pixels.shape, bool) if missing is None else ~missing
    singles = np.zeros(pixels.shape, bool)
    fills = []
    if not finite:
        for value, mask in ((math.inf, pixels == math.inf), (-math.inf, pixels == -math.inf), (math.nan, rest & np.isnan(pixels))):
            if (count := mask.sum()) > _FEW:
                fills.append(Fill(value, mask))
            elif count:
                singles |= mask
            rest &= ~mask
    if kinds.fills:
        while len(fills) < _MAX_FILLS and (fill := _fill(pixels, rest)):
            fills.append(fill)
            rest &= ~fill.mask
        if pixels.dtype.kind == "f":
            large = rest & (np.abs(pixels) > MAX_MAGNITUDE)
            if large.sum() > _MAX_SINGLES * rest.sum():
                raise _too_large()
            singles |= large
            rest &= ~large
    if kinds.singles and len(pixels) >= _FEWEST and rest.any() and (hot := _singles(pixels, rest)) is not None:
        singles |= hot
    return Outliers(fills, singles) if fills or singles.any() else None


def check_magnitude(samples: Array, nodata: float | None) -> None:
    """Raise InputError if a cube without a sample to code holds one that is too large: its unit is wrong, or its fill value not named."""
    valid = samples[np.isfinite(samples) & (samples != nodata)]
    if valid.size and np.abs(valid.astype(np.float64)).max() > MAX_MAGNITUDE:
        raise _too_large()


def _too_large() -> InputError:
    return InputError(f"samples beyond {MAX_MAGNITUDE:g} can't be compressed; scale the cube, or name such samples as nodata")


def _fill(pixels: Array, rest: Mask) -> Fill | None:
    """Return the fill value among the samples of `rest`, if their smallest or largest one is far from the others."""
    valid = pixels[rest]
    if not valid.size:
        return None
    for value in (valid.min(), valid.max()):
        known, here = common(float(value)), valid == value
        others = valid[~here]
        if here.sum() < (_COMMON_COUNT if known else max(_COMMON_COUNT, _OTHER_SHARE * valid.size)):
            continue
        whole = known and not others.size
        if whole or (others.size and _is_far(float(value), others, _COMMON_GAP if known else _OTHER_GAP)):
            return Fill(float(value), rest & (pixels == value))
    return None


def _is_far(value: float, others: Array, gap: float) -> bool:
    """Return whether the nearest of `others` (n,) is further away than `gap` times their range, without their tails."""
    if not others.size:
        return False
    sampled = np.sort(others[:: max(1, others.size // 8192)])
    tail = len(sampled) // _TAIL
    extent = float(sampled[-1 - tail]) - float(sampled[tail])
    nearest = min(abs(float(others.min()) - value), abs(float(others.max()) - value))
    return extent > 0 and nearest > gap * extent if not common(value) else nearest > gap * extent


def _usual(sampled: Array) -> Usual:
    """Return the limits below and above which a sample may be an outlier, from some pixels (n, B)."""
    low, high = (limit.astype(np.float64) for limit in extremes.tails(sampled, len(sampled) // _TAIL))
    extent = high - low
    # a band of almost constant samples is measured by the others, too
    extent = np.maximum(extent, np.median(extent))
    extent[extent == 0] = math.inf
    return Usual(low - _SINGLE * extent, high + _SINGLE * extent)


def _of_type(usual: Usual, dtype: np.dtype[Any]) -> tuple[Array, Array]:
    """Return the smallest and largest values of `dtype` within limits, so that samples are compared in their own type."""
    if dtype.kind == "f":
        most = float(np.finfo(dtype).max)
        return usual.low.clip(-most, most).astype(dtype), usual.high.clip(-most, most).astype(dtype)
    kind = np.iinfo(dtype)
    return np.ceil(usual.low).clip(kind.min, kind.max).astype(dtype), np.floor(usual.high).clip(kind.min, kind.max).astype(dtype)


def _singles(pixels: Array, rest: Mask | None) -> Mask | None:
    """Return the mask (n, B) of single outliers among the samples of `rest` (None: all); None if there are none, or too many."""
    if rest is None or (whole := rest.all(1)).all():
        sampled = pixels
    else:
        sampled = pixels[whole] if whole.sum() >= _FEWEST else np.where(rest, pixels, np.median(pixels[rest]).astype(pixels.dtype))
    usual = _usual(sampled[sample_indices(len(sampled), max(1, len(sampled) // (4 * _SAMPLED)))])
    least, most = _of_type(usual, pixels.dtype)
    if rest is None:
        rows = extremes.outlying(pixels, (least, most), usual, _most_usual(pixels.shape[1]), _CERTAIN / _SINGLE)
    else:
        rows = np.flatnonzero((((pixels < least) | (pixels > most)) & rest).any(1))
    result = None
    for at in range(0, len(rows), _ROWS):
        part = rows[at : at + _ROWS]
        with np.errstate(invalid="ignore", over="ignore"):
            distance = np.abs(pixels[part].astype(np.float64) - usual.middle) / usual.half
        distance[np.isnan(distance) if rest is None else ~rest[part] | np.isnan(distance)] = 0
        hot = (distance > 1) & ((distance > ISOLATED * _usual_distance(distance)) | (distance > _CERTAIN / _SINGLE))
        if hot.any():
            result = np.zeros(pixels.shape, bool) if result is None else result
            result[part] = hot
    return result if result is not None and result.sum() <= _MAX_SINGLES * result.size else None


def _usual_distance(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance that three quarters of a pixel's bands do not exceed, (n, 1), from the distances (n, B)."""
    bands = distance.shape[1]
    at = _most_usual(bands)
    return np.full((len(distance), 1), np.inf) if at == bands else np.partition(distance, at, axis=1)[:, at : at + 1]


def _most_usual(bands: int) -> int:
    """Return the number of the band, in ascending order of the distances, whose distance is usual in a pixel; `bands` if none is."""
    return bands if bands < _FEWEST_BANDS else bands * 3 // 4
