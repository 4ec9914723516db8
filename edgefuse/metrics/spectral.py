"""Error metrics of decoded cubes: PSNR, largest error, spectral angle, worst band, accumulated in constant memory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
_BLOCK = 1 << 16  # samples compared at a time
_SQUARABLE = 1e-100, 1e100  # peaks whose errors are squared as they are
_SQUARED_OVERFLOWS = 1e150  # magnitude


@dataclass(frozen=True, slots=True)
class Spectral:
    """Result of `SpectralScore`; NaN where nothing could be compared.

    psnr_db: 10 log10(peak^2 / mean squared error) over all samples; infinite where all are equal. rmse, max_error: in the cube's units.
    sam_degrees: the mean angle between the original and the decoded spectrum of a pixel, arccos(x y / |x| |y|), over the pixels where
    neither is zero (Kruse et al. 1993). worst_band: index of the band with the lowest PSNR, which is worst_band_psnr_db. peak: used in the
    PSNR.
    """

    psnr_db: float
    rmse: float
    max_error: float
    sam_degrees: float
    worst_band: int
    worst_band_psnr_db: float
    peak: float
    samples: int

    def as_json(self) -> dict[str, Any]:
        """Convert for JSON: "inf" for the PSNR of equal samples, null for NaN."""
        named = {name: getattr(self, name) for name in self.__slots__}
        return {k: v if math.isfinite(v) else None if math.isnan(v) else "inf" for k, v in named.items()}


class SpectralScore:
    """Accumulates errors of samples. Skips samples that are `nodata` or not finite in the reference, and the angle of their pixel."""

    def __init__(self, bands: int, peak: float, nodata: float | None = None) -> None:
        self._peak, self._nodata = peak, nodata
        # in which errors are squared: those of huge or tiny floats would overflow or vanish
        self._unit = 1.0 if _SQUARABLE[0] <= peak <= _SQUARABLE[1] or not 0 < peak < math.inf else peak
        self._squares, self._counts = np.zeros(bands), np.zeros(bands, np.int64)
        self._largest = self._angles = self.magnitude = 0.0  # magnitude: of the largest sample of the reference
        self._pixels = 0

    def add(self, reference: Array, decoded: Array, without: Array | None = None) -> None:
        """Add pixels of all bands, (..., bands), both of one shape; integers or floats.

        without: mask of the same shape of samples to skip; None: none.
        """
        if reference.shape != decoded.shape or reference.shape[-1] != len(self._squares):
            raise ValueError(f"expected two of (..., {len(self._squares)}), got {reference.shape} and {decoded.shape}")
        bands = reference.shape[-1]
        x, y = reference.reshape(-1, bands), decoded.reshape(-1, bands)
        skipped = None if without is None else without.reshape(-1, bands)
        step = max(1, _BLOCK // bands)
        for at in range(0, len(x), step):
            self._block(x[at : at + step], y[at : at + step], None if skipped is None else skipped[at : at + step])

    def _block(self, counts: Array, decoded: Array, skipped: Array | None) -> None:
        with np.errstate(invalid="ignore"):  # of signalling NaN
            x, y = counts.astype(np.float64), decoded.astype(np.float64)
        used = np.isfinite(x)
        if skipped is not None:
            used &= ~skipped
        if self._nodata is not None:
            used &= counts != self._nodata
        with np.errstate(invalid="ignore"):
            x, error = np.where(used, x, 0.0), np.where(used, y - x, 0.0)
        self.magnitude = max(self.magnitude, float(x.max(initial=0.0)), -float(x.min(initial=0.0)))
        scaled = error if self._unit == 1.0 else error / self._unit
        self._squares += np.einsum("pb,pb->b", scaled, scaled)
        self._counts += used.sum(0)
        # np.maximum, unlike max(), propagates a NaN in the decoded cube
        self._largest = float(np.maximum(self._largest, np.abs(error).max(initial=0.0)))
        complete = used.all(1)
        degrees = angles(x[complete], y[complete])
        self._angles += float(degrees.sum())
        self._pixels += len(degrees)

    def include(self, other: SpectralScore) -> None:
        """Add what `other` accumulated, of other samples of the same cube."""
        self._squares += other._squares
        self._counts += other._counts
        self._largest = float(np.maximum(self._largest, other._largest))  # also NaN
        self.magnitude = max(self.magnitude, other.magnitude)
        self._angles += other._angles
        self._pixels += other._pixels

    def result(self) -> Spectral:
        total, samples = float(self._squares.sum()), int(self._counts.sum())
        with np.errstate(divide="ignore", invalid="ignore"):
            band_mse = self._squares / self._counts
        worst = int(np.nanargmax(band_mse)) if np.isfinite(band_mse).any() else 0
        mean, peak = total / samples if samples else math.nan, self._peak / self._unit
        return Spectral(
            _psnr(mean, peak), math.sqrt(mean) * self._unit, self._largest if samples else math.nan,
            self._angles / self._pixels if self._pixels else math.nan, worst, _psnr(float(band_mse[worst]), peak),
            self._peak, samples,
        )  # fmt: skip


def angles(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return angles in degrees between spectra (n, B), for pixels where neither is zero (Kruse et al. 1993)."""
    most = np.abs(x).max(1, initial=0.0), np.abs(y).max(1, initial=0.0)
    if (huge := np.maximum(*most) > _SQUARED_OVERFLOWS).any():
        # the angle does not depend on the lengths
        x, y = (np.where(huge[:, None], v / np.where(m > 0, m, 1.0)[:, None], v) for v, m in zip((x, y), most, strict=True))
    lengths = np.linalg.norm(x, axis=1), np.linalg.norm(y, axis=1)
    nonzero = (lengths[0] > 0) & (lengths[1] > 0)
    # from the difference of the unit vectors, because arccos loses precision near 1
    difference = x[nonzero] / lengths[0][nonzero, None] - y[nonzero] / lengths[1][nonzero, None]
    return np.asarray(np.degrees(2 * np.arcsin(np.minimum(np.linalg.norm(difference, axis=1) / 2, 1))))


def _psnr(mean_square: float, peak: float) -> float:
    if mean_square == 0:
        return math.inf
    ratio = peak * peak / mean_square
    return 10 * math.log10(ratio) if ratio else -math.inf


def compare(reference: Array, decoded: Array, peak: float, nodata: float | None = None) -> Spectral:
    """Compare two whole cubes (H, W, B)."""
    score = SpectralScore(reference.shape[-1], peak, nodata)
    score.add(reference, decoded)
    return score.result()
