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

from edgefuse.sharpening.kernel import Cells, Kernel, Points
from edgefuse.sharpening.pair import Mask, Pair, Span
from edgefuse.sharpening.psf import cell_edges, cells
from edgefuse.sharpening.trend import Trend

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

_AT_ONCE = 512  # points compared at a time, with all cells: what the caches hold


@dataclass(frozen=True, slots=True)
class Tile:
    """Low-resolution pixels: those sharpened, and those looked at."""

    core: tuple[Span, Span]
    window: tuple[Span, Span]


def tiles(shape: tuple[int, ...], side: int) -> Iterator[Tile]:
    """Row by row, of `side` low-resolution pixels looked at, three quarters of which are sharpened. At borders the window moves in."""
    core = max(1, 3 * side // 4)

    def spans(count: int) -> list[tuple[Span, Span]]:
        found = []
        for start in range(0, count, core):
            first = min(max(0, start - (side - core) // 2), max(0, count - side))
            found.append(((start, min(count, start + core)), (first, min(count, first + side))))
        return found

    for rows in spans(shape[0]):
        for columns in spans(shape[1]):
            yield Tile((rows[0], columns[0]), (rows[1], columns[1]))


class Seen(NamedTuple):
    """What is observed in a window."""

    gram: Floats
    """(n, n): covariances of the known low-resolution pixels"""
    rest: Floats
    """(n, k): what the trend leaves of them, by components"""
    cells: Cells
    leaning: Floats
    """(n, d): of the known low-resolution pixels"""
    weights: tuple[Floats, Floats]
    """(m, p), (n, r): of cells in each low-resolution row and column"""
    known: Mask
    """(m n,)"""


@dataclass(frozen=True)
class Kriging:
    """Of one scene. noise: (k,), of each component, as a share of a low-resolution pixel's own variance.
    split: cells to a low-resolution pixel, to a side."""

    pair: Pair
    trend: Trend
    kernel: Kernel
    noise: Doubles
    split: int = 2

    def seen(self, tile: Tile) -> Seen:
        rows, columns = tile.window
        low = self.pair.low(rows, columns)
        known = low.known.reshape(-1)
        few, bands = low.image.shape[2], low.spectra.shape[2]
        rest = self.trend.residual(low.spectra.reshape(-1, bands)[known], low.image.reshape(-1, few)[known])
        grid, weights = self._cells(rows, columns)
        down, across = weights
        width = across.shape[1]
        # some rows of cells at a time: the covariance of all cells with each other is never held
        step = max(1, _AT_ONCE // width)
        left = np.empty((down.shape[1] * width, len(known)), np.float32)
        for first in range(0, down.shape[1], step):
            part = grid.rows(slice(first, min(down.shape[1], first + step)))
            alike = self.kernel.similarity(part, grid, np.empty((len(part.y), len(left)), np.float32))
            left[first * width : first * width + len(alike)] = _observed(alike, weights)
        gram = _observed(np.ascontiguousarray(left.T), weights)[known][:, known]
        leaning = _observed(np.ascontiguousarray(self.kernel.leaning(grid.features).T), weights).T[known]
        return Seen(gram + leaning @ leaning.T, rest, grid, np.ascontiguousarray(leaning), weights, known)

    def _cells(self, rows: Span, columns: Span) -> tuple[Cells, tuple[Floats, Floats]]:
        psf, (height, width, few) = self.pair.psf, self.pair.high_shape
        at_y, at_x = (cell_edges(*span, psf.ratio, min(self.split, psf.ratio)) for span in (rows, columns))
        pixels, there = self.pair.pixels((int(at_y[0]), int(at_y[-1])), (int(at_x[0]), int(at_x[-1])))
        if not there.all():
            pixels = np.where(there[..., None], pixels, self.trend.centre)
        mean = np.add.reduceat(np.add.reduceat(pixels, at_y[:-1] - at_y[0], 0), at_x[:-1] - at_x[0], 1)
        mean /= (np.diff(at_y)[:, None] * np.diff(at_x))[..., None].astype(np.float32)
        features = self.kernel.points(self.trend, mean.reshape(-1, few).astype(np.float32))
        # from the window's corner: single precision has few digits
        y, x = ((at[:-1] + at[1:]) / (2 * psf.ratio) - first for at, first in ((at_y, rows[0]), (at_x, columns[0])))
        weights = cells(*psf.rows(*rows, height), at_y), cells(*psf.columns(*columns, width), at_x)
        return Cells(features, y.astype(np.float32), x.astype(np.float32)), weights

    def carried(self, tile: Tile, seen: Seen, pixels: Floats, uncertain: bool) -> tuple[Floats, Floats | None]:
        """The image's pixels (m, n, b) of the tile's core -> components there (m n, k), and, where asked for, the share of each component's
        variance that stays unknown (m n, k)."""
        features = self.kernel.points(self.trend, pixels.reshape(-1, pixels.shape[2]))
        points = self._places(tile, features)
        solved, inverses = self._solved(seen, uncertain)
        on_cells, on_leaning = _spread(solved, seen), seen.leaning.T @ solved
        found = np.empty((len(features), solved.shape[1]), np.float32)
        unknown = np.empty_like(found) if uncertain else None
        room = np.empty((_AT_ONCE, len(seen.cells.features)), np.float32)
        for first in range(0, len(features), _AT_ONCE):
            part = points[first : first + _AT_ONCE]
            here = slice(first, first + len(part.y))
            alike = self.kernel.similarity(part, seen.cells, room[: len(part.y)])
            leaning = self.kernel.leaning(part.features)
            found[here] = alike @ on_cells + leaning @ on_leaning
            if unknown is not None:
                near = _observed(alike, seen.weights)[:, seen.known] + leaning @ seen.leaning.T
                own = 1 + np.square(leaning).sum(1)
                for chosen, inverse in inverses:
                    unknown[here, chosen] = np.maximum(own - np.einsum("ij,ij->i", near @ inverse, near), 0)[:, None]
        return found, unknown

    def _places(self, tile: Tile, features: Floats) -> Points:
        """Of the pixels of the tile's core, counted from the window's corner as cells are."""
        ratio = self.pair.psf.ratio
        y, x = (
            ((np.arange(begin * ratio, end * ratio) + 0.5) / ratio - first).astype(np.float32)
            for (begin, end), (first, _) in zip(tile.core, tile.window, strict=True)
        )
        down, across = np.meshgrid(y, x, indexing="ij")
        return Points(features, down.reshape(-1), across.reshape(-1))

    def _solved(self, seen: Seen, uncertain: bool) -> tuple[Floats, list[tuple[Mask, Floats]]]:
        """Weights of the observations (n, k); and the inverse of their covariance for each level of noise."""
        count = len(seen.gram)
        solved = np.zeros((count, seen.rest.shape[1]), np.float32)
        inverses: list[tuple[Mask, Floats]] = []
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


def _observed(alike: Floats, weights: tuple[Floats, Floats]) -> Floats:
    """Covariances with cells (n, q) -> with low-resolution pixels (n, m)."""
    down, across = weights
    count, width = len(alike), across.shape[1]
    half = alike.reshape(count * down.shape[1], width) @ across.T
    turned = half.reshape(count, down.shape[1], len(across))
    return np.matmul(down, turned).reshape(count, -1)


def _spread(solved: Floats, seen: Seen) -> Floats:
    """Weights of known low-resolution pixels (n, k) -> of cells (q, k)."""
    down, across = seen.weights
    every = np.zeros((len(seen.known), solved.shape[1]), np.float32)
    every[seen.known] = solved
    half = (down.T @ every.reshape(len(down), -1)).reshape(down.shape[1], len(across), -1)
    return np.ascontiguousarray(np.matmul(across.T, half).reshape(-1, solved.shape[1]))
