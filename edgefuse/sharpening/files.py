"""Sharpens cube files with image files, keeps their metadata, and measures the quality of the result."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import CubeError, SettingsError
from edgefuse.hyperspectral.cube import CubeInfo, peak_of
from edgefuse.hyperspectral.formats import create_cube, open_cube
from edgefuse.hyperspectral.formats.base import CubeSink, CubeSource
from edgefuse.hyperspectral.part import ALL, Choice
from edgefuse.metrics.sharpening import SharpeningScore
from edgefuse.metrics.windows import WindowScore
from edgefuse.sharpening import check
from edgefuse.sharpening.base import SIDE, SIDES, Beat, Options, Scene, sharpener
from edgefuse.sharpening.inputs import Inputs, read_mask, ready
from edgefuse.sharpening.pair import Pair
from edgefuse.sharpening.trend import blocks

_logger = logging.getLogger(__name__)

Tell = Callable[[Scene], None]  # called once with the prepared scene
_ROWS_BYTES = 8_000_000  # of samples compared at a time


@dataclass(frozen=True, slots=True)
class Files:
    """Paths. cube, image: inputs. out, uncertainty: outputs. truth: a reference cube to compare `out` with. mask: one band on the image's
    grid, not 0 where the image is not used."""

    cube: Path
    image: Path
    out: Path
    uncertainty: Path | None = None
    truth: Path | None = None
    mask: Path | None = None


class _Typed:
    """Writes windows of spectra in a file's dtype: rounded, clipped, NaN as its no-data value. unsaid: missing pixels written as 0."""

    def __init__(self, sink: CubeSink) -> None:
        self._sink, self._dtype = sink, sink.info.dtype
        nodata = sink.info.nodata
        self._missing = nodata if nodata is not None else math.nan if self._dtype.kind == "f" else None
        self.unsaid = 0

    def __setitem__(self, key: Any, samples: NDArray[np.float32]) -> None:
        if samples.dtype == self._dtype and self._missing is not None and math.isnan(self._missing):
            self._sink[key] = samples
            return
        missing = np.isnan(samples)
        if self._dtype.kind != "f":
            limits = np.iinfo(self._dtype)
            samples = np.rint(np.clip(np.where(missing, 0, samples), limits.min, limits.max))
        typed = samples.astype(self._dtype)
        typed[missing] = self._missing or 0
        if self._missing is None:
            self.unsaid += int(missing.any(2).sum())
        self._sink[key] = typed


