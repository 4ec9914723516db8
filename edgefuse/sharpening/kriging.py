"""Area-to-point kriging of a tile: predicts the trend's residual at high-resolution pixels from that at low-resolution ones.

A Gaussian process with covariance `Kernel`. Each low-resolution pixel observes the mean under the point spread function, approximated by a
sum over cells of several pixels. One factorisation serves all components of one noise level (Goovaerts 2008; Wang, Shi, Atkinson 2016).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgefuse.sharpening import cubic
from edgefuse.sharpening.covariance import Grid, covariances
from edgefuse.sharpening.kernel import Kernel, WindowFeatures
from edgefuse.sharpening.pair import Mask, Pair, Span, grown
from edgefuse.sharpening.psf import apply, cell_edges, cells
from edgefuse.sharpening.trend import Trend
from edgefuse.util.arrays import Float32Array, Float64Array

SHARED = 1  # overlap of neighbouring tiles in low-resolution pixels, blended by `taper`
_AROUND = 2  # cells per side of a low-resolution pixel outside the core: 4 take twice the time for 0.015 dB


@dataclass(frozen=True, slots=True)
class Tile:
    """A tile in low-resolution pixels. core: sharpened. window: observed; it contains the core."""

    core: tuple[Span, Span]
    window: tuple[Span, Span]


def tiles(shape: tuple[int, ...], side: int, shared: int = SHARED) -> Iterator[Tile]:
    """Yield tiles row by row. Windows are `side` low-resolution pixels wide, cores 7/8 of that; cores overlap by `shared` pixels.
    At borders the window is moved inside."""
    stride = max(1, 7 * side // 8 - shared)

    def spans(count: int) -> list[tuple[Span, Span]]:
        result = []
        for start in range(0, max(1, count - shared), stride):
            end = min(count, start + stride + shared)
            first = min(max(0, start - (side - stride - shared) // 2), max(0, count - side))
            result.append(((start, end), (first, min(count, first + side))))
        return result

    for rows in spans(shape[0]):
        for columns in spans(shape[1]):
            yield Tile((rows[0], columns[0]), (rows[1], columns[1]))


def taper(span: Span, count: int, ratio: int) -> Float32Array:
    """Blending weights of a tile's pixels along an axis of `count` low-resolution pixels, `span` its core: linear ramps at overlaps."""
    weights = np.ones((span[1] - span[0]) * ratio, np.float32)
    fade = SHARED * ratio
    rising = ((np.arange(fade) + 0.5) / fade).astype(np.float32)
    if span[0] > 0:
        weights[:fade] = rising
    if span[1] < count:
        weights[-fade:] = rising[::-1]
    return weights


class Observations(NamedTuple):
    """Observations in a window."""

    gram: Float32Array
    """(n, n): covariances of the known low-resolution pixels"""
    residual: Float32Array
    """(n, k): the trend's residual there, by components"""
    features: WindowFeatures
    """features of the window's pixels"""
    cells: Grid
    near: Float32Array
    """(p, m n, r): covariances of the cells with all low-resolution pixels, without the product term"""
    slopes: Float32Array
    """(n, e): slope features of the known low-resolution pixels"""
    weights: tuple[Float32Array, Float32Array]
    """(m, p), (n, r): weights of cells in each low-resolution row and column"""
    known: Mask
    """(m n,): which low-resolution pixels are known"""


class CoreFeatures(NamedTuple):
    """Features and covariances of the pixels (p, r) of a tile's core."""

    near: Float32Array
    """(p, m n, r): covariances with all low-resolution pixels, without the product term"""
    slopes: Float32Array
    """(p, r, e)"""
    scale: Float32Array
    """(p, r)"""


