"""Area kriging of a tile: what the low-resolution pixels leave unexplained, carried to the high-resolution ones that are alike and near.

A Gaussian process whose covariance is a `Kernel`; each low-resolution pixel observes its mean under the point spread function, summed over
cells of some pixels. One factorisation serves all components and bands of one noise level (Goovaerts 2008; Wang, Shi, Atkinson 2016).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgefuse.sharpening import cubic
from edgefuse.sharpening.covariance import Grid, covariances
from edgefuse.sharpening.kernel import Kernel, Shown
from edgefuse.sharpening.pair import Mask, Pair, Span, grown
from edgefuse.sharpening.psf import apply, cell_edges, cells
from edgefuse.sharpening.trend import Trend
from edgefuse.util.arrays import Float32Array, Float64Array

SHARED = 1  # low-resolution pixels that two neighbouring tiles both sharpen, for `taper`
_AROUND = 2  # cells to a low-resolution pixel around what is sharpened: 4 take twice the time for 0.015 dB


@dataclass(frozen=True, slots=True)
class Tile:
    """Low-resolution pixels: those sharpened, and those looked at."""

    core: tuple[Span, Span]
    window: tuple[Span, Span]


def tiles(shape: tuple[int, ...], side: int, shared: int = SHARED) -> Iterator[Tile]:
    """Row by row, of `side` low-resolution pixels looked at, seven eighths of which are sharpened, the last ones by the next tile, too.
    At borders the window moves in."""
    stride = max(1, 7 * side // 8 - shared)

    def spans(count: int) -> list[tuple[Span, Span]]:
        found = []
        for start in range(0, max(1, count - shared), stride):
            end = min(count, start + stride + shared)
            first = min(max(0, start - (side - stride - shared) // 2), max(0, count - side))
            found.append(((start, end), (first, min(count, first + side))))
        return found

    for rows in spans(shape[0]):
        for columns in spans(shape[1]):
            yield Tile((rows[0], columns[0]), (rows[1], columns[1]))


def taper(span: Span, count: int, ratio: int) -> Float32Array:
    """What a tile's pixels count along an axis, where it sharpens `span` of `count` low-resolution pixels: it fades into its neighbours."""
    weights = np.ones((span[1] - span[0]) * ratio, np.float32)
    fade = SHARED * ratio
    rising = ((np.arange(fade) + 0.5) / fade).astype(np.float32)
    if span[0] > 0:
        weights[:fade] = rising
    if span[1] < count:
        weights[-fade:] = rising[::-1]
    return weights


class Seen(NamedTuple):
    """What is observed in a window."""

    gram: Float32Array
    """(n, n): covariances of the known low-resolution pixels"""
    rest: Float32Array
    """(n, k): what the trend leaves of them, by components"""
    shown: Shown
    """by the window's pixels"""
    cells: Grid
    near: Float32Array
    """(p, m n, r): covariances of the cells with all low-resolution pixels, without the products"""
    leaning: Float32Array
    """(n, e): of the known low-resolution pixels"""
    weights: tuple[Float32Array, Float32Array]
    """(m, p), (n, r): of cells in each low-resolution row and column"""
    known: Mask
    """(m n,)"""


class Places(NamedTuple):
    """Pixels (p, r) of a tile's core."""

    near: Float32Array
    """(p, m n, r): covariances with all low-resolution pixels, without the products"""
    leaning: Float32Array
    """(p, r, e)"""
    loud: Float32Array
    """(p, r)"""


