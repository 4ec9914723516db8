"""How a low-resolution pixel sees high-resolution ones: a Gaussian point spread function, separable, sampled at pixels' centres."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgefuse.util.arrays import Float32Array

_TO_SIGMA = 1 / 2.355  # of a full width at half maximum
_REACH = 3.0  # standard deviations


@dataclass(frozen=True, slots=True)
class Psf:
    """ratio: high-resolution pixels to a low-resolution one, to a side. fwhm: in low-resolution pixels. dy, dx: how far the centre of what
    a low-resolution pixel sees lies below and right of its own centre, in high-resolution pixels: the two images' misregistration."""

    ratio: int
    fwhm: float = 1.0
    dy: float = 0.0
    dx: float = 0.0

    @property
    def reach(self) -> int:
        """High-resolution pixels that it sees beyond its own, at most."""
        return math.ceil(_REACH * self._sigma + max(abs(self.dy), abs(self.dx))) + 1

    @property
    def _sigma(self) -> float:
        return self.ratio * self.fwhm * _TO_SIGMA

    def rows(self, start: int, stop: int, count: int) -> tuple[int, Float32Array]:
        """`weights` along columns of an image of `count` high-resolution rows."""
        return _weights(self, start, stop, count, self.dy)

    def columns(self, start: int, stop: int, count: int) -> tuple[int, Float32Array]:
        return _weights(self, start, stop, count, self.dx)

    def inside(self, start: int, stop: int, count: int, shift: float) -> Float32Array:
        """The share of what each low-resolution pixel sees that lies within an image of `count` pixels (stop - start,)."""
        centres = self.ratio * np.arange(start, stop) + (self.ratio - 1) / 2 + shift
        scale = self._sigma * math.sqrt(2)
        return np.array([(math.erf((count - 0.5 - c) / scale) + math.erf((c + 0.5) / scale)) / 2 for c in centres], np.float32)


@functools.lru_cache(maxsize=256)  # tiles of a row or a column share them
def _weights(psf: Psf, start: int, stop: int, count: int, shift: float) -> tuple[int, Float32Array]:
    """Of low-resolution pixels start..stop: the first high-resolution pixel seen, and weights (stop - start, pixels), each row's sum 1.
    The image is reflected at its border, whose pixels are not repeated."""
    radius = math.ceil(_REACH * psf._sigma)
    centres = psf.ratio * np.arange(start, stop) + (psf.ratio - 1) / 2 + shift
    first, last = math.ceil(centres[0] - radius - 1e-6), math.floor(centres[-1] + radius + 1e-6)
    at = np.arange(first, last + 1)
    away = np.abs(at - centres[:, None])
    weights = np.where(away <= radius + 1e-6, np.exp(-0.5 * (away / psf._sigma) ** 2), 0.0)
    weights /= weights.sum(1, keepdims=True)
    period = max(1, 2 * (count - 1))
    folded = np.abs((at + count - 1) % period - count + 1) if count > 1 else np.zeros_like(at)
    begin, end = int(folded.min()), int(folded.max()) + 1
    seen = np.zeros((stop - start, end - begin))
    np.add.at(seen.T, folded - begin, weights.T)
    found = seen.astype(np.float32)
    found.flags.writeable = False
    return begin, found


def cell_edges(begin: int, end: int, ratio: int, split: int) -> NDArray[np.intp]:
    """Where cells begin, and the last one ends, of low-resolution pixels begin..end: `split` to a pixel, to a side, as equal as can be."""
    return np.arange(split * begin, split * end + 1) * ratio // split


def cells(first: int, weights: Float32Array, edges: NDArray[np.intp]) -> Float32Array:
    """Weights of pixels (rows, pixels) from `first` as weights (rows, cells). What is seen beyond the cells is left out, and the rest
    stands for it."""
    at = np.searchsorted(edges, np.arange(first, first + weights.shape[1]), "right") - 1
    inside = (at >= 0) & (at < len(edges) - 1)
    found = np.zeros((len(edges) - 1, len(weights)), np.float32)
    np.add.at(found, at[inside], weights.T[inside])
    return np.ascontiguousarray((found / np.maximum(found.sum(0), np.float32(1e-6))).T)


def apply(rows: Float32Array, columns: Float32Array, image: Float32Array) -> Float32Array:
    """rows (m, h), columns (n, w), image (h, w, b) -> (m, n, b)."""
    height, width, bands = image.shape
    half = (rows @ image.reshape(height, width * bands)).reshape(len(rows), width, bands)
    return np.ascontiguousarray(columns @ half)
