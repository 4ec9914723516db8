"""`csakd-student`: CSAKD's student network (Hsu et al., 2024), tile by tile. The closed form in `sharpen.py` is better and much faster.

The network's inputs are the cube, upsampled by cubic interpolation and resampled to 172 bands, and the image as 6 wide bands, each of
which covers a part of the cube's spectral axis. Its residual is resampled to the cube's bands and added to the upsampled cube. Its
receptive field reaches 8 pixels, so tiles that overlap by 8 give the same result as the whole scene, without seams.
"""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass, replace

import cv2
import numpy as np

from edgefuse import runtimes, zoo
from edgefuse.errors import CubeError, MissingDependencyError, SettingsError
from edgefuse.hyperspectral.cube import peak_of
from edgefuse.hyperspectral.spectral_axis import resampled
from edgefuse.sharpening import cubic
from edgefuse.sharpening.base import Beat, Options, Output, Sharpener
from edgefuse.sharpening.kriging import Tile, tiles
from edgefuse.sharpening.matching import register_and_fit
from edgefuse.sharpening.pair import Mask, Pair, Samples, Span, grown
from edgefuse.sharpening.trend import Trend, blocks
from edgefuse.util.arrays import Float32Array

Window = tuple[Span, Span]  # rows, columns

NAME = "csakd-student"
RATIO = 4
REACH = 8  # radius of the network's receptive field, in the image's pixels
# wide bands as shares of the spectral axis: blue, green, red, near infrared, two short-wave
RANGES = (0.02, 0.08), (0.08, 0.14), (0.14, 0.20), (0.24, 0.34), (0.55, 0.62), (0.80, 0.92)
_FEWEST = 4  # bands of the image: the two short-wave ones may be missing
_MOST = 4.0  # largest ratio of a sharpened sample to the upsampled one
_DARKEST = 0.02  # smallest maximum of a scaled cube: the network was not trained on darker ones


def response(bands: int) -> Float32Array:
    """Return (6, bands): the weights of a cube's bands in each wide band."""
    weights = np.zeros((len(RANGES), bands), np.float32)
    for row, (low, high) in zip(weights, RANGES, strict=True):
        inside = slice(int(low * bands), max(int(low * bands) + 1, int(high * bands)))
        row[inside] = 1 / (inside.stop - inside.start)
    return weights


def network_inputs(start: Float32Array, image: Float32Array, bands: int) -> tuple[Float32Array, Float32Array]:
    """Convert the upsampled cube (h, w, B) and 4 or 6 wide bands (h, w, b) to the network's inputs (bands, h, w) and (6, h, w), in [0, 1].
    Wide bands that the image lacks are computed from the cube and add no information."""
    cube = np.clip(resampled(start, bands), 0, 1)
    missing = cube @ response(bands)[image.shape[2] :].T
    wide = np.clip(np.concatenate([image, missing], 2), 0, 1)
    return np.ascontiguousarray(cube.transpose(2, 0, 1)), np.ascontiguousarray(wide.transpose(2, 0, 1))


def bounded(detail: Float32Array, start: Float32Array) -> Float32Array:
    """Limit the residual so that no sample becomes negative or grows more than `_MOST` times: bands without signal (water absorption)
    stay dark."""
    signal = np.maximum(start, 0)
    return np.clip(detail, -signal, (_MOST - 1) * signal)


class _Student:
    """The network on any installed runtime that it has a file for."""

    def __init__(self, threads: int) -> None:
        self._card = zoo.find(NAME)
        installed = runtimes.present()
        if all(installed.get(f.runtime, "missing").startswith("missing") for f in self._card.files):
            raise MissingDependencyError("onnxruntime", NAME, "onnxruntime")
        self._choice = runtimes.choose(self._card, threads=threads or None)

    @property
    def bands(self) -> int:
        return int(self._card.inputs[0].shape[1])

    def detail(self, start: Float32Array, image: Float32Array) -> Float32Array:
        """Return the residual (h, w, B) to add to the upsampled cube `start`. Inputs as for `network_inputs`, in reflectance."""
        cube, wide = network_inputs(start, image, self.bands)
        choice = self._choice
        tensors = {"cube": cube, "image": wide}
        outputs = choice.runtime.run({name: np.ascontiguousarray(choice.tensor(planes)) for name, planes in tensors.items()})
        return bounded(resampled((choice.planes(outputs["sharp"]) - cube).transpose(1, 2, 0), start.shape[2]), start)

    def close(self) -> None:
        self._choice.runtime.close()


@dataclass(frozen=True)
class Prepared:
    """A registered and fitted pair, ready to sharpen. peak: divisor of the samples. wide (b, 4 or 6), offset (4 or 6,): linear map from the
    image's bands to wide ones in the cube's units. tile_s: seconds per tile, measured on one."""

    pair: Pair
    trend: Trend
    peak: float
    wide: Float32Array
    offset: Float32Array
    side: int
    threads: int
    count: int
    tile_s: float
    prepared_s: float

    def sharpen(self, out: Output, uncertainty: Output | None = None, beat: Beat | None = None) -> None:
        sharpen(self, out, uncertainty, beat)


class CsakdStudent(Sharpener):
    def prepare(
        self, cube: Samples, image: Samples, options: Options, cube_nodata: float | None = None, image_nodata: float | None = None
    ) -> Prepared:
        return prepare(cube, image, options, cube_nodata, image_nodata)