@dataclass(frozen=True)
class Kriging:
    """Of one scene. noise: (k,), of each component, as a share of a low-resolution pixel's own variance.
    split: cells to a low-resolution pixel, to a side, where tiles are sharpened; what is looked at around that may have fewer."""

    pair: Pair
    trend: Trend
    kernel: Kernel
    noise: Float64Array
    split: int = 4

    def seen(self, tile: Tile) -> Seen:
        rows, columns = tile.window
        around = self.reads(rows, 0), self.reads(columns, 1)
        low = self.pair.low(*around)
        rest = np.zeros((*low.known.shape, len(self.noise)), np.float32)
        rest[low.known] = self.trend.residual(low.spectra[low.known], low.image[low.known])
        shown = self._shown(tile, rest, around)
        inner = tuple(slice(begin - first, end - first) for (begin, end), (first, _) in zip(tile.window, around, strict=True))
        known, rest = low.known[inner].reshape(-1), rest[inner].reshape(-1, len(self.noise))
        cells_, leaning, weights = self._cells(tile, shown)
        near = covariances(cells_, cells_, weights, self.kernel.near)
        gram = _observed(near, weights)[known][:, known]
        leaned = apply(*weights, leaning).reshape(len(known), -1)[known]
        return Seen(gram + leaned @ leaned.T, rest[known], shown, cells_, near, leaned, weights, known)

    def _cells(self, tile: Tile, shown: Shown) -> tuple[Grid, Float32Array, tuple[Float32Array, Float32Array]]:
        """The window's cells, what the residual leans along there, and how low-resolution pixels see them."""
        psf, (height, width, _) = self.pair.psf, self.pair.high_shape
        rows, columns = tile.window
        at_y, at_x = (self._edges(*spans) for spans in zip(tile.core, tile.window, strict=True))
        alike, leaning, loud = (_meant(part, at_y, at_x) for part in shown)
        # from the window's corner: single precision has few digits
        y, x = ((at[:-1] + at[1:]) / (2 * psf.ratio) - first for at, first in ((at_y, rows[0]), (at_x, columns[0])))
        weights = cells(*psf.rows(*rows, height), at_y), cells(*psf.columns(*columns, width), at_x)
        return Grid(alike, loud, y.astype(np.float32), x.astype(np.float32)), leaning, weights

    def _edges(self, core: Span, window: Span) -> NDArray[np.intp]:
        """Where cells begin, and the last one ends: smaller ones where the core is."""
        ratio = self.pair.psf.ratio
        around = min(self.split, _AROUND)
        parts = (window[0], core[0], around), (*core, self.split), (core[1], window[1], around)
        every = [cell_edges(begin, end, ratio, min(split, ratio)) for begin, end, split in parts]
        return np.unique(np.concatenate(every))

    def _shown(self, tile: Tile, rest: Float32Array, around: tuple[Span, Span]) -> Shown:
        """What the features make of a tile's window, and of what the trend leaves of the low-resolution pixels around it (m, n, k),
        reflected where the scene ends."""
        features, ratio = self.kernel.features, self.pair.psf.ratio
        wanted = [(begin * ratio - features.margin, end * ratio + features.margin) for begin, end in tile.window]
        rows, columns = ((max(0, a), min(n, b)) for (a, b), n in zip(wanted, self.pair.high_shape[:2], strict=True))
        pixels, there = self.pair.pixels(rows, columns)
        if not there.all():
            pixels = np.where(there[..., None], pixels, self.trend.centre)
        whitened = self.kernel.whitened(self.trend, pixels)
        leading = self.trend.leading(rest, features.left)
        left = cubic.enlarged(leading, around, (rows, columns), self.pair.low_shape[:2], self.pair.psf)
        beyond = [(got - a, b - end) for (a, b), (got, end) in zip(wanted, (rows, columns), strict=True)]
        if any(sum(pads) for pads in beyond):
            whitened, left = (np.pad(x, [*beyond, (0, 0)], mode="reflect") for x in (whitened, left))
        return features(whitened, left)

    def reads(self, span: Span, axis: int) -> Span:
        """The low-resolution rows or columns that are read for tiles whose windows have these."""
        features = self.kernel.features
        by = cubic.REACH - (-features.margin // self.pair.psf.ratio) if features.left else 0
        return grown(span, by, self.pair.low_shape[axis])

    def places(self, tile: Tile, seen: Seen) -> Places:
        """The pixels of the tile's core."""
        ratio = self.pair.psf.ratio
        inner = tuple(
            slice((begin - first) * ratio, (end - first) * ratio) for (begin, end), (first, _) in zip(tile.core, tile.window, strict=True)
        )
        alike, leaning, loud = (part[inner] for part in seen.shown)
        if self.split >= ratio:
            # cells are pixels, and all is known already
            at_y, at_x = (self._edges(*spans) for spans in zip(tile.core, tile.window, strict=True))
            down, across = (
                slice(*np.searchsorted(at, (begin * ratio, end * ratio))) for at, (begin, end) in zip((at_y, at_x), tile.core, strict=True)
            )
            return Places(seen.near[down, :, across], leaning, loud)
        y, x = (((np.arange(s.start, s.stop) + 0.5) / ratio).astype(np.float32) for s in inner)
        return Places(covariances(Grid(alike, loud, y, x), seen.cells, seen.weights, self.kernel.near), leaning, loud)

    def carried(self, tile: Tile, seen: Seen, uncertain: bool) -> tuple[Float32Array, Float32Array | None]:
        """Components (p, r, k) of the pixels of the tile's core, and, where asked for, the share of each component's variance that stays
        unknown (p, r, k)."""
        near, leaning, loud = self.places(tile, seen)
        solved, inverses = self._solved(seen, uncertain)
        every = np.zeros((len(seen.known), solved.shape[1]), np.float32)
        every[seen.known] = solved
        found = np.matmul(near.transpose(0, 2, 1), every)
        found += leaning @ (seen.leaning.T @ solved)
        if not uncertain:
            return found, None
        unknown = np.empty_like(found)
        for row, (at, lean) in enumerate(zip(near, leaning, strict=True)):
            own = np.square(loud[row]) + np.square(lean).sum(1)
            covariance = at[seen.known] + seen.leaning @ lean.T
            for chosen, inverse in inverses:
                unknown[row][:, chosen] = np.maximum(own - (covariance * (inverse @ covariance)).sum(0), 0)[:, None]
        return found, unknown

    def _solved(self, seen: Seen, uncertain: bool) -> tuple[Float32Array, list[tuple[Mask, Float32Array]]]:
        """Weights of the observations (n, k); and the inverse of their covariance for each level of noise."""
        count = len(seen.gram)
        solved = np.zeros((count, seen.rest.shape[1]), np.float32)
        inverses: list[tuple[Mask, Float32Array]] = []
        if not count:
            return solved, inverses
        own = float(seen.gram.diagonal().mean())
        for level in np.unique(self.noise):
            chosen = self.noise == level
            covariance = seen.gram + np.eye(count, dtype=np.float32) * np.float32(level * own)
            if uncertain:
                inverse = np.linalg.inv(covariance.astype(np.float64)).astype(np.float32)
                inverses.append((chosen, inverse))
            solved[:, chosen] = np.linalg.solve(covariance, seen.rest[:, chosen])
        return solved, inverses


def _meant(pixels: Float32Array, at_y: NDArray[np.intp], at_x: NDArray[np.intp]) -> Float32Array:
    """Pixels (h, w, ...) -> their means over cells (p, r, ...)."""
    if len(at_y) == pixels.shape[0] + 1 and len(at_x) == pixels.shape[1] + 1:
        return pixels
    sums = np.add.reduceat(np.add.reduceat(pixels, at_y[:-1] - at_y[0], 0), at_x[:-1] - at_x[0], 1)
    sizes = (np.diff(at_y)[:, None] * np.diff(at_x)).reshape(*sums.shape[:2], *(1,) * (sums.ndim - 2))
    return np.asarray(sums / sizes, np.float32)


def _observed(near: Float32Array, weights: tuple[Float32Array, Float32Array]) -> Float32Array:
    """Covariances of cells with low-resolution pixels (p, q, r) -> of low-resolution pixels with each other (m n, q)."""
    down, across = weights
    count, observed, _ = near.shape
    half = np.matmul(near, across.T).reshape(count, -1)
    return (down @ half).reshape(len(down), observed, len(across)).transpose(0, 2, 1).reshape(-1, observed)
