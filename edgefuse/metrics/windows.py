"""Similarity of two cubes in a sliding window per band: SSIM and the universal image quality index, in constant memory.

Q2n (Garzelli and Nencini 2009) treats all bands as one hypercomplex number; no maintained library has it. This is the index that it
generalises, per band. (sewar's `uqi`, 0.4.10, uses means in place of sums and gives other values.)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefuse.metrics.planes import SSIM_SIGMA, SSIM_WINDOW
from edgefuse.util.arrays import Float64Array, UInt8Array

Array = NDArray[Any]

_UQI_WINDOW = 8
_FLAT = 1e-13  # a variance below this share of the squared means is rounding error


@dataclass(frozen=True, slots=True)
class Windows:
    """Result of `WindowScore`; NaN where no window fits.

    ssim: structural similarity, -1..1, 1 for equal cubes: a Gaussian window of 11 x 11, sigma 1.5, K1 0.01, K2 0.03, only where it lies
    inside (Wang, Bovik, Sheikh, Simoncelli 2004), with L the peak. uqi: universal image quality index, -1..1, a window of 8 x 8 (Wang
    and Bovik 2002). Both: mean over the windows, then over the bands.
    """

    ssim: float
    uqi: float

    def as_json(self) -> dict[str, float | None]:
        """Convert for JSON: null for NaN."""
        return {name: None if math.isnan(v := getattr(self, name)) else v for name in self.__slots__}


class WindowScore:
    """Compares cubes added row by row from the top. Skips windows with a sample that is `nodata` in the reference or not finite in
    either."""

    def __init__(self, bands: int, peak: float, nodata: float | None = None) -> None:
        self._nodata = nodata
        gaussian: Float64Array = cv2.getGaussianKernel(SSIM_WINDOW, SSIM_SIGMA, cv2.CV_64F)
        constants = (0.01 * peak) ** 2, (0.03 * peak) ** 2
        self._ssim = _Index(gaussian, bands, lambda m: _ssim(m, *constants))
        self._uqi = _Index(np.full((_UQI_WINDOW, 1), 1 / _UQI_WINDOW), bands, _uqi)

    def add(self, reference: Array, result: Array) -> None:
        """Add the next rows of all columns and bands: (rows, W, bands), both of one shape."""
        if reference.shape != result.shape or reference.ndim != 3:
            raise ValueError(f"expected two of (rows, columns, bands), got {reference.shape} and {result.shape}")
        known = np.asarray(np.isfinite(reference).all(2) & np.isfinite(result).all(2))
        if self._nodata is not None:
            known &= (reference != self._nodata).all(2)
        for index in (self._ssim, self._uqi):
            index.add(reference, result, known)

    def result(self) -> Windows:
        return Windows(self._ssim.mean, self._uqi.mean)


@dataclass(frozen=True, slots=True)
class _Moments:
    """Means, variances and covariance of the samples in each window."""

    x: Float64Array
    y: Float64Array
    xx: Float64Array
    yy: Float64Array
    xy: Float64Array


def _ssim(m: _Moments, c1: float, c2: float) -> Float64Array:
    return (2 * m.x * m.y + c1) * (2 * m.xy + c2) / ((m.x**2 + m.y**2 + c1) * (m.xx + m.yy + c2))


def _uqi(m: _Moments) -> Float64Array:
    power, variances = m.x**2 + m.y**2, m.xx + m.yy
    # as the authors define it: two flat windows are compared by their means, and two black ones are equal
    is_flat, is_black = variances <= _FLAT * power, power == 0
    with np.errstate(divide="ignore", invalid="ignore"):
        means, structure = 2 * m.x * m.y / power, 2 * m.xy / variances
    return np.asarray(np.where(is_black, 1.0, means) * np.where(is_flat, 1.0, structure))


class _Index:
    """Accumulates one index over rows. kernel: (n, 1), with sum 1. of: computes the index from `_Moments`."""

    def __init__(self, kernel: Float64Array, bands: int, of: Callable[[_Moments], Float64Array]) -> None:
        self._kernel, self._of = kernel, of
        self._sums, self._count = np.zeros(bands), 0
        self._last_rows: tuple[Array, Array, NDArray[np.bool_]] | None = None

    def add(self, *rows: Array) -> None:
        if self._last_rows is not None:
            rows = tuple(np.concatenate(both) for both in zip(self._last_rows, rows, strict=True))
        reference, result, known = rows
        margin = len(self._kernel) - 1
        # windows that end in the next rows begin in these
        self._last_rows = reference[-margin:].copy(), result[-margin:].copy(), known[-margin:].copy()
        if min(reference.shape[:2]) <= margin:
            return
        complete: UInt8Array = cv2.erode(known.astype(np.uint8), np.ones((margin + 1, margin + 1), np.uint8), anchor=(0, 0))
        used = complete[: len(known) - margin, : known.shape[1] - margin] > 0
        for band in range(reference.shape[2]):
            x, y = (np.where(known, a[..., band], 0).astype(np.float64) for a in (reference, result))
            self._sums[band] += self._of(self._moments(x, y))[used].sum()
        self._count += int(used.sum())

    def _moments(self, x: Float64Array, y: Float64Array) -> _Moments:
        mean_x, mean_y = self._local_mean(x), self._local_mean(y)
        xx, yy, xy = self._local_mean(x * x) - mean_x**2, self._local_mean(y * y) - mean_y**2, self._local_mean(x * y) - mean_x * mean_y
        return _Moments(mean_x, mean_y, np.maximum(xx, 0), np.maximum(yy, 0), xy)

    def _local_mean(self, image: Float64Array) -> Float64Array:
        """Return the local means, where the window lies inside."""
        margin = len(self._kernel) - 1
        means: Float64Array = cv2.sepFilter2D(image, cv2.CV_64F, self._kernel, self._kernel, anchor=(0, 0))
        return means[: image.shape[0] - margin, : image.shape[1] - margin]

    @property
    def mean(self) -> float:
        return float(self._sums.mean() / self._count) if self._count else math.nan
