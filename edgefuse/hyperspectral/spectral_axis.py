"""Spectra of one number of bands drawn from those of another, for networks that take a fixed number."""

from __future__ import annotations

import numpy as np

from edgefuse.util.arrays import Float32Array


def resampled(spectra: Float32Array, bands: int) -> Float32Array:
    """(..., B) -> (..., bands), linearly along the spectral axis, ends kept, as the network was trained (tools/data/cubes.py)."""
    count = spectra.shape[-1]
    if count == bands:
        return spectra
    at = np.linspace(0, count - 1, bands)
    low = np.minimum(at.astype(int), max(count - 2, 0))
    share = (at - low).astype(np.float32)
    return spectra[..., low] * (1 - share) + spectra[..., np.minimum(low + 1, count - 1)] * share
