"""Which spectra a tile's pixels are made of: the encoder's choice of a basis, in floating point. A decoder only reads it (basis.py).

The Karhunen-Loeve transform makes components that don't correlate over the tile as a whole. Coding works place by place and band by band of
the wavelet, and there they still do. So the components are turned among themselves until the covariances of many places and bands are as
diagonal as one rotation makes them: the sum of the logarithms of all local variances falls, and with it the bits. That gains 0.4 to 0.5 dB
over the transform alone and costs a decoder nothing. (D. T. Pham's criterion for joint diagonalisation, 2001; here under rotations only.)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgefuse.util.arrays import Float64Array

_PIXELS = 4096  # at least so many, where there are, and an eighth, tell the covariance
_MOST = 40  # components that are turned: the first
_TURNS = 10
_WIDEST, _DAMPING = 0.5, 0.05  # an angle at a time, and what keeps it small where two variances are alike everywhere
_LEAST_SHARE, _LEAST_GAIN = 0.1, 1e-3  # of a step, and nats a pixel
_FLOOR = 0.08  # of a squared step: variances much below cost no bits


def principal(pixels: NDArray[np.generic]) -> tuple[Float64Array, Float64Array, Float64Array]:
    """The mean spectrum (B,), the variances of the principal components (B,), falling, and these (B, B), of (n, B) finite pixels."""
    count = len(pixels)
    stride = max(1, count // max(_PIXELS, count // 8))
    some = pixels[_spread(count, stride)].astype(np.float32)
    mean = some.mean(0, dtype=np.float64)
    some -= mean.astype(np.float32)
    values, vectors = np.linalg.eigh((some.T @ some).astype(np.float64) / len(some))
    return mean, np.maximum(values[::-1], 0), vectors[:, ::-1]


def _spread(count: int, stride: int) -> NDArray[np.intp]:
    """Every `stride`-th of `count`, shifted a little from one to the next, so that no column is met again and again."""
    at = np.arange(0, count, stride)
    return np.minimum(at + at // stride * 7919 % stride, count - 1)


def rotation(covariances: Float64Array, counts: Float64Array, step: float) -> Float64Array:
    """(K, K): what to turn K components by, so that (m, K, K) local covariances, of `counts` samples each, are coded in the fewest bits
    by a quantiser of `step`.

    Newton's method on all pairs' angles at once. Of variances a, b and a covariance x in a place of weight w, a pair's slope is
    2 sum w x (1 / a - 1 / b), and its bend near the minimum 2 sum w (a / b + b / a - 2).
    """
    total, size = covariances.shape[1], min(covariances.shape[1], _MOST)
    turned = np.eye(total)
    if size < 2 or not len(covariances):
        return turned
    one = np.eye(size, dtype=np.float32)
    c = (covariances[:, :size, :size] / step**2).astype(np.float32) + np.float32(_FLOOR) * one
    weights, whole, share = (counts / counts.sum()).astype(np.float32), one, 1.0
    for _ in range(_TURNS):
        variances = np.einsum("mkk->mk", c)
        cost = _logarithms(variances, weights)
        inverse = weights[:, None] / variances
        slope, ratio = np.einsum("mij,mi->ij", c, inverse), inverse.T @ variances
        angles = np.clip((slope - slope.T) / (ratio + ratio.T - 2 + _DAMPING), -_WIDEST, _WIDEST)
        while True:
            # Cayley's transform of angles makes a rotation
            turn = np.linalg.solve(one - share / 2 * angles, one + share / 2 * angles).astype(np.float32)
            made = turn.T @ (c.reshape(-1, size) @ turn).reshape(c.shape)
            gained = cost - _logarithms(np.einsum("mkk->mk", made), weights)
            if gained >= 0 or share < _LEAST_SHARE:
                break
            share /= 2
        if gained < _LEAST_GAIN:
            break
        c, whole, share = made, whole @ turn, min(1.0, 1.5 * share)
    # its columns are still a little off from orthonormal
    basis, signs = np.linalg.qr(whole.astype(np.float64))
    turned[:size, :size] = basis * np.sign(np.diag(signs))
    return turned


def _logarithms(variances: NDArray[np.float32], weights: NDArray[np.float32]) -> float:
    return float(weights @ np.log(np.maximum(variances, 1e-12)).sum(1))
