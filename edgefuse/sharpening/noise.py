"""How noisy each component is, as the data tell: what predicts each low-resolution pixel best from the others (leave one out)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from edgefuse.sharpening.kriging import Kriging, Tile
from edgefuse.util.arrays import Float64Array

LEVELS = np.array([1e-4, 1e-2, 0.1, 10.0])
"""Shares of a low-resolution pixel's own variance. Few: each costs a factorisation a tile."""
_MOST = 256  # low-resolution pixels of a tile that are asked


def estimated(kriging: Kriging, sampled: Iterable[Tile]) -> tuple[Float64Array, Float64Array]:
    """Of each component the level of noise (k,), and the variance of what the kernel describes, per pixel (k,), in squared units."""
    count = kriging.trend.components.shape[1]
    errors, powers, pixels = np.zeros((len(LEVELS), count)), np.zeros((len(LEVELS), count)), 0
    for tile in sampled:
        seen = kriging.seen(tile)
        # their neighbours, not every third: near ones are what is predicted from
        middle = slice(max(0, (len(seen.gram) - _MOST) // 2), (len(seen.gram) + _MOST) // 2)
        gram, rest = seen.gram[middle, middle].astype(np.float64), seen.rest[middle].astype(np.float64)
        if len(gram) < 2:
            continue
        own = float(gram.diagonal().mean())
        values, vectors = np.linalg.eigh(gram)
        turned = vectors.T @ rest
        pixels += len(gram)
        for number, level in enumerate(LEVELS):
            inverse = 1 / (np.maximum(values, 0) + level * own)
            diagonal = np.square(vectors) @ inverse
            errors[number] += np.square((vectors @ (inverse[:, None] * turned)) / diagonal[:, None]).sum(0)
            powers[number] += (np.square(turned) * inverse[:, None]).sum(0)
    best = errors.argmin(0)
    return LEVELS[best], powers[best, np.arange(count)] / max(1, pixels)
