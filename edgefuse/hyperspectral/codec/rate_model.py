"""Rate model: local statistics of wavelet coefficients and estimates of their coded size. The encoder chooses basis and step by them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgefuse.hyperspectral.codec.entropy_tables import LAMBDA, ONE
from edgefuse.hyperspectral.codec.subbands import bands
from edgefuse.util.arrays import Float64Array, Int32Array

_SCALE = 6.0  # factor of variance / step^2 in the rate formula
_MIN_BLOCK_SIDE = 4  # minimum side of a block in coefficients
_MAX_BLOCKS = 8, 4  # maximum blocks per side in the finest and the second finest subbands; coarser subbands are one block


class Local(NamedTuple):
    """Local statistics of wavelet coefficients, per block; the rest of the covariances (m, K, K) would take hundreds of megabytes."""

    variances: Float64Array
    """(m, K)"""
    leading: Float64Array
    """(m, L, L), covariances of the first components."""
    counts: Float64Array
    """(m,), coefficients of each block."""


def local(coefficients: Int32Array, levels: int, leading: int) -> Local:
    """Return the local statistics of wavelet coefficients (h, w, K) in 256ths of a step, in squared steps.

    leading: number of components whose covariances are returned, K at most.
    """
    height, width, count = coefficients.shape
    if not count:
        return Local(np.zeros((1, 0)), np.zeros((1, 0, 0)), np.ones(1))
    subbands = bands(height, width, levels)[0]
    blocks: dict[tuple[int, int, int], list[NDArray[np.float32]]] = {}
    for i, band in enumerate(subbands):
        samples = coefficients[band.y :: band.step, band.x :: band.step].astype(np.float32)
        samples *= band.gain / (4096 * ONE)
        from_finest = (len(subbands) - 1 - i) // 3
        side = (
            min(_MAX_BLOCKS[from_finest], max(1, min(band.height, band.width) // _MIN_BLOCK_SIDE))
            if from_finest < len(_MAX_BLOCKS) and i
            else 1
        )
        for row in range(side):
            rows = samples[band.height * row // side : band.height * (row + 1) // side]
            for column in range(side):
                block = rows[:, band.width * column // side : band.width * (column + 1) // side].reshape(-1, count)
                blocks.setdefault((min(from_finest, len(_MAX_BLOCKS)), row, column), []).append(block)
    leading = min(leading, count)
    nonempty = [parts for parts in blocks.values() if any(map(len, parts))]
    result = Local(np.empty((len(nonempty), count)), np.empty((len(nonempty), leading, leading)), np.empty(len(nonempty)))
    for i, parts in enumerate(nonempty):
        samples_of_block = sum(map(len, parts))
        products = np.asarray(sum(p.T @ p for p in parts) / samples_of_block)
        result.variances[i], result.leading[i] = np.diagonal(products), products[:leading, :leading]
        result.counts[i] = samples_of_block
    return result


def bits(variances: Float64Array, counts: Float64Array, steps: Float64Array) -> Float64Array:
    """Estimate the bits (n,) of coefficients with local `variances` (m, K) at quantiser `steps` (n,), by the rate formula for noise."""
    return np.asarray(0.5 * (counts[:, None] * np.log2(1 + _SCALE * variances.clip(0) / np.square(steps)[:, None, None])).sum((1, 2)))


def size(variances: Float64Array, counts: Float64Array, steps: Float64Array, samples: int) -> Float64Array:
    """Estimate the size (n,) in bytes: `bits` / 8 times a correction, fitted on twenty scenes, that depends on bits per sample."""
    formula = bits(variances, counts, steps)
    return np.asarray(formula / 8 * np.clip(1.235 + 0.1225 * np.log2(np.maximum(formula / samples, 1e-9)), 0.93, 1.28))


def worth(variances: Float64Array, counts: Float64Array) -> Float64Array:
    """Return the net benefit (K,) in bits of coding components: the reduction of distortion divided by lambda, minus the bits.

    variances: (m, K), local, in squared steps. counts: (m,), coefficients of each block.
    """
    cost = 0.5 * np.log2(1 + _SCALE * variances)
    error = variances / (1 + 12 * variances)
    return np.asarray((counts[:, None] * np.maximum((variances - error) / LAMBDA - cost, 0)).sum(0))


def magnitudes(coefficients: Int32Array, levels: int) -> Float64Array:
    """Return a histogram of the magnitudes of wavelet coefficients (h, w, K), in quarter octaves of 256ths of a step."""
    height, width, _ = coefficients.shape
    subbands = bands(height, width, levels)[0]
    histogram = np.zeros(_OCTAVES * 4)
    for i, band in enumerate(subbands):
        row_stride = 2 if band.step == 2 and i else 1  # sample every second row of the finest subbands
        samples = np.abs(coefficients[band.y :: band.step * row_stride, band.x :: band.step], dtype=np.float32)
        samples *= band.gain / 4096
        samples += 1
        # the leading bits of a positive float32 are its exponent, followed by two mantissa bits: quarter octaves
        bins = (samples.view(np.int32).ravel() >> 21) - (127 << 2)
        weight = band.height * band.width * coefficients.shape[2] / max(1, bins.size)
        histogram += weight * np.bincount(bins, minlength=len(histogram))[: len(histogram)]
    return histogram


def counted(histogram: Float64Array, steps: Float64Array, samples: int) -> Float64Array:
    """Estimate the size (n,) in bytes, to about 2 %, from the histogram that `magnitudes` returns.

    steps: (n,), relative to the step of the coefficients. samples: number of samples of the tile.
    """
    edges = np.concatenate([(2.0 ** (np.arange(_OCTAVES)[:, None]) * (1 + np.arange(4) / 4)).ravel(), [2.0**_OCTAVES]]) - 1
    cumulative = np.concatenate([histogram[::-1].cumsum()[::-1], [0.0]])

    def above(multiple: float) -> Float64Array:
        """Count of magnitudes above a multiple of each step."""
        return np.interp(np.log(multiple * ONE * steps + 1), np.log(edges + 1), cumulative)

    nonzero = above(0.6)
    octaves = sum((above(0.6 * 2.0**i) for i in range(1, 9)), np.zeros(1))
    rarity = np.log2(histogram.sum() / np.maximum(nonzero, 1) + 1)
    features = nonzero, octaves, above(0.3) - nonzero, nonzero * rarity, np.full(len(steps), np.sqrt(samples))
    return np.asarray(np.maximum(np.stack(features, 1) @ _WEIGHTS, 0) / 8)


_OCTAVES = 32
_WEIGHTS = np.array([3.259, 0.973, -0.614, 0.107, 2.296])  # in bits, fitted on 20 scenes at six rates
