"""Local statistics of wavelet coefficients, and how many bits they will take: what the encoder chooses its basis and its step by."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgefuse.hyperspectral.codec.entropy_tables import LAMBDA, ONE
from edgefuse.hyperspectral.codec.subbands import bands
from edgefuse.util.arrays import Float64Array, Int32Array

_SIDE = 4  # a place is so many coefficients wide, at least, in the finest bands
_PLACES = 8, 4  # and there are at most so many of them to a side, in the finest bands and the second ones


def covariances(coefficients: Int32Array, levels: int) -> tuple[Float64Array, Float64Array]:
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


def bits(variances: Float64Array, counts: Float64Array, steps: Float64Array) -> Float64Array:
    """What coefficients take, whose local variances are (m, K), at quantisers of `steps` (n,), as the formula for noise sees it."""
    return np.asarray(0.5 * (counts[:, None] * np.log2(1 + _SHAPE * variances.clip(0) / np.square(steps)[:, None, None])).sum((1, 2)))


def size(variances: Float64Array, counts: Float64Array, steps: Float64Array, samples: int) -> Float64Array:
    """About the bytes that they take: `bits`, corrected as a score of scenes told, by how many there are for one of the tile's samples."""
    formula = bits(variances, counts, steps)
    return np.asarray(formula / 8 * np.clip(1.235 + 0.1225 * np.log2(np.maximum(formula / samples, 1e-9)), 0.93, 1.28))


_SHAPE = 6.0


def worth(variances: Float64Array, counts: Float64Array) -> Float64Array:
    """(K,): bits that components of local variances (m, K), in squared steps, are worth: what their error falls by, less what they take."""
    taken = 0.5 * np.log2(1 + _SHAPE * variances)
    error = variances / (1 + 12 * variances)
    return np.asarray((counts[:, None] * np.maximum((variances - error) / LAMBDA - taken, 0)).sum(0))


def magnitudes(coefficients: Int32Array, levels: int) -> Float64Array:
    """How many of the transformed components (h, w, K) have which magnitude, in quarters of octaves of 256ths of a step."""
    height, width, _ = coefficients.shape
    found = bands(height, width, levels)[0]
    total = np.zeros(_OCTAVES * 4)
    for i, band in enumerate(found):
        every = 2 if band.step == 2 and i else 1  # of the finest bands' rows
        samples = np.abs(coefficients[band.y :: band.step * every, band.x :: band.step], dtype=np.float32)
        samples *= band.gain / 4096
        samples += 1
        # a float's bits begin with its logarithm
        places = (samples.view(np.int32).ravel() >> 21) - (127 << 2)
        weight = band.height * band.width * coefficients.shape[2] / max(1, places.size)
        total += weight * np.bincount(places, minlength=len(total))[: len(total)]
    return total


def counted(found: Float64Array, steps: Float64Array, samples: int) -> Float64Array:
    """About the bytes that coefficients with these `magnitudes` take at quantisers of `steps` (n,), of a tile of `samples`; 2 % right."""
    edges = np.concatenate([(2.0 ** (np.arange(_OCTAVES)[:, None]) * (1 + np.arange(4) / 4)).ravel(), [2.0**_OCTAVES]]) - 1
    beyond = np.concatenate([found[::-1].cumsum()[::-1], [0.0]])

    def above(multiple: float) -> Float64Array:
        return np.interp(np.log(multiple * ONE * steps + 1), np.log(edges + 1), beyond)

    some = above(0.6)
    higher = sum((above(0.6 * 2.0**i) for i in range(1, 9)), np.zeros(1))
    rare = np.log2(found.sum() / np.maximum(some, 1) + 1)
    parts = some, higher, above(0.3) - some, some * rare, np.full(len(steps), np.sqrt(samples))
    return np.asarray(np.maximum(np.stack(parts, 1) @ _WEIGHTS, 0) / 8)


_OCTAVES = 32
_WEIGHTS = np.array([3.259, 0.973, -0.614, 0.107, 2.296])  # bits, fitted to 20 scenes at six rates
