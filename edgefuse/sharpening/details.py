"""Differences between neighbouring pixels (details) of two images, and how much of one's variance the other's explain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgefuse.sharpening.pair import Mask

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Details:
    """Differences to the pixel below and to the right. samples: (2, h, w, n), 0 where unknown. known: (2, h, w)."""

    samples: Doubles
    known: Mask

    def overlap(self, down: int, across: int) -> Details:
        """Return the part that overlaps an image of the same size displaced by (down, across) pixels."""
        window = slice(None), *overlap(self.known.shape[1:], down, across)
        return Details(self.samples[window], self.known[window])


def overlap(shape: tuple[int, ...], down: int, across: int) -> tuple[slice, slice]:
    """Return the (row, column) slices of an image of `shape` that overlap one displaced by (down, across) pixels."""
    h, w = shape
    return slice(max(0, -down), h + min(0, -down)), slice(max(0, -across), w + min(0, -across))


def details(pixels: Doubles, known: Mask) -> Details:
    """Compute the details of pixels (h, w, n), known where `known` (h, w) is."""
    samples, both = np.zeros((2, *pixels.shape)), np.zeros((2, *known.shape), bool)
    both[0, :-1], both[1, :, :-1] = known[1:] & known[:-1], known[:, 1:] & known[:, :-1]
    samples[0, :-1], samples[1, :, :-1] = np.diff(pixels, axis=0), np.diff(pixels, axis=1)
    samples[~both] = 0
    return Details(samples, both)


def known_in_both(x: Details, y: Details) -> tuple[Doubles, Doubles]:
    """Return the details known in both, (m, n) and (m, k), less their means in each direction, so that a constant slope vanishes."""
    both = x.known & y.known
    parts = [[d.samples[axis][both[axis]] for axis in (0, 1) if both[axis].any()] for d in (x, y)]
    if not parts[0]:
        return np.zeros((0, x.samples.shape[3])), np.zeros((0, y.samples.shape[3]))
    centred = [np.concatenate([part - part.mean(0) for part in each]) for each in parts]
    return centred[0], centred[1]


def explained(x: Doubles, y: Doubles) -> float:
    """Share of the variance of y (n, b), bands weighted equally, that a linear function of x (n, k) explains: adjusted R squared."""
    n, k = x.shape
    spread = np.sqrt(np.square(y).mean(0)) if n else np.zeros(y.shape[1])
    if n <= 2 * k or not (spread > 0).any():
        return 0.0
    y = y[:, spread > 0] / spread[spread > 0]
    residual = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
    return 1 - float(np.square(residual).mean()) * n / (n - k)


def correlated(x: Details, y: Details, least: float, count: int) -> list[tuple[int, int]]:
    """Return at most `count` offsets (down, right) of y from x at which x explains y best, by cross-correlation over all offsets.

    Approximate: assumes that x is as white in every part as in the whole. least: smallest overlap, as a share of x.
    """
    _, h, w, bands = y.samples.shape
    if not bands or not x.known.any():
        return []
    basis = np.zeros(x.samples.shape)
    basis[x.known] = np.linalg.qr(x.samples[x.known])[0]
    spread = np.sqrt(np.square(y.samples).sum((0, 1, 2)))
    scaled = y.samples / np.where(spread > 0, spread, 1)
    mask = x.known[..., None].astype(np.float64)
    overlaps = _sums(mask, y.known[..., None].astype(np.float64))[..., 0] / x.known.sum()
    energy = _sums(mask, np.square(scaled).sum(3, keepdims=True))[..., 0]
    explained_power = sum(np.square(_sums(basis, scaled[..., band : band + 1])).sum(2) for band in range(bands))
    shares = np.where((overlaps >= least) & (energy > 1e-6), explained_power / np.maximum(overlaps * energy, 1e-12), 0)
    best = np.argsort(-shares, axis=None, kind="stable")[:count]
    wrapped = (tuple(int(i) for i in np.unravel_index(at, shares.shape)) for at in best)
    return [(i - 2 * h if i >= h else i, j - 2 * w if j >= w else j) for i, j in wrapped]


def _sums(x: Doubles, y: Doubles) -> Doubles:
    """Cyclic cross-correlation (2 h, 2 w, n) of x (2, h, w, n) and y (2, h, w, 1 or n), zero-padded, by FFT."""
    size = 2 * x.shape[1], 2 * x.shape[2]
    one, other = (np.fft.rfft2(each, size, axes=(1, 2)) for each in (x, y))
    return np.asarray(np.fft.irfft2((one.conj() * other).sum(0), size, axes=(0, 1)))
