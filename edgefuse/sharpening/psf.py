"""The cube's point spread function: a separable Gaussian, sampled at the centres of the image's pixels."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgefuse.util.arrays import Float32Array

_TO_SIGMA = 1 / 2.355  # standard deviation over full width at half maximum
_REACH = 3.0  # standard deviations


@dataclass(frozen=True, slots=True)
class Psf:
    """ratio: high-resolution pixels per side of a low-resolution one. fwhm: full width at half maximum, in low-resolution pixels. dy, dx:
    offset of the Gaussian's centre down and right from the low-resolution pixel's centre, in high-resolution pixels (misregistration)."""

    ratio: int
    fwhm: float = 1.0
    dy: float = 0.0
    dx: float = 0.0

    @property
    def reach(self) -> int:
        """Largest distance in high-resolution pixels that it covers beyond its own low-resolution pixel."""
        return math.ceil(_REACH * self.sigma + max(abs(self.dy), abs(self.dx))) + 1

    @property
    def radius(self) -> int:
        """Distance from its centre beyond which it is cut off, in high-resolution pixels."""
        return math.ceil(_REACH * self.sigma)

    @property
    def sigma(self) -> float:
        """Standard deviation in high-resolution pixels."""
        return self.ratio * self.fwhm * _TO_SIGMA

    def rows(self, start: int, stop: int, count: int) -> tuple[int, Float32Array]:
        """Return the first high-resolution row used and the weights (stop - start, rows), for an image of `count` rows."""
        return _weights(self, start, stop, count, self.dy)

    def columns(self, start: int, stop: int, count: int) -> tuple[int, Float32Array]:
        return _weights(self, start, stop, count, self.dx)

    def inside(self, start: int, stop: int, count: int, shift: float) -> Float32Array:
        """Return the share (stop - start,) of each low-resolution pixel's weight that falls inside an image of `count` pixels."""
        centres = self.ratio * np.arange(start, stop) + (self.ratio - 1) / 2 + shift
        scale = self.sigma * math.sqrt(2)
        return np.array([(math.erf((count - 0.5 - c) / scale) + math.erf((c + 0.5) / scale)) / 2 for c in centres], np.float32)


@functools.lru_cache(maxsize=256)  # tiles of a row or a column share them
def _weights(psf: Psf, start: int, stop: int, count: int, shift: float) -> tuple[int, Float32Array]:
    """Return, for low-resolution pixels start..stop, the first high-resolution pixel used and weights (stop - start, pixels).

    Each row sums to 1. The image is mirrored at its border without repeating the border pixels.
    """
    radius = psf.radius
    centres = psf.ratio * np.arange(start, stop) + (psf.ratio - 1) / 2 + shift
    first, last = math.ceil(centres[0] - radius - 1e-6), math.floor(centres[-1] + radius + 1e-6)
    at = np.arange(first, last + 1)
    distance = np.abs(at - centres[:, None])
    weights = np.where(distance <= radius + 1e-6, np.exp(-0.5 * (distance / psf.sigma) ** 2), 0.0)
    weights /= weights.sum(1, keepdims=True)
    period = max(1, 2 * (count - 1))
    mirrored = np.abs((at + count - 1) % period - count + 1) if count > 1 else np.zeros_like(at)
    begin, end = int(mirrored.min()), int(mirrored.max()) + 1
    total = np.zeros((stop - start, end - begin))
    np.add.at(total.T, mirrored - begin, weights.T)
    result = total.astype(np.float32)
    result.flags.writeable = False
    return begin, result


def cell_edges(begin: int, end: int, ratio: int, split: int) -> NDArray[np.intp]:
    """Return the cells' edges for low-resolution pixels begin..end: `split` cells per side of a pixel, as equal in size as possible."""
    return np.arange(split * begin, split * end + 1) * ratio // split


def cells(first: int, weights: Float32Array, edges: NDArray[np.intp]) -> Float32Array:
    """Sum weights of pixels (rows, pixels), which start at pixel `first`, to weights of cells (rows, cells).

    Weights outside the cells are dropped, and each row is normalised again.
    """
    at = np.searchsorted(edges, np.arange(first, first + weights.shape[1]), "right") - 1
    inside = (at >= 0) & (at < len(edges) - 1)
    summed = np.zeros((len(edges) - 1, len(weights)), np.float32)
    np.add.at(summed, at[inside], weights.T[inside])
    return np.ascontiguousarray((summed / np.maximum(summed.sum(0), np.float32(1e-6))).T)


def apply(rows: Float32Array, columns: Float32Array, image: Float32Array) -> Float32Array:
    """Filter separably: rows (m, h), columns (n, w), image (h, w, b) -> (m, n, b)."""
    height, width, bands = image.shape
    half = (rows @ image.reshape(height, width * bands)).reshape(len(rows), width, bands)
    return np.ascontiguousarray(columns @ half)
