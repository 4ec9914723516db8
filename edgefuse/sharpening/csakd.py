"""`csakd-student`: CSAKD's student network (Hsu et al., 2024), tile by tile. The closed form in `sharpen.py` is better and much faster.

The network sees the cube, enlarged by cubic interpolation and its spectral axis resampled to 172 bands, and the image as 6 wide bands,
each of which stands for a share of the cube's spectral axis. What it adds is resampled back and added to the cube's own bands, enlarged.
It looks 8 pixels around itself and at nothing else, so tiles that overlap by that make what the whole scene would: no seams.
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
from edgefuse.sharpening.base import Beat, Options, Out, Sharpener
from edgefuse.sharpening.kriging import Tile, tiles
from edgefuse.sharpening.pair import Mask, Pair, Samples, Span, grown
from edgefuse.sharpening.sharpen import related
from edgefuse.sharpening.trend import Trend, blocks
from edgefuse.util.arrays import Float32Array

Window = tuple[Span, Span]  # rows, columns

NAME = "csakd-student"
RATIO = 4
REACH = 8  # of the image's pixels that the network looks around itself
# shares of the spectral axis: blue, green, red, near infrared, two short-wave
RANGES = (0.02, 0.08), (0.08, 0.14), (0.14, 0.20), (0.24, 0.34), (0.55, 0.62), (0.80, 0.92)
_FEWEST = 4  # of the image's bands: the last two may be lacking
_MOST = 4.0
_DARKEST = 0.02  # of what the scaling makes 1: below it nothing was learned


def response(bands: int) -> Float32Array:
    """(6, bands): what each of the wide bands averages of a cube's."""
    made = np.zeros((len(RANGES), bands), np.float32)
    for row, (low, high) in zip(made, RANGES, strict=True):
        inside = slice(int(low * bands), max(int(low * bands) + 1, int(high * bands)))
        row[inside] = 1 / (inside.stop - inside.start)
    return made


def given(start: Float32Array, image: Float32Array, bands: int) -> tuple[Float32Array, Float32Array]:
    """The enlarged cube (h, w, B) and 4 or 6 wide bands (h, w, b) as the network takes them: (bands, h, w) and (6, h, w), in [0, 1]. Bands
    that the image lacks are what the cube shows of them: they tell nothing new."""
    cube = np.clip(resampled(start, bands), 0, 1)
    lacking = cube @ response(bands)[image.shape[2] :].T
    every = np.clip(np.concatenate([image, lacking], 2), 0, 1)
    return np.ascontiguousarray(cube.transpose(2, 0, 1)), np.ascontiguousarray(every.transpose(2, 0, 1))


def bounded(detail: Float32Array, start: Float32Array) -> Float32Array:
    """What is added, where it leaves no sample below zero and makes none more than `_MOST` times as large: bands in which nothing is seen,
    between others of the scene, or of the network's, stay so."""
    there = np.maximum(start, 0)
    return np.clip(detail, -there, (_MOST - 1) * there)


class _Student:
    """The network, with whatever runtime there is."""

    def __init__(self, threads: int) -> None:
        self._card = zoo.find(NAME)
        there = runtimes.present()
        if all(there.get(f.runtime, "missing").startswith("missing") for f in self._card.files):
            raise MissingDependencyError("onnxruntime", NAME, "onnxruntime")
        self._choice = runtimes.choose(self._card, threads=threads or None)

    @property
    def bands(self) -> int:
        return int(self._card.inputs[0].shape[1])

    def detail(self, start: Float32Array, image: Float32Array) -> Float32Array:
        """What is added to the enlarged cube, (h, w, B): both in units of reflectance, as `given` takes them."""
        cube, every = given(start, image, self.bands)
        choice = self._choice
        tensors = {"cube": cube, "image": every}
        made = choice.runtime.run({name: np.ascontiguousarray(choice.tensor(planes)) for name, planes in tensors.items()})
        return bounded(resampled((choice.planes(made["sharp"]) - cube).transpose(1, 2, 0), start.shape[2]), start)

    def close(self) -> None:
        self._choice.runtime.close()


@dataclass(frozen=True)
class Prepared:
    """A scene about which all is known but its high-resolution spectra. peak: what its samples are divided by. wide, offset: of the image's
    bands (b, 4 or 6), (4 or 6,), to wide ones in the cube's units. tile_s: about what a tile takes, measured on one."""

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

    def sharpen(self, out: Out, uncertainty: Out | None = None, beat: Beat | None = None) -> None:
        sharpen(self, out, uncertainty, beat)


class CsakdStudent(Sharpener):
    def prepare(
        self, cube: Samples, image: Samples, options: Options, cube_nodata: float | None = None, image_nodata: float | None = None
    ) -> Prepared:
        return prepare(cube, image, options, cube_nodata, image_nodata)


