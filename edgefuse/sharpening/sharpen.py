"""The whole of it: register, fit, estimate the noise, then tile by tile in bounded memory."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import CubeError
from edgefuse.sharpening import kernel_network, noise
from edgefuse.sharpening.base import Beat, Options, Out, Sharpener
from edgefuse.sharpening.border import trimmed
from edgefuse.sharpening.kernel import Kernel
from edgefuse.sharpening.kriging import SHARED, Kriging, Tile, taper, tiles
from edgefuse.sharpening.pair import Mask, Pair, Samples, Span, ratio_of
from edgefuse.sharpening.psf import Psf
from edgefuse.sharpening.registration import amid, registered
from edgefuse.sharpening.same import check_same_scene
from edgefuse.sharpening.threads import side_by_side
from edgefuse.sharpening.trend import Trend, fitted
from edgefuse.util.arrays import Float32Array

_SAMPLED = 6  # tiles that the noise is estimated on
_LEAST = 6  # low-resolution pixels to a side
_TOO_LITTLE = 0.1  # of the cube's variance explained by the image
_FINE, _COARSE = 4, 2  # cells to a low-resolution pixel, to a side
_ROWS_BYTES = 8_000_000  # of spectra made at a time


@dataclass(frozen=True)
class Prepared:
    """A scene about which all is known but its high-resolution spectra. tile_s: about what a tile takes, measured on one. variances: (k,),
    of what is kriged, per pixel."""

    kriging: Kriging
    variances: NDArray[np.float64]
    side: int
    threads: int
    count: int
    tile_s: float
    prepared_s: float

    @property
    def pair(self) -> Pair:
        return self.kriging.pair

    @property
    def trend(self) -> Trend:
        return self.kriging.trend

    def sharpen(self, out: Out, uncertainty: Out | None = None, beat: Beat | None = None) -> None:
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
    """cube (h, w, B), image (h r, w r, b), in any units. Raises CubeError where they can't be sharpened."""
    with side_by_side(1):
        return _prepared(cube, image, options or Options(), kernel or kernel_network.kernel(image.shape[2]), cube_nodata, image_nodata)


