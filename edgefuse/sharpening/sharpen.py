"""`sharpen-edge`: registers, fits the trend, estimates the noise, then kriges tile by tile in bounded memory."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefuse.sharpening import kernel_network, noise
from edgefuse.sharpening.base import Beat, Options, Output, Sharpener
from edgefuse.sharpening.clouds import Covered
from edgefuse.sharpening.kernel import Kernel
from edgefuse.sharpening.kriging import SHARED, Kriging, Tile, taper, tiles
from edgefuse.sharpening.matching import matched
from edgefuse.sharpening.pair import Mask, Pair, Samples, Span
from edgefuse.sharpening.threads import parallel_tiles
from edgefuse.sharpening.trend import Trend
from edgefuse.util.arrays import Float32Array

_SAMPLED = 6  # tiles on which the noise is estimated
_FINE, _COARSE = 4, 2  # cells per side of a low-resolution pixel
_ROWS_BYTES = 8_000_000  # of spectra computed at a time


@dataclass(frozen=True)
class Prepared:
    """A registered and fitted pair, ready to sharpen. variances: (k,), of the kriged components, per pixel. side: of a tile, in
    low-resolution pixels. count: tiles. tile_s: seconds per tile, measured on one. covered: pixels that are interpolated from the cube."""

    kriging: Kriging
    variances: NDArray[np.float64]
    side: int
    threads: int
    count: int
    tile_s: float
    prepared_s: float
    covered: Covered | None = None

    @property
    def pair(self) -> Pair:
        return self.kriging.pair

    @property
    def trend(self) -> Trend:
        return self.kriging.trend

    def sharpen(self, out: Output, uncertainty: Output | None = None, beat: Beat | None = None) -> None:
        sharpen(self, out, uncertainty, beat)


class SharpenEdge(Sharpener):
    def prepare(
        self, cube: Samples, image: Samples, options: Options, cube_nodata: float | None = None, image_nodata: float | None = None
    ) -> Prepared:
        return prepare(cube, image, options, None, cube_nodata, image_nodata)


def prepare(
    cube: Samples, image: Samples, options: Options | None = None, kernel: Kernel | None = None,
    cube_nodata: float | None = None, image_nodata: float | None = None,
) -> Prepared:  # fmt: skip
    """Register and fit cube (h, w, B) and image (h r, w r, b), in any units. Raises CubeError where they can't be sharpened."""
    with parallel_tiles(1):
        return _prepared(cube, image, options or Options(), kernel or kernel_network.kernel(image.shape[2]), cube_nodata, image_nodata)