def sharpen_file(
    files: Files, name: str = "sharpen-edge", fwhm: float | None = 1.0, register: bool = True, tile: int | None = None, threads: int = 0,
    coarse: bool = False, report: bool = False, choices: tuple[Choice, Choice] = (ALL, ALL), tell: Tell | None = None,
    beat: Beat | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Write `files.out` and return the report. tile: side in the image's pixels. report: also measure consistency with the cube.
    choices: what of the cube's and of the image's file is meant.

    Raises CubeError (inputs), OutputError (outputs), SettingsError, MissingDependencyError.
    """
    kind = sharpener(name)
    with ExitStack() as stack:
        cube, image = (stack.enter_context(c.opened(path)) for c, path in zip(choices, (files.cube, files.image), strict=True))
        cube, image = choices[0].of(cube), choices[1].of(stack.enter_context(check.with_mask(image)))
        inputs = ready(cube, image)
        mask = read_mask(stack.enter_context(open_cube(files.mask)), image.shape) if files.mask else None
        truth = stack.enter_context(open_cube(files.truth)) if files.truth else None
        shape = inputs.info.shape
        if truth is not None and truth.shape != shape:
            raise CubeError(f"{files.truth} is {truth.shape}, the sharpened cube {shape}; give the truth on the image's grid")
        ratio = inputs.image.shape[0] // inputs.cube.shape[0] or 1
        options = Options(fwhm, register, _side(tile, ratio), coarse, threads=threads)
        scene = inputs.prepared(kind, options, mask)
        if tell is not None:
            tell(scene)
        prepared_s, info = scene.prepared_s, inputs.info_of(scene)
        with ExitStack() as writing:
            sink = writing.enter_context(create_cube(files.out, info))
            uncertainty = None
            if files.uncertainty is not None:
                uncertainty = writing.enter_context(create_cube(files.uncertainty, _map(info)))
            typed = _Typed(sink)
            elapsed = _timed(lambda: scene.sharpen(inputs.output(typed), uncertainty, beat))
        if typed.unsaid:
            _logger.warning(
                "%s: %d pixels are missing in the cube or the image and are written as 0; declare a no-data value in the header of %s",
                files.out, typed.unsaid, files.cube,
            )  # fmt: skip
        result = _figures(files, (cube.shape, image.shape, info.shape), scene, prepared_s + elapsed)
        if report or truth is not None:
            result |= _quality(files.out, scene, inputs, truth)
        return result


def _timed(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _side(tile: int | None, ratio: int) -> int:
    if tile is None:
        return SIDE
    side = tile // ratio
    if tile % ratio or not SIDES[0] <= side <= SIDES[1]:
        raise SettingsError(
            f"--tile {tile}: expected {SIDES[0]} to {SIDES[1]} of the cube's pixels: a multiple of {ratio} from {SIDES[0] * ratio} to "
            f"{SIDES[1] * ratio}"
        )
    return side


def _map(info: CubeInfo) -> CubeInfo:
    return CubeInfo((*info.shape[:2], 1), np.dtype(np.float32), nodata=math.nan, georeference=info.georeference)


def _figures(files: Files, shapes: tuple[tuple[int, ...], ...], scene: Scene, elapsed: float) -> dict[str, Any]:
    psf, motion, pixels = scene.pair.psf, scene.pair.motion, shapes[2][0] * shapes[2][1]
    return {
        "cube": str(files.cube), "image": str(files.image), "out": str(files.out),
        "shapes": {name: list(shape) for name, shape in zip(("cube", "image", "out"), shapes, strict=True)},
        "ratio": psf.ratio, "psf_fwhm": psf.fwhm, "shift_pixels": [round(by, 3) for by in scene.pair.shift],
        "rotation_degrees": round(math.degrees(motion.turn), 3) if motion else 0.0,
        "scale_percent": round(100 * motion.growth, 3) if motion else 0.0,
        "explained_by_image": scene.trend.explained, "tiles": scene.count, "tile_predicted_s": scene.tile_s,
        "elapsed_s": round(elapsed, 3), "s_per_megapixel": round(elapsed / pixels * 1e6, 3),
    }  # fmt: skip


def _quality(out: Path, scene: Scene, inputs: Inputs, truth: CubeSource | None) -> dict[str, Any]:
    """Compare `out`, read back: degraded by the point spread function with the cube (consistency), and with the truth."""
    peak, ratio = peak_of(inputs.info.dtype), scene.pair.psf.ratio
    with open_cube(out) as sharpened:
        degraded = Pair(scene.pair.cube, inputs.of_result(sharpened), scene.pair.psf, inputs.cube_info.nodata, sharpened.info.nodata)
        score = SharpeningScore(inputs.cube.shape[2], peak, ratio)
        for rows, columns in blocks(degraded):
            low = degraded.low(rows, columns)
            score.add(low.spectra[low.known], low.image[low.known])
        quality: dict[str, Any] = {"consistency": score.result().as_json()}
        if truth is not None:
            nodata = truth.info.nodata
            height, width, _ = sharpened.shape
            bands, known, result = inputs.cube.shape[2], inputs.of_result(truth), inputs.of_result(sharpened)
            score, windows = SharpeningScore(bands, peak, ratio, nodata), WindowScore(bands, peak, nodata)
            step = max(1, _ROWS_BYTES // (4 * width * bands))
            for top in range(0, height, step):
                rows_ = slice(top, min(height, top + step))
                samples = known[rows_], _with_nan(result[rows_], sharpened.info.nodata)
                score.add(*samples)
                windows.add(*samples)
            quality["truth"] = score.result().as_json() | windows.result().as_json()
        return quality


def _with_nan(samples: NDArray[Any], nodata: float | None) -> NDArray[Any]:
    return samples if nodata is None else np.where(samples == nodata, np.nan, samples)