@dataclass(frozen=True)
class Kriging:
    """Kriging of one scene. noise: (k,), noise variance of each component, as a share of a low-resolution pixel's own variance.
    split: cells per side of a low-resolution pixel in a tile's core; fewer are used around it."""

    pair: Pair
    trend: Trend
    kernel: Kernel
    noise: Float64Array
    split: int = 4

    def observe(self, tile: Tile) -> Observations:
        """Return the observations in the tile's window."""
        rows, columns = tile.window
        around = self.reads(rows, 0), self.reads(columns, 1)
        low = self.pair.low(*around)
        rest = np.zeros((*low.known.shape, len(self.noise)), np.float32)
        rest[low.known] = self.trend.residual(low.spectra[low.known], low.image[low.known])
        features = self._features(tile, rest, around)
        inner = tuple(slice(begin - first, end - first) for (begin, end), (first, _) in zip(tile.window, around, strict=True))
        known, rest = low.known[inner].reshape(-1), rest[inner].reshape(-1, len(self.noise))
        cells_, cell_slopes, weights = self._cells(tile, features)
        near = covariances(cells_, cells_, weights, self.kernel.near)
        gram = _observed(near, weights)[known][:, known]
        slopes = apply(*weights, cell_slopes).reshape(len(known), -1)[known]
        return Observations(gram + slopes @ slopes.T, rest[known], features, cells_, near, slopes, weights, known)

    def _cells(self, tile: Tile, features: WindowFeatures) -> tuple[Grid, Float32Array, tuple[Float32Array, Float32Array]]:
        """Return the window's cells, their slope features, and the point spread function's weights on cells."""
        psf, (height, width, _) = self.pair.psf, self.pair.high_shape
        rows, columns = tile.window
        at_y, at_x = (self._edges(*spans) for spans in zip(tile.core, tile.window, strict=True))
        similarity, slopes, scale = (_cell_means(part, at_y, at_x) for part in features)
        # relative to the window's corner, for single precision
        y, x = ((at[:-1] + at[1:]) / (2 * psf.ratio) - first for at, first in ((at_y, rows[0]), (at_x, columns[0])))
        weights = cells(*psf.rows(*rows, height), at_y), cells(*psf.columns(*columns, width), at_x)
        return Grid(similarity, scale, y.astype(np.float32), x.astype(np.float32)), slopes, weights

    def _edges(self, core: Span, window: Span) -> NDArray[np.intp]:
        """Return the cells' edges in pixels: cells are smaller in the core."""
        ratio = self.pair.psf.ratio
        around = min(self.split, _AROUND)
        parts = (window[0], core[0], around), (*core, self.split), (core[1], window[1], around)
        edges = [cell_edges(begin, end, ratio, min(split, ratio)) for begin, end, split in parts]
        return np.unique(np.concatenate(edges))

    def _features(self, tile: Tile, rest: Float32Array, around: tuple[Span, Span]) -> WindowFeatures:
        """Compute the features of a tile's window. rest: (m, n, k), the trend's residual of the low-resolution pixels `around` it.
        Mirrored at the scene's border."""
        features, ratio = self.kernel.features, self.pair.psf.ratio
        wanted = [(begin * ratio - features.margin, end * ratio + features.margin) for begin, end in tile.window]
        rows, columns = ((max(0, a), min(n, b)) for (a, b), n in zip(wanted, self.pair.high_shape[:2], strict=True))
        pixels, known = self.pair.pixels(rows, columns)
        if not known.all():
            pixels = np.where(known[..., None], pixels, self.trend.centre)
        whitened = self.kernel.whitened(self.trend, pixels)
        leading = self.trend.leading(rest, features.left)
        left = cubic.enlarged(leading, around, (rows, columns), self.pair.low_shape[:2], self.pair.psf)
        padding = [(begin - a, b - end) for (a, b), (begin, end) in zip(wanted, (rows, columns), strict=True)]
        if any(sum(pads) for pads in padding):
            whitened, left = (np.pad(x, [*padding, (0, 0)], mode="reflect") for x in (whitened, left))
        return features(whitened, left)

    def reads(self, span: Span, axis: int) -> Span:
        """Return the low-resolution rows (axis 0) or columns (1) to read for windows that cover `span`."""
        features = self.kernel.features
        by = cubic.REACH - (-features.margin // self.pair.psf.ratio) if features.left else 0
        return grown(span, by, self.pair.low_shape[axis])

    def core_features(self, tile: Tile, seen: Observations) -> CoreFeatures:
        """Return features and covariances of the tile's core."""
        ratio = self.pair.psf.ratio
        inner = tuple(
            slice((begin - first) * ratio, (end - first) * ratio) for (begin, end), (first, _) in zip(tile.core, tile.window, strict=True)
        )
        similarity, slopes, scale = (part[inner] for part in seen.features)
        if self.split >= ratio:
            # cells are pixels, so their covariances are computed already
            at_y, at_x = (self._edges(*spans) for spans in zip(tile.core, tile.window, strict=True))
            down, across = (
                slice(*np.searchsorted(at, (begin * ratio, end * ratio))) for at, (begin, end) in zip((at_y, at_x), tile.core, strict=True)
            )
            return CoreFeatures(seen.near[down, :, across], slopes, scale)
        y, x = (((np.arange(s.start, s.stop) + 0.5) / ratio).astype(np.float32) for s in inner)
        return CoreFeatures(covariances(Grid(similarity, scale, y, x), seen.cells, seen.weights, self.kernel.near), slopes, scale)

    def predict(self, tile: Tile, seen: Observations, uncertain: bool) -> tuple[Float32Array, Float32Array | None]:
        """Predict the components (p, r, k) in the tile's core; if `uncertain`, also the kriging variance of each component (p, r, k), as a
        share of its variance."""
        near, slopes, scale = self.core_features(tile, seen)
        solved, inverses = self._solved(seen, uncertain)
        weights = np.zeros((len(seen.known), solved.shape[1]), np.float32)
        weights[seen.known] = solved
        predicted = np.matmul(near.transpose(0, 2, 1), weights)
        predicted += slopes @ (seen.slopes.T @ solved)
        if not uncertain:
            return predicted, None
        unknown = np.empty_like(predicted)
        for row, (row_near, row_slopes) in enumerate(zip(near, slopes, strict=True)):
            own = np.square(scale[row]) + np.square(row_slopes).sum(1)
            covariance = row_near[seen.known] + seen.slopes @ row_slopes.T
            for chosen, inverse in inverses:
                unknown[row][:, chosen] = np.maximum(own - (covariance * (inverse @ covariance)).sum(0), 0)[:, None]
        return predicted, unknown

    def _solved(self, seen: Observations, uncertain: bool) -> tuple[Float32Array, list[tuple[Mask, Float32Array]]]:
        """Solve for the observations' weights (n, k); if `uncertain`, also return the inverse covariance of each noise level."""
        count = len(seen.gram)
        solved = np.zeros((count, seen.residual.shape[1]), np.float32)
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
            solved[:, chosen] = np.linalg.solve(covariance, seen.residual[:, chosen])
        return solved, inverses


def _cell_means(pixels: Float32Array, at_y: NDArray[np.intp], at_x: NDArray[np.intp]) -> Float32Array:
    """Average pixels (h, w, ...) over cells (p, r, ...)."""
    if len(at_y) == pixels.shape[0] + 1 and len(at_x) == pixels.shape[1] + 1:
        return pixels
    sums = np.add.reduceat(np.add.reduceat(pixels, at_y[:-1] - at_y[0], 0), at_x[:-1] - at_x[0], 1)
    sizes = (np.diff(at_y)[:, None] * np.diff(at_x)).reshape(*sums.shape[:2], *(1,) * (sums.ndim - 2))
    return np.asarray(sums / sizes, np.float32)


def _observed(near: Float32Array, weights: tuple[Float32Array, Float32Array]) -> Float32Array:
    """Turn covariances of cells with low-resolution pixels (p, q, r) into those between low-resolution pixels (m n, q)."""
    down, across = weights
    count, observed, _ = near.shape
    half = np.matmul(near, across.T).reshape(count, -1)
    return (down @ half).reshape(len(down), observed, len(across)).transpose(0, 2, 1).reshape(-1, observed)
