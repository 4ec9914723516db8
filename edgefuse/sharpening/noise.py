"""Estimates each component's noise level by leave-one-out cross-validation on low-resolution pixels."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from edgefuse.sharpening.kriging import Kriging, Tile
from edgefuse.util.arrays import Float64Array

LEVELS = np.array([1e-4, 1e-2, 0.1, 10.0])
"""Candidates, as shares of a low-resolution pixel's variance. Few, because each costs one factorisation per tile."""
_MOST = 256  # low-resolution pixels of a tile that are used


def estimated(kriging: Kriging, sampled: Iterable[Tile]) -> tuple[Float64Array, Float64Array]:
    """Return each component's noise level (k,), and the variance of the process that the kernel describes (k,), in squared units."""
    count = kriging.trend.components.shape[1]
    errors, powers, pixels = np.zeros((len(LEVELS), count)), np.zeros((len(LEVELS), count)), 0
    for tile in sampled:
        seen = kriging.observe(tile)
        # a contiguous block, because pixels are predicted from near ones
        middle = slice(max(0, (len(seen.gram) - _MOST) // 2), (len(seen.gram) + _MOST) // 2)
        gram, rest = seen.gram[middle, middle].astype(np.float64), seen.residual[middle].astype(np.float64)
        if len(gram) < 2:
            continue
        variance = float(gram.diagonal().mean())
        values, vectors = np.linalg.eigh(gram)
        rotated = vectors.T @ rest
        pixels += len(gram)
        for index, level in enumerate(LEVELS):
            inverse = 1 / (np.maximum(values, 0) + level * variance)
            diagonal = np.square(vectors) @ inverse
            errors[index] += np.square((vectors @ (inverse[:, None] * rotated)) / diagonal[:, None]).sum(0)
            powers[index] += (np.square(rotated) * inverse[:, None]).sum(0)
    best = errors.argmin(0)
    return LEVELS[best], powers[best, np.arange(count)] / max(1, pixels)
