"""Local statistics of wavelet coefficients, and how many bits they will take: what the encoder chooses its basis and its step by."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgefuse.hyperspectral.bands import bands
from edgefuse.hyperspectral.planes import ONE, Integers

Floats = NDArray[np.float64]

_SIDE = 8  # a place is so many coefficients wide, at least, in the finest bands
_PLACES = 4, 2  # and there are at most so many of them to a side, in the finest bands and the second ones


def covariances(coefficients: Integers, levels: int) -> tuple[Floats, Floats]:
    """Of transformed components (h, w, K) in 256ths of a step: (m, K, K) in squared steps, and of how many coefficients each is."""
    height, width, count = coefficients.shape
    found = bands(height, width, levels)[0]
    gathered: dict[tuple[int, int, int], list[NDArray[np.float32]]] = {}
    for i, band in enumerate(found):
        samples = coefficients[band.y :: band.step, band.x :: band.step].astype(np.float32)
        samples *= band.gain / (4096 * ONE)
        from_finest = (len(found) - 1 - i) // 3
        sides = min(_PLACES[from_finest], max(1, min(band.height, band.width) // _SIDE)) if from_finest < len(_PLACES) and i else 1
        for row in range(sides):
            part = samples[band.height * row // sides : band.height * (row + 1) // sides]
            for column in range(sides):
                place = part[:, band.width * column // sides : band.width * (column + 1) // sides].reshape(-1, count)
                gathered.setdefault((min(from_finest, len(_PLACES)), row, column), []).append(place)
    made = [(sum(p.T @ p for p in parts), sum(map(len, parts))) for parts in gathered.values()]
    kept = [(c, n) for c, n in made if n]
    return np.array([c / n for c, n in kept], np.float64).reshape(-1, count, count), np.array([n for _, n in kept], np.float64)


def bits(variances: Floats, counts: Floats, steps: Floats) -> Floats:
    """What coefficients take, whose local variances are (m, K), at quantisers of `steps` (n,), as the formula for noise sees it."""
    return np.asarray(0.5 * (counts[:, None] * np.log2(1 + _SHAPE * variances.clip(0) / np.square(steps)[:, None, None])).sum((1, 2)))


def size(variances: Floats, counts: Floats, steps: Floats, samples: int) -> Floats:
    """About the bytes that they take: `bits`, corrected as a score of scenes told, by how many there are for one of the tile's samples."""
    formula = bits(variances, counts, steps)
    return np.asarray(formula / 8 * np.clip(1.16 + 0.115 * np.log2(np.maximum(formula / samples, 1e-9)), 0.87, 1.2))


_SHAPE = 6.0
