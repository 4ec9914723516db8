"""The encoder's spectral transform: a KLT with joint diagonalisation, in floating point. The decoder only reads the basis (basis.py).

The Karhunen-Loeve transform (KLT) decorrelates components over the whole tile, but they remain correlated within blocks of a wavelet
subband, which is where the entropy coder works. So the components are rotated to make the local covariance matrices of many blocks and
subbands as diagonal as one rotation can. This minimises the sum of the logarithms of all local variances, and with it the bits. It gains
0.4 to 0.5 dB over the KLT alone at no cost to the decoder. (Criterion: D. T. Pham's joint diagonalisation, 2001, here with rotations only.)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgefuse.util.arrays import Float64Array

_MIN_PIXELS = 4096  # the covariance uses at least this many pixels, if available, and at least an eighth of them
MAX_ROTATED = 40  # only the first components are rotated
_MAX_ITERATIONS = 10
_MAX_ANGLE, _DAMPING = 0.5, 0.05  # limit of an angle per iteration; damping for pairs whose variances are equal everywhere
_MIN_STEP_FACTOR, _MIN_GAIN = 0.1, 1e-3  # smallest step-size factor of the line search; smallest gain of an iteration in nats per pixel
_ROUNDING = 1e-11  # smallest variance of a component, as a share of the largest one
_FLOOR = 0.08  # in squared steps, added to variances: those far below it cost no bits


def principal(pixels: NDArray[np.generic]) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Return mean (B,), descending variances (B,) and principal components (B, K), as columns, of finite pixels (n, B).

    K is at most the number of pixels that are looked at, and of bands; the variances beyond are 0.
    """
    count = len(pixels)
    stride = max(1, count // max(_MIN_PIXELS, count // 8))
    sampled = pixels[sample_indices(count, stride)].astype(np.float32)
    mean = sampled.mean(0, dtype=np.float64)
    sampled -= mean.astype(np.float32)
    if len(sampled) < sampled.shape[1]:
        return mean, *_principal_of_few(sampled)
    values, vectors = np.linalg.eigh((sampled.T @ sampled).astype(np.float64) / len(sampled))
    return mean, np.maximum(values[::-1], 0), vectors[:, ::-1]


def _principal_of_few(centred: NDArray[np.float32]) -> tuple[Float64Array, Float64Array]:
    """Return variances (B,) and components (B, K) of fewer pixels (n, B) than bands: their products (n, n) have the same eigenvalues.

    The covariance (B, B) of thousands of bands would take hundreds of megabytes, and minutes.
    """
    count, bands = centred.shape
    pixels = centred.astype(np.float64)
    values, weights = np.linalg.eigh(pixels @ pixels.T)
    # a component below the samples' rounding has no direction
    kept = np.flatnonzero(values > _ROUNDING * values[-1])[::-1]
    variances = np.zeros(bands)
    variances[: len(kept)] = values[kept] / count
    return variances, (pixels.T @ weights[:, kept]) / np.sqrt(values[kept])


def sample_indices(count: int, stride: int) -> NDArray[np.intp]:
    """Return every `stride`-th index below `count`, plus an offset that varies, so that samples do not fall on the same image columns."""
    index = np.arange(0, count, stride)
    return np.minimum(index + index // stride * 7919 % stride, count - 1)


def rotation(covariances: Float64Array, counts: Float64Array, step: float) -> Float64Array:
    """Return the rotation (K, K) of the components that minimises the bits for local `covariances` (m, K, K) at quantiser step `step`.

    K is at most `MAX_ROTATED`. counts: (m,), samples of each covariance.

    Newton's method on the angles of all pairs simultaneously. For a pair with variances a and b and covariance x in a block of weight w,
    the gradient is 2 sum w x (1 / a - 1 / b), and the curvature near the minimum is 2 sum w (a / b + b / a - 2).
    """
    size = covariances.shape[1]
    if size < 2 or not len(covariances):
        return np.eye(size)
    identity = np.eye(size, dtype=np.float32)
    c = (covariances / step**2).astype(np.float32) + np.float32(_FLOOR) * identity
    weights, accumulated, factor = (counts / counts.sum()).astype(np.float32), identity, 1.0
    for _ in range(_MAX_ITERATIONS):
        variances = np.einsum("mkk->mk", c)
        cost = _mean_log_variance(variances, weights)
        inverse = weights[:, None] / variances
        gradient, ratio = np.einsum("mij,mi->ij", c, inverse), inverse.T @ variances
        angles = np.clip((gradient - gradient.T) / (ratio + ratio.T - 2 + _DAMPING), -_MAX_ANGLE, _MAX_ANGLE)
        while True:
            # the Cayley transform of a skew-symmetric matrix is a rotation
            update = np.linalg.solve(identity - factor / 2 * angles, identity + factor / 2 * angles).astype(np.float32)
            rotated = update.T @ (c.reshape(-1, size) @ update).reshape(c.shape)
            gain = cost - _mean_log_variance(np.einsum("mkk->mk", rotated), weights)
            if gain >= 0 or factor < _MIN_STEP_FACTOR:
                break
            factor /= 2
        if gain < _MIN_GAIN:
            break
        c, accumulated, factor = rotated, accumulated @ update, min(1.0, 1.5 * factor)
    # restore orthonormality, lost to single-precision rounding
    basis, triangle = np.linalg.qr(accumulated.astype(np.float64))
    return np.asarray(basis * np.sign(np.diag(triangle)))


def _mean_log_variance(variances: NDArray[np.float32], weights: NDArray[np.float32]) -> float:
    """Weighted mean over blocks of the sum of the logarithms of the variances (m, K)."""
    return float(weights @ np.log(np.maximum(variances, 1e-12)).sum(1))
