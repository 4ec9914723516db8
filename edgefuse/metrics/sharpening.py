"""Error metrics of sharpened cubes as in the literature (PSNR, SAM, ERGAS, RMSE), accumulated in constant memory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefuse.metrics.spectral import angles

Array = NDArray[Any]
_BLOCK = 1 << 18  # samples at a time


@dataclass(frozen=True, slots=True)
class Sharpening:
    """Result of `SharpeningScore`; NaN where nothing could be compared.

    psnr_db: 10 log10(peak^2 / mean squared error), mean over the bands; a band without error counts as 120 dB. psnr_whole_db: over
    all samples at once. sam_degrees: mean angle between a pixel's two spectra, arccos(x y / |x| |y|) (Kruse et al. 1993), over pixels
    where neither is zero. ergas: 100 / ratio sqrt(mean over the bands of mean squared error / squared mean) (Wald 2000), over bands
    whose mean is not zero. rmse: root mean squared error of all samples, in the cube's units.
    """

    psnr_db: float
    psnr_whole_db: float
    sam_degrees: float
    ergas: float
    rmse: float
    peak: float
    pixels: int

    def as_json(self) -> dict[str, float | str | None]:
        """Convert for JSON: "inf" for the PSNR of equal cubes, null for NaN."""
        named = {name: getattr(self, name) for name in self.__slots__}
        return {k: v if math.isfinite(v) else None if math.isnan(v) else "inf" for k, v in named.items()}


class SharpeningScore:
    """Accumulates errors of pixels. Skips pixels with a sample that is `nodata` in the reference or not finite in either."""

    def __init__(self, bands: int, peak: float, ratio: int, nodata: float | None = None) -> None:
        self._peak, self._ratio, self._nodata = peak, ratio, nodata
        self._squares, self._sums = np.zeros(bands), np.zeros(bands)
        self._angles, self._angled, self._pixels = 0.0, 0, 0

    def add(self, reference: Array, result: Array) -> None:
        """Add pixels of all bands, (..., bands), both of one shape."""
        bands = len(self._sums)
        if reference.shape != result.shape or reference.shape[-1] != bands:
            raise ValueError(f"expected two of (..., {bands}), got {reference.shape} and {result.shape}")
        x, y = reference.reshape(-1, bands), result.reshape(-1, bands)
        step = max(1, _BLOCK // bands)
        for at in range(0, len(x), step):
            self._block(x[at : at + step], y[at : at + step])

    def _block(self, reference: Array, result: Array) -> None:
        complete = np.isfinite(reference).all(1) & np.isfinite(result).all(1)
        if self._nodata is not None:
            complete &= (reference != self._nodata).all(1)
        x, y = reference[complete].astype(np.float64), result[complete].astype(np.float64)
        self._pixels += len(x)
        self._squares += np.square(y - x).sum(0)
        self._sums += x.sum(0)
        degrees = angles(x, y)
        self._angles += float(degrees.sum())
        self._angled += len(degrees)

    def result(self) -> Sharpening:
        if not self._pixels:
            return Sharpening(*(math.nan,) * 5, self._peak, 0)
        mse, mean = self._squares / self._pixels, self._sums / self._pixels
        power = self._peak**2
        bright = mean != 0
        total = float(mse.mean())
        return Sharpening(
            float(np.mean(10 * np.log10(power / np.maximum(mse, power * 1e-12)))),
            math.inf if total == 0 else 10 * math.log10(power / total),
            self._angles / self._angled if self._angled else math.nan,
            100 / self._ratio * float(np.sqrt(np.mean(mse[bright] / np.square(mean[bright])))) if bright.any() else math.nan,
            math.sqrt(total), self._peak, self._pixels,
        )  # fmt: skip