def prepare(
    cube: Samples, image: Samples, options: Options | None = None, cube_nodata: float | None = None, image_nodata: float | None = None
) -> Prepared:
    """As `sharpen.prepare`; there is no kernel. Raises CubeError where the network was not made for the two, MissingDependencyError."""
    began = time.perf_counter()
    options = options or Options()
    if options.coarse:
        raise SettingsError(f"--coarse is of sharpen-edge; leave it out, {NAME} always compares single pixels")
    few, bands = image.shape[2], cube.shape[2]
    pair, trend = related(cube, image, options, cube_nodata, image_nodata)
    if pair.psf.ratio != RATIO:
        raise CubeError(f"{NAME} sharpens {RATIO} times, the image has {pair.psf.ratio} pixels to the cube's; take --model sharpen-edge")
    if few < _FEWEST:
        raise CubeError(f"{NAME} takes images of {_FEWEST} bands or more, this one has {few}; take --model sharpen-edge")
    seen = response(bands)[: len(RANGES) if few >= len(RANGES) else _FEWEST].T
    wide, offset = trend.weights[:-1] @ seen, trend.weights[-1] @ seen
    every = list(tiles(cube.shape, options.side, shared=0))
    scene = Prepared(pair, trend, _peak(pair), wide, offset, options.side, options.threads, len(every), 0.0, 0.0)
    with closing(_Student(options.threads)) as student:
        tried = time.perf_counter()
        _sharpened(scene, student, every[len(every) // 2])
    now = time.perf_counter()
    return replace(scene, tile_s=now - tried, prepared_s=now - began)


def _peak(pair: Pair) -> float:
    """What is 1 to the network: fixed by the samples' type, counts of 10000 in floats told from reflectances by their size."""
    dtype = pair.cube[slice(0, 1), slice(0, 1)].dtype
    largest = max(float(pair.spectra(*window)[0].max(initial=0)) for window in blocks(pair))
    peak = 10000.0 if dtype.kind == "f" and largest > 2 else peak_of(dtype)
    if largest < _DARKEST * peak:
        raise CubeError(
            f"the cube's largest sample is {largest:g}; {NAME} was trained on reflectances, from 0 to 1 or counts of 10000: scale the "
            "cube, or take --model sharpen-edge, which asks for no units"
        )
    return peak


def sharpen(scene: Prepared, out: Out, uncertainty: Out | None = None, beat: Beat | None = None) -> None:
    """Write the high-resolution cube (4 h, 4 w, B) into `out`. Missing where the image's pixel or the cube's is: NaN. Raises SettingsError
    where its uncertainty is asked for: the network knows of none."""
    if uncertainty is not None:
        raise SettingsError(f"{NAME} can't say how uncertain it is; leave out --uncertainty, or take --model sharpen-edge")
    with closing(_Student(scene.threads)) as student:
        for done, tile in enumerate(tiles(scene.pair.low_shape, scene.side, shared=0), 1):
            rows, columns = _high(tile.core)
            out[slice(*rows), slice(*columns), :] = _sharpened(scene, student, tile)
            if beat is not None:
                beat(done, scene.count)


def _sharpened(scene: Prepared, student: _Student, tile: Tile) -> Float32Array:
    """(rows, columns, B) of the tile's core."""
    pair, core = scene.pair, _high(tile.core)
    (height, width, _), (h, w, _) = pair.high_shape, pair.low_shape
    window = grown(core[0], REACH, height), grown(core[1], REACH, width)
    # missing pixels are taken to be as their nearest known ones, which must be at hand
    outer = grown(window[0], REACH, height), grown(window[1], REACH, width)
    reach = 2 * REACH // RATIO + cubic.REACH
    low = grown(tile.core[0], reach, h), grown(tile.core[1], reach, w)
    spectra, known = pair.spectra(*low)
    pixels, there = pair.pixels(*outer)
    seen = there[_within(core, outer)] & known[_within(tile.core, low)].repeat(RATIO, 0).repeat(RATIO, 1)
    if not seen.any():
        return np.full((*seen.shape, spectra.shape[2]), np.nan, np.float32)
    start = cubic.enlarged(_filled(spectra, known), low, window, (h, w), pair.psf)
    wide = _filled(pixels, there)[_within(window, outer)] @ scene.wide + scene.offset
    scale, inner = np.float32(1 / scene.peak), _within(core, window)
    made = start[inner] + student.detail(start * scale, wide * scale)[inner] * np.float32(scene.peak)
    made[~seen] = np.nan
    return made


def _high(core: Window) -> Window:
    rows, columns = ((a * RATIO, b * RATIO) for a, b in core)
    return rows, columns


def _within(window: Window, outer: Window) -> tuple[slice, slice]:
    """A window's samples among those of one around it."""
    rows, columns = (slice(a - b, c - b) for (a, c), (b, _) in zip(window, outer, strict=True))
    return rows, columns


def _filled(samples: Float32Array, known: Mask) -> Float32Array:
    """(h, w, B), each missing pixel as its nearest known one; as they are where none is known."""
    if known.all() or not known.any():
        return samples
    _, labels = cv2.distanceTransformWithLabels((~known).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    rows, columns = np.nonzero(known)
    order = np.zeros(labels.max() + 1, np.intp)
    order[labels[rows, columns]] = np.arange(len(rows))
    nearest = order[labels]
    return samples[rows[nearest], columns[nearest]]
