"""Resampling of spectra to another number of bands, for networks with a fixed number of input bands."""

from __future__ import annotations

import numpy as np

from edgefuse.util.arrays import Float32Array


def resampled(spectra: Float32Array, bands: int) -> Float32Array:
    """Resample (..., B) to (..., bands) linearly; first and last band are kept. The network was trained with it (tools/data/cubes.py)."""
    count = spectra.shape[-1]
    if count == bands:
        return spectra
    position = np.linspace(0, count - 1, bands)
    low = np.minimum(position.astype(int), max(count - 2, 0))
    weight = (position - low).astype(np.float32)
    return spectra[..., low] * (1 - weight) + spectra[..., np.minimum(low + 1, count - 1)] * weight
