"""How alike two cubes look through a window that slides over each band: SSIM and the universal image quality index, in constant memory.

Q2n (Garzelli and Nencini 2009) takes all bands for one hypercomplex number; no kept library has it. The index here is what it
generalises, band by band. (sewar's `uqi`, 0.4.10, takes means for sums, and is another figure.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefuse.metrics.planes import SSIM_SIGMA, SSIM_WINDOW
from edgefuse.util.arrays import Float64Array

Array = NDArray[Any]

_UQI_WINDOW = 8
_FLAT = 1e-13  # of the squared means: a variance that is rounding


@dataclass(frozen=True, slots=True)
class Windows:
    """What `WindowScore` found; NaN where no window fits.

    ssim: structural similarity, -1..1, 1 for equal cubes: a Gaussian window of 11 x 11, sigma 1.5, K1 0.01, K2 0.03, only where it lies
    inside (Wang, Bovik, Sheikh, Simoncelli 2004), its L the peak. uqi: universal image quality index, -1..1, a window of 8 x 8 (Wang
    and Bovik 2002). Both: mean over the windows, then over the bands.
    """

    ssim: float
    uqi: float

    def as_json(self) -> dict[str, Any]:
        """For JSON: null for NaN."""
        return {name: None if math.isnan(v := getattr(self, name)) else v for name in self.__slots__}


class WindowScore:
    """Compares rows as they come, from the first to the last. Windows with a pixel that has a sample that is `nodata` or not finite in the
    reference, or not finite in the result, are left out."""

    def __init__(self, bands: int, peak: float, nodata: float | None = None) -> None:
        self._nodata = nodata
        gaussian: Any = cv2.getGaussianKernel(SSIM_WINDOW, SSIM_SIGMA, cv2.CV_64F)
        constants = (0.01 * peak) ** 2, (0.03 * peak) ** 2
        self._ssim = _Index(gaussian, bands, lambda m: _ssim(m, *constants))
        self._uqi = _Index(np.full((_UQI_WINDOW, 1), 1 / _UQI_WINDOW), bands, _uqi)

    def add(self, reference: Array, result: Array) -> None:
        """The next rows of all columns and bands: (rows, W, bands), both of one shape."""
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
    """Of the samples in each window: means, variances and covariance."""

    x: Float64Array
    y: Float64Array
    xx: Float64Array
    yy: Float64Array
    xy: Float64Array


def _ssim(m: _Moments, c1: float, c2: float) -> Float64Array:
    return (2 * m.x * m.y + c1) * (2 * m.xy + c2) / ((m.x**2 + m.y**2 + c1) * (m.xx + m.yy + c2))


def _uqi(m: _Moments) -> Float64Array:
    bright, varied = m.x**2 + m.y**2, m.xx + m.yy
    # as the authors have it: two flat windows are as like as their means, and two black ones are equal
    flat, black = varied <= _FLAT * bright, bright == 0
    with np.errstate(divide="ignore", invalid="ignore"):
        means, structure = 2 * m.x * m.y / bright, 2 * m.xy / varied
    return np.asarray(np.where(black, 1.0, means) * np.where(flat, 1.0, structure))


class _Index:
    """One index's sums. kernel: (n, 1), its sum 1."""

    def __init__(self, kernel: Float64Array, bands: int, of: Any) -> None:
        self._kernel, self._of = kernel, of
        self._sums, self._count = np.zeros(bands), 0
        self._held: tuple[Array, Array, NDArray[np.bool_]] | None = None

    def add(self, *rows: Array) -> None:
        if self._held is not None:
            rows = tuple(np.concatenate(both) for both in zip(self._held, rows, strict=True))
        reference, result, known = rows
        keep = len(self._kernel) - 1
        # windows of the next rows begin in these
        self._held = reference[-keep:].copy(), result[-keep:].copy(), known[-keep:].copy()
        if min(reference.shape[:2]) <= keep:
            return
        whole: Any = cv2.erode(known.astype(np.uint8), np.ones((keep + 1, keep + 1), np.uint8), anchor=(0, 0))
        used = whole[: len(known) - keep, : known.shape[1] - keep] > 0
        for band in range(reference.shape[2]):
            x, y = (np.where(known, a[..., band], 0).astype(np.float64) for a in (reference, result))
            self._sums[band] += self._of(self._moments(x, y))[used].sum()
        self._count += int(used.sum())

    def _moments(self, x: Float64Array, y: Float64Array) -> _Moments:
        mean_x, mean_y = self._slid(x), self._slid(y)
        xx, yy, xy = self._slid(x * x) - mean_x**2, self._slid(y * y) - mean_y**2, self._slid(x * y) - mean_x * mean_y
        return _Moments(mean_x, mean_y, np.maximum(xx, 0), np.maximum(yy, 0), xy)

    def _slid(self, image: Float64Array) -> Float64Array:
        """Means under the window, where it lies inside."""
        keep = len(self._kernel) - 1
        found: Any = cv2.sepFilter2D(image, cv2.CV_64F, self._kernel, self._kernel, anchor=(0, 0))
        return found[: image.shape[0] - keep, : image.shape[1] - keep]

    @property
    def mean(self) -> float:
        return float(self._sums.mean() / self._count) if self._count else math.nan
