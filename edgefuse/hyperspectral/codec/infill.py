"""Replaces the samples of a tile that are coded apart, so that those around them are coded as if there were none."""

from __future__ import annotations

import numpy as np

from edgefuse.hyperspectral.codec.outliers import Array, Mask

_NARROW = 4  # pixels along a row: gaps up to this width take the mean of both sides, wider ones that of their band
_MOST = 0.1  # largest share of samples in narrow gaps; more take the mean of their band


def filled(pixels: Array, apart: Mask, width: int) -> Array:
    """Return pixels (n, B), n in rows of `width`, whose samples `apart` are replaced."""
    with np.errstate(invalid="ignore"):
        kept = np.where(apart, 0, pixels)
    means = kept.sum(0, dtype=np.float64) / np.maximum((~apart).sum(0), 1)
    result = np.where(apart, _rounded(means, pixels.dtype), kept).astype(pixels.dtype, copy=False)
    gaps = apart & ~apart.all(0)
    share = np.count_nonzero(gaps) / gaps.size
    if share > _MOST:
        gaps &= ~_wide(np.asarray(apart.all(1)), width)[:, None]
        share = np.count_nonzero(gaps) / gaps.size
    if 0 < share <= _MOST:
        pixel, band = np.nonzero(gaps)
        sides = [_nearest(kept, apart, pixel, band, width, step) for step in (-1, 1)]
        between = sides[0][1] & sides[1][1]
        values = (sides[0][0] / 2 + sides[1][0] / 2)[between]
        result[pixel[between], band[between]] = _rounded(values, pixels.dtype)
    return result


def _nearest(kept: Array, apart: Mask, pixel: Array, band: Array, width: int, step: int) -> tuple[Array, Mask]:
    """Return (samples, found) (m,): the nearest sample that is kept, on one side along the row, for each of m gaps."""
    values, has_value = np.zeros(len(pixel)), np.zeros(len(pixel), bool)
    for distance in range(1, _NARROW + 1):
        column = pixel % width + step * distance
        inside = ~has_value & (column >= 0) & (column < width)
        beside = np.where(inside, pixel + step * distance, 0)
        inside &= ~apart[beside, band]
        values[inside] = kept[beside, band][inside]
        has_value |= inside
    return values, has_value


def _wide(missing: Mask, width: int) -> Mask:
    """Return the pixels (n,) that are missing together with the next `_NARROW` ones on the left, or on the right."""
    rows = missing.reshape(-1, width)
    padded = np.pad(rows, ((0, 0), (_NARROW, _NARROW)), constant_values=True)
    left, right = rows.copy(), rows.copy()
    for distance in range(1, _NARROW + 1):
        left &= padded[:, _NARROW - distance : _NARROW - distance + width]
        right &= padded[:, _NARROW + distance : _NARROW + distance + width]
    wide: Mask = (left | right).ravel()
    return wide


def _rounded(values: Array, dtype: np.dtype[np.generic]) -> Array:
    return values.astype(dtype) if dtype.kind == "f" else np.rint(values).astype(dtype)
