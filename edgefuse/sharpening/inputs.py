"""Inputs of a sharpening: the bands of cube and image that have data, and the metadata of the result."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import CubeError
from edgefuse.hyperspectral.cube import CubeInfo, Georeference, can_hold
from edgefuse.hyperspectral.formats.base import CubeSource
from edgefuse.sharpening import bands, check, grids
from edgefuse.sharpening.base import Options, Output, Scene, Sharpener
from edgefuse.sharpening.grids import Common
from edgefuse.sharpening.motion import turned
from edgefuse.sharpening.pair import Mask, Samples, Span, is_known
from edgefuse.sharpening.resampled_image import Resampled, nearest


@dataclass(frozen=True)
class Inputs:
    """A cube and an image to sharpen, both with all their bands known somewhere.

    cube_info, image_info: their metadata. names: their names in messages. kept: (B,), which of the original cube's bands `cube` has.
    info: metadata of the result, with all bands of the original cube. common: which parts of the originals they are; None: all.
    """

    cube: Samples
    image: Samples
    cube_info: CubeInfo
    image_info: CubeInfo
    names: tuple[str, str]
    kept: Mask
    info: CubeInfo
    common: Common | None = None

    def prepared(self, method: Sharpener, options: Options, mask: Mask | None = None) -> Scene:
        """Return the scene, registered and fitted. mask: (H, W) of the original image, pixels that are not used. Raises CubeError where the
        two do not match."""
        if mask is not None:
            options = replace(options, mask=self._on_grid(mask))
        if self.common is not None:
            options = replace(options, offset=(self.common.dy, self.common.dx))
        scene = method.prepare(self.cube, self.image, options, self.cube_info.nodata, self.image_info.nodata)
        if self.common is not None:
            check.warn_contradiction(scene.pair, (self.common.dy, self.common.dx), self.names)
        check.check_order(scene.trend.correlations, self.cube_info, self.image_info, self.names[1])
        for samples, info, name in zip((self.cube, self.image), (self.cube_info, self.image_info), self.names, strict=True):
            check.warn_blank(samples, info, name)
        return scene

    def info_of(self, scene: Scene) -> CubeInfo:
        """Return the metadata of the scene's result: a turned image is resampled to the cube's grid, so its georeference moves."""
        motion, place = scene.pair.motion, self.info.georeference
        of_image = self.image_info.georeference is not None and (self.common is None or self.common.window is not None)
        if motion is None or motion.rigid or place is None or not of_image:
            return self.info
        transform = turned(place.transform, motion, scene.pair.psf.ratio)
        return self.info.like(georeference=Georeference(transform, place.crs))

    def _on_grid(self, mask: Mask) -> Mask:
        """Return a mask of the original image's pixels on the grid of `image`."""
        if self.common is None:
            return mask
        if self.common.window is None:
            return nearest(mask, self.common.mapping, self.image.shape, self.common.ratio)
        return mask[tuple(slice(*span) for span in self.common.window)]

    def output(self, out: Output) -> Output:
        """Return a destination for the bands of `cube` that writes all bands of the result to `out`."""
        return out if self.kept.all() else bands.Scattered(out, self.kept)

    def of_result(self, result: Samples) -> Samples:
        """Return the bands of the result that `cube` has."""
        return result if self.kept.all() else bands.Chosen(result, self.kept)


def ready(cube: CubeSource, image: CubeSource) -> Inputs:
    """Return the inputs for a cube and an image: their common part, by their georeferences. Raises CubeError where they do not match."""
    names = str(cube.path), str(image.path)
    check.check_infos(cube.info, image.info, names)
    kept, image_kept = bands.with_data(cube), bands.with_data(image)
    samples: list[Samples] = [
        source if which.all() else bands.Chosen(source, which) for source, which in ((cube, kept), (image, image_kept))
    ]
    infos = [source.info if which.all() else bands.chosen(source.info, which) for source, which in ((cube, kept), (image, image_kept))]
    common = grids.common(cube.info, image.info, names)
    if common is None or common.whole(cube.info, image.info):
        return Inputs(samples[0], samples[1], infos[0], infos[1], names, kept, _sharpened(cube.info, image.info))
    low, low_info = _part(samples[0], infos[0], (common.rows, common.columns))
    high, high_info = _image(samples[1], infos[1], common, low.shape)
    result = _sharpened(cube.info.like(shape=(*low.shape[:2], cube.shape[2])), high_info)
    return Inputs(low, high, low_info, high_info, names, kept, result, common)


def read_mask(source: CubeSource, image: tuple[int, int, int]) -> Mask:
    """Read a mask (H, W): where the only band is neither 0 nor missing. Raises CubeError where it is not on the image's grid."""
    if source.shape != (*image[:2], 1):
        raise CubeError(f"{source.path} is {source.shape}; give a mask of one band on the image's grid, {(*image[:2], 1)}")
    samples = source[:][..., 0]
    return np.asarray((samples != 0) & is_known(samples[..., None], source.info.nodata))


def _part(samples: Samples, info: CubeInfo, window: tuple[Span, Span]) -> tuple[Samples, CubeInfo]:
    part = Part(samples, window)
    return part, info.like(shape=part.shape, georeference=None)


def _image(samples: Samples, info: CubeInfo, common: Common, low: tuple[int, ...]) -> tuple[Samples, CubeInfo]:
    """Return the image on the grid that nests the cube's, and its metadata."""
    if common.window is not None:
        part, info = _part(samples, info, common.window)
        return part, info.like(georeference=common.georeference)
    resampled = Resampled(samples, info.nodata, common.mapping, (low[0], low[1]), common.ratio)
    return resampled, info.like(shape=resampled.shape, dtype=np.dtype(np.float32), nodata=math.nan, georeference=common.georeference)


class Part:
    """A window of a cube, read as if it were all."""

    def __init__(self, samples: Samples, window: tuple[Span, Span]) -> None:
        self._samples, self._window = samples, window
        self.shape = (window[0][1] - window[0][0], window[1][1] - window[1][0], samples.shape[2])

    def __getitem__(self, key: Any) -> NDArray[Any]:
        keys = key if isinstance(key, tuple) else (key,)
        at = []
        for item, (first, end) in zip((*keys, *(slice(None),) * (2 - len(keys))), self._window, strict=True):
            if isinstance(item, slice):
                start, stop, _ = item.indices(end - first)
                at.append(slice(first + start, first + max(start, stop)))
            else:
                at.append(slice(first + item, first + item + 1))
        part = self._samples[at[0], at[1]]
        return part if isinstance(keys[0], slice) else part[0]


def _sharpened(cube: CubeInfo, image: CubeInfo) -> CubeInfo:
    """Return the sharpened cube's metadata: the cube's bands on the image's grid, the image's no-data value if the cube has none."""
    shape = image.shape[0], image.shape[1], cube.shape[2]
    nodata = cube.nodata if cube.nodata is not None or not can_hold(cube.dtype, image.nodata) else image.nodata
    return cube.like(shape=shape, georeference=check.georeference(cube, image), nodata=nodata)