def _prepared(
    cube: Samples, image: Samples, options: Options, kernel: Kernel, cube_nodata: float | None, image_nodata: float | None
) -> Prepared:
    began = time.perf_counter()
    pair, trend, covered = matched(cube, image, options, cube_nodata, image_nodata)
    kriging = Kriging(pair, trend, kernel, np.full(trend.components.shape[1], noise.LEVELS[0]), _COARSE if options.coarse else _FINE)
    all_tiles = list(tiles(cube.shape, options.side))
    levels, variances = noise.estimated(kriging, _spaced(all_tiles, _SAMPLED))
    kriging = replace(kriging, noise=levels)
    tile_began = time.perf_counter()
    tile = all_tiles[len(all_tiles) // 2]
    _components(kriging, tile, False)
    now = time.perf_counter()
    return Prepared(kriging, variances, options.side, options.threads, len(all_tiles), now - tile_began, now - began, covered)


def _spaced(all_tiles: list[Tile], count: int) -> list[Tile]:
    return [all_tiles[i] for i in np.unique(np.linspace(0, len(all_tiles) - 1, count + 2).astype(int))]


def sharpen(scene: Prepared, out: Output, uncertainty: Output | None = None, beat: Beat | None = None) -> None:
    """Write the high-resolution cube (h r, w r, B) into `out`, and into `uncertainty` (h r, w r, 1) the standard deviation of a sample's
    error, root mean square over the bands, in the cube's units. NaN where the image's pixel or the cube's is missing."""
    pair, kriging = scene.pair, scene.kriging
    all_tiles, done = list(tiles(pair.low_shape, scene.side)), 0
    with parallel_tiles(scene.threads) as count, ThreadPoolExecutor(count) as pool:

        def finish(
            strip: _Strip, row: list[Tile], futures: list[Future[tuple[Float32Array, Float32Array | None]]], following: _Strip | None
        ) -> None:
            nonlocal done
            for tile, future in zip(row, futures, strict=True):
                strip.put(tile, *future.result())
                done += 1
                if beat is not None:
                    beat(done, len(all_tiles))
            strip.write(out, uncertainty, scene.covered)
            if following is not None:
                strip.pass_on(following)

        pending: tuple[_Strip, list[Tile], list[Future[tuple[Float32Array, Float32Array | None]]]] | None = None
        for rows in sorted({tile.core[0] for tile in all_tiles}):
            row = [tile for tile in all_tiles if tile.core[0] == rows]
            loaded = replace(kriging, pair=_loaded(pair, kriging.reads(row[0].window[0], 0), kriging.kernel.features.margin))
            strip = _Strip(loaded.pair, rows, scene.trend, scene.variances)
            futures = [pool.submit(_components, loaded, tile, uncertainty is not None) for tile in row]
            # write a row of tiles while the next is computed
            if pending is not None:
                finish(*pending, strip)
            pending = strip, row, futures
        if pending is not None:
            finish(*pending, None)


def _components(kriging: Kriging, tile: Tile, uncertain: bool) -> tuple[Float32Array, Float32Array | None]:
    return kriging.predict(tile, kriging.observe(tile), uncertain)


class _Rows:
    """Rows of samples held in memory, indexed as the whole array."""

    def __init__(self, samples: Samples, rows: Span) -> None:
        self.shape, self._first = samples.shape, rows[0]
        self._samples = samples[slice(*rows)]

    def __getitem__(self, key: Any) -> NDArray[Any]:
        rows, columns = key
        return self._samples[rows.start - self._first : rows.stop - self._first, columns]


def _loaded(pair: Pair, rows: Span, margin: int) -> Pair:
    """Return the pair with all samples for tiles in these low-resolution rows in memory: sources are not thread-safe."""
    psf, height = pair.psf, pair.high_shape[0]
    top, weights = psf.rows(*rows, height)
    first, last = min(top, max(0, rows[0] * psf.ratio - margin)), max(top + weights.shape[1], min(height, rows[1] * psf.ratio + margin))
    return replace(pair, cube=_Rows(pair.cube, rows), image=_Rows(pair.image, (first, last)))


class _Strip:
    """Accumulates the components of a row of tiles, then converts them to spectra and writes them."""

    def __init__(self, pair: Pair, rows: Span, trend: Trend, variances: NDArray[np.float64]) -> None:
        self._ratio = ratio = pair.psf.ratio
        self._pair, self._trend = pair, trend
        # of each component, the variance it contributes, mean over the bands
        self._shares = (variances * np.square(trend.components, dtype=np.float64).mean(0)).astype(np.float32)
        # the last rows overlap the next strip, which writes them
        self._rows = rows[0], rows[1] if rows[1] == pair.low_shape[0] else rows[1] - SHARED
        self._top, self._bottom = (row * ratio for row in self._rows)
        shape = (rows[1] - rows[0]) * ratio, pair.high_shape[1]
        self._sums = np.zeros((*shape, trend.components.shape[1]), np.float32)
        self._unknown = np.zeros(shape, np.float32)

    def put(self, tile: Tile, components: Float32Array, unknown: Float32Array | None) -> None:
        down, across = (taper(span, count, self._ratio) for span, count in zip(tile.core, self._pair.low_shape[:2], strict=True))
        weights = down[:, None] * across
        columns = slice(tile.core[1][0] * self._ratio, tile.core[1][1] * self._ratio)
        self._sums[:, columns] += components * weights[..., None]
        if unknown is not None:
            squared = unknown @ self._shares + np.float32(self._trend.rest)
            self._unknown[:, columns] += np.sqrt(squared) * weights

    def pass_on(self, following: _Strip) -> None:
        """Add the rows that both strips sharpen to the following one."""
        for own, other in ((self._sums, following._sums), (self._unknown, following._unknown)):
            overlap = slice(self._bottom - self._top, len(own))
            other[: len(own[overlap])] += own[overlap]

    def write(self, out: Output, uncertainty: Output | None, covered: Covered | None) -> None:
        trend = self._trend
        width = self._pair.high_shape[1]
        _, complete = self._pair.spectra(self._rows, (0, self._pair.low_shape[1]))
        matrix, bands = np.concatenate([trend.components.T, trend.weights]), trend.components.shape[0]
        step = max(1, _ROWS_BYTES // (4 * width * bands))
        for top in range(self._top, self._bottom, step):
            rows = slice(top, min(self._bottom, top + step))
            inside = slice(rows.start - self._top, rows.stop - self._top)
            pixels, valid = self._pair.pixels((rows.start, rows.stop), (0, width))
            known = valid & _enlarged(complete, self._pair.psf.ratio)[inside]
            inputs = np.concatenate([self._sums[inside], pixels, np.ones((*known.shape, 1), np.float32)], 2)
            spectra = inputs.reshape(-1, len(matrix)) @ matrix
            np.maximum(spectra, trend.floor, out=spectra)
            spectra = spectra.reshape(*known.shape, bands)
            spectra[~known] = np.nan
            out[rows, :, :] = spectra
            if uncertainty is not None:
                unknown = self._unknown[inside]
                if covered is not None:
                    unknown = np.where(covered.mask[rows], np.sqrt(np.square(unknown) + self._lost(covered)), unknown)
                uncertainty[rows, :, :] = np.where(known, unknown, np.nan)[..., None]

    def _lost(self, covered: Covered) -> np.float32:
        """Return the variance, averaged over the bands, of the detail that interpolation loses."""
        slopes = self._trend.weights[:-1].astype(np.float64)
        return np.float32((slopes * (covered.details @ slopes)).sum() / slopes.shape[1])


def _enlarged(known: Mask, ratio: int) -> Mask:
    return known.repeat(ratio, 0).repeat(ratio, 1)