def prepare(
    cube: Samples, image: Samples, options: Options | None = None, cube_nodata: float | None = None, image_nodata: float | None = None
) -> Prepared:
    """As `sharpen.prepare`, without a kernel. Raises CubeError where the network does not fit the pair, MissingDependencyError."""
    began = time.perf_counter()
    options = options or Options()
    if options.coarse:
        raise SettingsError(f"--coarse is an option of sharpen-edge; leave it out, {NAME} always works at full resolution")
    few, bands = image.shape[2], cube.shape[2]
    pair, trend = register_and_fit(cube, image, options, cube_nodata, image_nodata)
    if pair.psf.ratio != RATIO:
        raise CubeError(f"{NAME} sharpens by a factor of {RATIO}, here the ratio is {pair.psf.ratio}; use --model sharpen-edge")
    if few < _FEWEST:
        raise CubeError(f"{NAME} needs an image of {_FEWEST} bands or more, this one has {few}; use --model sharpen-edge")
    responses = response(bands)[: len(RANGES) if few >= len(RANGES) else _FEWEST].T
    wide, offset = trend.weights[:-1] @ responses, trend.weights[-1] @ responses
    all_tiles = list(tiles(cube.shape, options.side, shared=0))
    scene = Prepared(pair, trend, _peak(pair), wide, offset, options.side, options.threads, len(all_tiles), 0.0, 0.0)
    with closing(_Student(options.threads)) as student:
        started = time.perf_counter()
        _sharpened(scene, student, all_tiles[len(all_tiles) // 2])
    now = time.perf_counter()
    return replace(scene, tile_s=now - started, prepared_s=now - began)


def _peak(pair: Pair) -> float:
    """Return the sample value that maps to 1: from the dtype, or 10000 for floats above 2, which are scaled reflectances."""
    middle = pair.low_shape[0] // 2, pair.low_shape[1] // 2
    dtype = pair.cube[tuple(slice(at, at + 1) for at in middle)].dtype
    largest = max(float(pair.spectra(*window)[0].max(initial=0)) for window in blocks(pair))
    peak = 10000.0 if dtype.kind == "f" and largest > 2 else peak_of(dtype)
    if largest < _DARKEST * peak:
        raise CubeError(
            f"the cube's largest sample is {largest:g}; {NAME} was trained on reflectances, from 0 to 1 or times 10000: scale the "
            "cube, or use --model sharpen-edge, which works in any units"
        )
    return peak


def sharpen(scene: Prepared, out: Output, uncertainty: Output | None = None, beat: Beat | None = None) -> None:
    """Write the high-resolution cube (4 h, 4 w, B) into `out`; NaN where the image's pixel or the cube's is missing. Raises SettingsError
    for `uncertainty`, which the network does not estimate."""
    if uncertainty is not None:
        raise SettingsError(f"{NAME} does not estimate uncertainty; leave out --uncertainty, or use --model sharpen-edge")
    with closing(_Student(scene.threads)) as student:
        for done, tile in enumerate(tiles(scene.pair.low_shape, scene.side, shared=0), 1):
            rows, columns = _high(tile.core)
            out[slice(*rows), slice(*columns), :] = _sharpened(scene, student, tile)
            if beat is not None:
                beat(done, scene.count)


def _sharpened(scene: Prepared, student: _Student, tile: Tile) -> Float32Array:
    """Return the tile's core sharpened, (rows, columns, B)."""
    pair, core = scene.pair, _high(tile.core)
    (height, width, _), (h, w, _) = pair.high_shape, pair.low_shape
    window = grown(core[0], REACH, height), grown(core[1], REACH, width)
    # missing pixels are filled from their nearest known ones, so read a margin for these
    outer = grown(window[0], REACH, height), grown(window[1], REACH, width)
    reach = 2 * REACH // RATIO + cubic.REACH
    low = grown(tile.core[0], reach, h), grown(tile.core[1], reach, w)
    spectra, known = pair.spectra(*low)
    pixels, valid = pair.pixels(*outer)
    usable = valid[_within(core, outer)] & known[_within(tile.core, low)].repeat(RATIO, 0).repeat(RATIO, 1)
    if not usable.any():
        return np.full((*usable.shape, spectra.shape[2]), np.nan, np.float32)
    start = cubic.enlarged(_filled(spectra, known), low, window, (h, w), pair.psf)
    wide = _filled(pixels, valid)[_within(window, outer)] @ scene.wide + scene.offset
    scale, inner = np.float32(1 / scene.peak), _within(core, window)
    sharpened = start[inner] + student.detail(start * scale, wide * scale)[inner] * np.float32(scene.peak)
    sharpened[~usable] = np.nan
    return sharpened


def _high(core: Window) -> Window:
    rows, columns = ((a * RATIO, b * RATIO) for a, b in core)
    return rows, columns


def _within(window: Window, outer: Window) -> tuple[slice, slice]:
    """Return the slices of `window` within `outer`, which contains it."""
    rows, columns = (slice(a - b, c - b) for (a, c), (b, _) in zip(window, outer, strict=True))
    return rows, columns


def _filled(samples: Float32Array, known: Mask) -> Float32Array:
    """Return (h, w, B) with each missing pixel replaced by its nearest known one; unchanged if none is known."""
    if known.all() or not known.any():
        return samples
    _, labels = cv2.distanceTransformWithLabels((~known).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    rows, columns = np.nonzero(known)
    order = np.zeros(labels.max() + 1, np.intp)
    order[labels[rows, columns]] = np.arange(len(rows))
    nearest = order[labels]
    return samples[rows[nearest], columns[nearest]]
