"""Likely fill values of a cube that its file does not declare: -9999, the lowest float, and others far from all else and repeated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import InputError
from edgefuse.hyperspectral import efz
from edgefuse.hyperspectral.codec.extremes import extremes
from edgefuse.hyperspectral.codec.outliers import Suspicion, find, suspected
from edgefuse.hyperspectral.formats.base import CubeSource

_SIDE, _SAMPLES = 256, 1 << 22  # pixels along the side, and samples, of the windows that a cube is read in


class LikelyFill(NamedTuple):
    """A value that probably stands for missing samples."""

    value: float
    share: float
    """Share of the cube's samples that hold it, 0..1."""

    def as_json(self) -> dict[str, float]:
        """Convert for JSON."""
        return {"value": self.value, "share": round(self.share, 6)}


class FillFinder:
    """Collects likely fill values from the windows of a cube."""

    def __init__(self, nodata: float | None) -> None:
        """nodata: value of missing samples that is declared; it is never among those found."""
        self._nodata, self._counts, self._samples = nodata, dict[float, int](), 0

    def add(self, samples: NDArray[Any]) -> NDArray[np.bool_] | None:
        """Add the samples (h, w, B) of a window, and return the mask of those that hold a likely fill value; None if none does."""
        pixels = samples.reshape(-1, samples.shape[-1])
        self._samples += pixels.size
        missing = None
        if self._nodata is not None and not math.isnan(self._nodata):
            missing = pixels == self._nodata
        valid = pixels
        if missing is not None and missing.any():
            if missing.all():
                return None
            valid = np.where(missing, pixels[~missing][0], pixels)
        low, high = extremes(valid)
        if np.isfinite(low).all() and np.isfinite(high).all() and not suspected(valid, low, high, singles=False).fills:
            return None
        try:
            outliers = find(pixels, missing, Suspicion(singles=False))
        except InputError:
            return None
        fills = [fill for fill in outliers.fills if math.isfinite(fill.value)] if outliers else []
        mask = np.zeros(pixels.shape, bool)
        for fill in fills:
            self._counts[fill.value] = self._counts.get(fill.value, 0) + int(fill.mask.sum())
            mask |= fill.mask
        return mask.reshape(samples.shape) if fills else None

    def include(self, other: FillFinder) -> None:
        """Add what `other` collected from other windows of the same cube."""
        self._samples += other._samples
        for value, count in other._counts.items():
            self._counts[value] = self._counts.get(value, 0) + count

    def result(self) -> list[LikelyFill]:
        """Return the likely fill values, the most frequent one first."""
        counts = sorted(self._counts.items(), key=lambda item: -item[1])
        return [LikelyFill(value, count / self._samples) for value, count in counts]


def likely_fills(source: CubeSource) -> list[LikelyFill]:
    """Read a cube, and return its likely fill values that are not declared, the most frequent one first."""
    finder = FillFinder(source.info.nodata)
    height, width, bands = source.shape
    rows, columns = efz.default_tile(source.shape, _SIDE, _SAMPLES)
    for top in range(0, height, rows):
        for left in range(0, width, columns):
            window = slice(top, min(top + rows, height)), slice(left, min(left + columns, width)), slice(0, bands)
            if source.dtype.kind != "c":
                finder.add(source.read(*window))
    return finder.result()


def named(fills: Sequence[LikelyFill]) -> str:
    """Return the values and their shares as text."""
    return ", ".join(f"{fill.value:.9g} ({100 * fill.share:.3g} % of the samples)" for fill in fills)
