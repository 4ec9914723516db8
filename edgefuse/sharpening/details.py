"""Details of a picture, differences between neighbouring pixels, and how much of the details of one the other explains."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgefuse.sharpening.pair import Mask

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Details:
    """samples: (2, h, w, n), differences to the pixel below and to the right, 0 where unknown. known: (2, h, w)."""

    samples: Doubles
    known: Mask

    def overlap(self, down: int, across: int) -> Details:
        """Those for which another picture of this size has one so many pixels further down and right."""
        window = slice(None), *overlap(self.known.shape[1:], down, across)
        return Details(self.samples[window], self.known[window])


def overlap(shape: tuple[int, ...], down: int, across: int) -> tuple[slice, slice]:
    """Of (h, w) pixels those for which another picture has one so many pixels further down and right."""
    h, w = shape
    return slice(max(0, -down), h + min(0, -down)), slice(max(0, -across), w + min(0, -across))


def details(pixels: Doubles, known: Mask) -> Details:
    """Of pixels (h, w, n), known (h, w)."""
    found, there = np.zeros((2, *pixels.shape)), np.zeros((2, *known.shape), bool)
    there[0, :-1], there[1, :, :-1] = known[1:] & known[:-1], known[:, 1:] & known[:, :-1]
    found[0, :-1], found[1, :, :-1] = np.diff(pixels, axis=0), np.diff(pixels, axis=1)
    found[~there] = 0
    return Details(found, there)


def together(x: Details, y: Details) -> tuple[Doubles, Doubles]:
    """Where both are known, about their means down and across: (m, n) and (m, k). A slope has no details."""
    both = x.known & y.known
    parts = [[d.samples[axis][both[axis]] for axis in (0, 1) if both[axis].any()] for d in (x, y)]
    if not parts[0]:
        return np.zeros((0, x.samples.shape[3])), np.zeros((0, y.samples.shape[3]))
    found = [np.concatenate([part - part.mean(0) for part in each]) for each in parts]
    return found[0], found[1]


def explained(x: Doubles, y: Doubles) -> float:
    """Share of the variance of y's bands (n, b), each counting alike, that a linear function of x (n, k) explains; corrected for chance."""
    n, k = x.shape
    spread = np.sqrt(np.square(y).mean(0)) if n else np.zeros(y.shape[1])
    if n <= 2 * k or not (spread > 0).any():
        return 0.0
    y = y[:, spread > 0] / spread[spread > 0]
    rest = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
    return 1 - float(np.square(rest).mean()) * n / (n - k)


def correlated(x: Details, y: Details, least: float, count: int) -> list[tuple[int, int]]:
    """By how many pixels (down, right) y may lie off x: at most `count` of the offsets at which x explains y best, if its bands were as
    uncorrelated, and as strong, in each part as they are in all of it; `least` of x overlap there."""
    _, h, w, bands = y.samples.shape
    if not bands or not x.known.any():
        return []
    basis = np.zeros(x.samples.shape)
    basis[x.known] = np.linalg.qr(x.samples[x.known])[0]
    spread = np.sqrt(np.square(y.samples).sum((0, 1, 2)))
    scaled = y.samples / np.where(spread > 0, spread, 1)
    mask = x.known[..., None].astype(np.float64)
    both = _sums(mask, y.known[..., None].astype(np.float64))[..., 0] / x.known.sum()
    energy = _sums(mask, np.square(scaled).sum(3, keepdims=True))[..., 0]
    caught = sum(np.square(_sums(basis, scaled[..., band : band + 1])).sum(2) for band in range(bands))
    shares = np.where((both >= least) & (energy > 1e-6), caught / np.maximum(both * energy, 1e-12), 0)
    best = np.argsort(-shares, axis=None, kind="stable")[:count]
    wrapped = (tuple(int(i) for i in np.unravel_index(at, shares.shape)) for at in best)
    return [(i - 2 * h if i >= h else i, j - 2 * w if j >= w else j) for i, j in wrapped]


def _sums(x: Doubles, y: Doubles) -> Doubles:
    """(2 h, 2 w, n): of x (2, h, w, n) times y (2, h, w, 1 or n), for each number of pixels that y lies off, cyclically."""
    size = 2 * x.shape[1], 2 * x.shape[2]
    one, other = (np.fft.rfft2(each, size, axes=(1, 2)) for each in (x, y))
    return np.asarray(np.fft.irfft2((one.conj() * other).sum(0), size, axes=(0, 1)))
