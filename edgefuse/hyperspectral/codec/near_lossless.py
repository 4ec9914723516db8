"""Near-lossless coding of a tile: a lossy base layer and its residual, quantised so that no sample errs by more than the bound.

Encoder and decoder reconstruct the base layer identically (lossy.py), so their residuals agree. Residuals of neighbouring bands are
correlated: each band's residual is predicted from those of the four previous bands with transmitted weights, and the prediction error is
coded.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import InputError
from edgefuse.hyperspectral.codec import entropy_coder
from edgefuse.hyperspectral.codec.basis import strips
from edgefuse.hyperspectral.codec.lossy import Analysis, Lossy
from edgefuse.util.arrays import Int32Array

_HEAD = struct.Struct("<II")  # bytes of the base layer and of the weights
_PREDICTORS = 4  # previous bands that predict a band
_WEIGHT_ONE = 64  # fixed-point scale of a weight
_MAX_RESIDUAL = 1 << 18  # exceeds all residuals of 16-bit samples and their predictions
_BASE_STEP = 6.0  # step of the base layer, as a multiple of the noise


class Range(NamedTuple):
    """Smallest and largest value of a sample."""

    least: int
    most: int


def encode(pixels: NDArray[np.integer], height: int, width: int, bound: int, limits: Range) -> bytes:
    """Encode integer pixels (h * w, B) within `limits` (a range of at most 17 bits) with a maximum absolute error of `bound`."""
    analysis = Analysis(pixels, height, width)
    # estimate the noise from the median variance: the weaker half of the components is noise
    noise = float(np.sqrt(np.median(analysis.variances)))
    base = analysis.at(max(2 * bound + 1, _BASE_STEP * noise))
    residual = np.ascontiguousarray((pixels - base.whole(np.dtype(np.int32), *limits)).T, np.int32)
    weights = _weights(residual)
    quantised = np.empty_like(residual)
    reconstructed = np.zeros_like(residual)
    for band in range(len(residual)):
        predicted = _predicted(reconstructed, weights, band)
        error = residual[band] - predicted
        quantised[band] = np.sign(error) * ((np.abs(error) + bound) // (2 * bound + 1))
        reconstructed[band] = predicted + quantised[band] * (2 * bound + 1)
    base_bytes, weight_bytes = base.to_bytes(), entropy_coder.encode_exact(weights[..., None])
    head = _HEAD.pack(len(base_bytes), len(weight_bytes))
    return head + base_bytes + weight_bytes + entropy_coder.encode_exact(quantised.T.reshape(height, width, -1))


def decode(
    data: bytes | memoryview, shape: tuple[int, int, int], bound: int, limits: Range, dtype: np.dtype[np.generic], version: int
) -> NDArray[np.integer]:
    """Decode to (h * w, B) of `dtype`, within `limits`. Raises InputError for an invalid structure; other damage gives wrong pixels."""
    if len(data) < _HEAD.size:
        raise InputError("a tile is truncated")
    base_size, weight_size = _HEAD.unpack_from(data)
    begin, middle = _HEAD.size + base_size, _HEAD.size + base_size + weight_size
    if middle > len(data):
        raise InputError("a tile is damaged")
    bands, count = shape[2], shape[0] * shape[1]
    out = Lossy.from_bytes(data[_HEAD.size : begin], shape, version).whole(dtype, *limits)
    weights = np.clip(
        entropy_coder.decode_exact(data[begin:middle], (bands, _PREDICTORS, 1), version)[..., 0], -_MAX_RESIDUAL, _MAX_RESIDUAL
    )
    # a band's quantised residual is replaced by its residual
    residual = np.ascontiguousarray(entropy_coder.decode_exact(data[middle:], shape, version).reshape(count, bands).T)
    for band in range(bands):
        step = np.clip(residual[band], -_MAX_RESIDUAL, _MAX_RESIDUAL).astype(np.int64) * (2 * bound + 1)
        residual[band] = np.clip(_predicted(residual, weights, band) + step, -_MAX_RESIDUAL, _MAX_RESIDUAL)
    for strip in strips(count):
        out[strip] = np.clip(out[strip] + residual[:, strip].T, limits.least, limits.most)
    return out


def _weights(residual: Int32Array) -> Int32Array:
    """Return the prediction weights (B, 4) of residuals (B, n), by regularised least squares."""
    sampled = residual[:, :: max(1, residual.shape[1] // 4096)].astype(np.float64)
    weights = np.zeros((len(residual), _PREDICTORS), np.int32)
    for band in range(1, len(residual)):
        # the nearest band first; the products are integers below 2^53, which are exact in any order
        before = sampled[max(0, band - _PREDICTORS) : band][::-1]
        normal = before @ before.T
        normal += np.eye(len(before)) * (1e-6 * np.trace(normal) + 1)
        weights[band, : len(before)] = np.rint(np.clip(np.linalg.solve(normal, before @ sampled[band]), -4, 4) * _WEIGHT_ONE)
    return weights


def _predicted(known: Int32Array, weights: Int32Array, band: int) -> Int32Array:
    """Predict the residual of a band (n,) from the reconstructed residuals of the bands before it."""
    total = np.zeros(known.shape[1], np.int64)
    for i, weight in enumerate(weights[band].tolist()):
        if weight and band - 1 - i >= 0:
            total += known[band - 1 - i].astype(np.int64) * weight
    return np.clip(total + _WEIGHT_ONE // 2 >> _WEIGHT_ONE.bit_length() - 1, -_MAX_RESIDUAL, _MAX_RESIDUAL).astype(np.int32)
