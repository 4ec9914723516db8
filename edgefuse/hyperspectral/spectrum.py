"""Which spectra a tile's pixels are made of: the encoder's choice of a basis, in floating point. A decoder only reads it (basis.py).

The Karhunen-Loeve transform makes components that don't correlate over the tile as a whole. Coding works place by place and band by band of
the wavelet, and there they still do. So the components are turned among themselves until the covariances of many places and bands are as
diagonal as one rotation makes them: the sum of the logarithms of all local variances falls, and with it the bits. That gains 0.4 to 0.5 dB
over the transform alone and costs a decoder nothing. (D. T. Pham's criterion for joint diagonalisation, 2001; here under rotations only.)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_PIXELS = 4096  # at least so many, where there are, and an eighth, tell the covariance
_ANGLES = 17
_SWEEPS = 2
_MOST = 40  # components that are turned: the first
_FLOOR = 0.08  # of a squared step: variances much below cost no bits


def principal(pixels: NDArray[np.generic]) -> tuple[Floats, Floats, Floats]:
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


def rotation(covariances: Floats, counts: Floats, step: float) -> Floats:
    """(K, K): what to turn K components by, so that (m, K, K) local covariances, of `counts` samples each, are coded in the fewest bits
    by a quantiser of `step`."""
    total, size = covariances.shape[1], min(covariances.shape[1], _MOST)
    turned = np.eye(total)
    if size < 2 or not len(covariances):
        return turned
    c = covariances[:, :size, :size] + _FLOOR * step**2 * np.eye(size)
    weights = counts[:, None, None] / counts.sum()
    angles = np.linspace(-np.pi / 2, np.pi / 2, _ANGLES)  # twice the angle
    cosines, sines = np.cos(angles), np.sin(angles)
    for _ in range(_SWEEPS):
        for i, j in _tournament(size):
            a, b, x = c[:, i, i], c[:, j, j], c[:, i, j]
            mean, half = (a + b) / 2, (a - b) / 2
            cost = (weights * np.log((mean**2)[..., None] - (half[..., None] * cosines + x[..., None] * sines) ** 2)).sum(0)
            best = cost.argmin(1)
            # the parabola through the best angle and its neighbours
            pairs = np.arange(len(i))
            before, here, after = cost[pairs, best - 1], cost[pairs, best], cost[pairs, (best + 1) % _ANGLES]
            inside = (best > 0) & (best < _ANGLES - 1)
            bend = before - 2 * here + after
            shift = np.where(inside & (bend > 1e-12), (before - after) / np.maximum(2 * bend, 1e-12), 0)
            theta = (angles[best] + shift * (angles[1] - angles[0])) / 2
            turn = np.eye(size)
            turn[i, i] = turn[j, j] = np.cos(theta)
            turn[j, i], turn[i, j] = np.sin(theta), -np.sin(theta)
            c = turn.T @ c @ turn
            turned[:size, :size] = turned[:size, :size] @ turn
    return turned


def _tournament(size: int) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """All pairs of `size` players, in rounds of disjoint ones."""
    players = np.arange(size + size % 2)
    rounds = []
    for _ in range(len(players) - 1):
        i, j = players[: len(players) // 2], players[len(players) // 2 :][::-1]
        real = (i < size) & (j < size)
        rounds.append((np.minimum(i, j)[real], np.maximum(i, j)[real]))
        players = np.concatenate([players[:1], np.roll(players[1:], 1)])
    return rounds