def _prepared(
    cube: Samples, image: Samples, options: Options, kernel: Kernel, cube_nodata: float | None, image_nodata: float | None
) -> Prepared:
    began = time.perf_counter()
    pair, trend = related(cube, image, options, cube_nodata, image_nodata)
    kriging = Kriging(pair, trend, kernel, np.full(trend.components.shape[1], noise.LEVELS[0]), _COARSE if options.coarse else _FINE)
    every = list(tiles(cube.shape, options.side))
    levels, variances = noise.estimated(kriging, _spaced(every, _SAMPLED))
    kriging = replace(kriging, noise=levels)
    tried = time.perf_counter()
    tile = every[len(every) // 2]
    _components(kriging, tile, False)
    now = time.perf_counter()
    return Prepared(kriging, variances, options.side, options.threads, len(every), now - tried, now - began)


def related(
    cube: Samples, image: Samples, options: Options, cube_nodata: float | None = None, image_nodata: float | None = None
) -> tuple[Pair, Trend]:
    """The two, registered, and the one as a linear function of the other. Raises CubeError where they do not belong together."""
    if min(cube.shape[:2]) < _LEAST:
        raise CubeError(f"a cube of {cube.shape[0]} x {cube.shape[1]} pixels is too small; at least {_LEAST} x {_LEAST} are needed")
    ratio = ratio_of(cube.shape, image.shape)
    pair = Pair(cube, image, Psf(ratio, options.fwhm or 1.0), cube_nodata, image_nodata)
    middle = amid(pair)
    check_same_scene(middle)
    if options.register or options.fwhm is None:
        psf = registered(middle, options.fwhm is None)
        pair = replace(pair, psf=psf if options.register else replace(pair.psf, fwhm=psf.fwhm))
    pair = trimmed(pair)
    trend = fitted(pair, options.components)
    if trend.explained < _TOO_LITTLE:
        raise CubeError(
            f"the image explains {100 * trend.explained:.1f} % of the cube's variance, too little to sharpen it by; give an image "
            "whose bands show more of what the cube's do"
        )
    return pair, trend


def _spaced(every: list[Tile], count: int) -> list[Tile]:
    return [every[i] for i in np.unique(np.linspace(0, len(every) - 1, count + 2).astype(int))]


def sharpen(scene: Prepared, out: Out, uncertainty: Out | None = None, beat: Beat | None = None) -> None:
    """Write the high-resolution cube (h r, w r, B) into `out`, and into `uncertainty` (h r, w r, 1) the standard deviation of a sample's
    error, root mean square over the bands, in the cube's units. Missing where the image's pixel or the cube's is: NaN."""
    pair, kriging = scene.pair, scene.kriging
    every, done = list(tiles(pair.low_shape, scene.side)), 0
    with side_by_side(scene.threads) as count, ThreadPoolExecutor(count) as crew:

        def ended(
            strip: _Strip, row: list[Tile], made: list[Future[tuple[Float32Array, Float32Array | None]]], following: _Strip | None
        ) -> None:
            nonlocal done
            for tile, future in zip(row, made, strict=True):
                strip.put(tile, *future.result())
                done += 1
                if beat is not None:
                    beat(done, len(every))
            strip.write(out, uncertainty)
            if following is not None:
                strip.hand_on(following)

        begun: tuple[_Strip, list[Tile], list[Future[tuple[Float32Array, Float32Array | None]]]] | None = None
        for rows in sorted({tile.core[0] for tile in every}):
            row = [tile for tile in every if tile.core[0] == rows]
            held = replace(kriging, pair=_held(pair, kriging.reads(row[0].window[0], 0), kriging.kernel.features.margin))
            strip = _Strip(held.pair, rows, scene.trend, scene.variances)
            made = [crew.submit(_components, held, tile, uncertainty is not None) for tile in row]
            # a row of tiles is written while the next is looked at
            if begun is not None:
                ended(*begun, strip)
            begun = strip, row, made
        if begun is not None:
            ended(*begun, None)


def _components(kriging: Kriging, tile: Tile, uncertain: bool) -> tuple[Float32Array, Float32Array | None]:
    return kriging.carried(tile, kriging.seen(tile), uncertain)


class _Rows:
    """Rows of samples in memory, under the whole's indices."""

    def __init__(self, samples: Samples, rows: Span) -> None:
        self.shape, self._first = samples.shape, rows[0]
        self._held = samples[slice(*rows)]

    def __getitem__(self, key: Any) -> NDArray[Any]:
        rows, columns = key
        return self._held[rows.start - self._first : rows.stop - self._first, columns]


def _held(pair: Pair, rows: Span, margin: int) -> Pair:
    """The pair with what tiles of these low-resolution rows read in memory: sources are for one thread, and are read in long runs."""
    psf, height = pair.psf, pair.high_shape[0]
    top, weights = psf.rows(*rows, height)
    first, last = min(top, max(0, rows[0] * psf.ratio - margin)), max(top + weights.shape[1], min(height, rows[1] * psf.ratio + margin))
    return replace(pair, cube=_Rows(pair.cube, rows), image=_Rows(pair.image, (first, last)))


class _Strip:
    """The components of a row of tiles, until they are spectra and written."""

    def __init__(self, pair: Pair, rows: Span, trend: Trend, variances: NDArray[np.float64]) -> None:
        self._ratio = ratio = pair.psf.ratio
        self._pair, self._trend = pair, trend
        # of each component, mean over the bands
        self._shares = (variances * np.square(trend.components, dtype=np.float64).mean(0)).astype(np.float32)
        # the last of them are the next strip's, too, which ends them
        self._left = rows[0], rows[1] if rows[1] == pair.low_shape[0] else rows[1] - SHARED
        self._top, self._bottom = (row * ratio for row in self._left)
        shape = (rows[1] - rows[0]) * ratio, pair.high_shape[1]
        self._found = np.zeros((*shape, trend.components.shape[1]), np.float32)
        self._unknown = np.zeros(shape, np.float32)

    def put(self, tile: Tile, found: Float32Array, unknown: Float32Array | None) -> None:
        down, across = (taper(span, count, self._ratio) for span, count in zip(tile.core, self._pair.low_shape[:2], strict=True))
        weights = down[:, None] * across
        columns = slice(tile.core[1][0] * self._ratio, tile.core[1][1] * self._ratio)
        self._found[:, columns] += found * weights[..., None]
        if unknown is not None:
            squared = unknown @ self._shares + np.float32(self._trend.rest)
            self._unknown[:, columns] += np.sqrt(squared) * weights

    def hand_on(self, following: _Strip) -> None:
        """Add what both sharpen."""
        for mine, its in ((self._found, following._found), (self._unknown, following._unknown)):
            both = slice(self._bottom - self._top, len(mine))
            its[: len(mine[both])] += mine[both]

    def write(self, out: Out, uncertainty: Out | None) -> None:
        trend = self._trend
        width = self._pair.high_shape[1]
        _, whole = self._pair.spectra(self._left, (0, self._pair.low_shape[1]))
        across, bands = np.concatenate([trend.components.T, trend.weights]), trend.components.shape[0]
        step = max(1, _ROWS_BYTES // (4 * width * bands))
        for top in range(self._top, self._bottom, step):
            rows = slice(top, min(self._bottom, top + step))
            inside = slice(rows.start - self._top, rows.stop - self._top)
            pixels, there = self._pair.pixels((rows.start, rows.stop), (0, width))
            known = there & _enlarged(whole, self._pair.psf.ratio)[inside]
            left = np.concatenate([self._found[inside], pixels, np.ones((*known.shape, 1), np.float32)], 2)
            spectra = left.reshape(-1, len(across)) @ across
            np.maximum(spectra, trend.floor, out=spectra)
            spectra = spectra.reshape(*known.shape, bands)
            spectra[~known] = np.nan
            out[rows, :, :] = spectra
            if uncertainty is not None:
                uncertainty[rows, :, :] = np.where(known, self._unknown[inside], np.nan)[..., None]


def _enlarged(known: Mask, ratio: int) -> Mask:
    return known.repeat(ratio, 0).repeat(ratio, 1)
