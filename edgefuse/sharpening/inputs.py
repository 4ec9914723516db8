"""What is sharpened: the bands of a cube and an image that have data, and what the result's metadata are."""

from __future__ import annotations

from dataclasses import dataclass

from edgefuse.hyperspectral.cube import CubeInfo, can_hold
from edgefuse.hyperspectral.formats.base import CubeSource
from edgefuse.sharpening import bands, check
from edgefuse.sharpening.base import Options, Output, Scene, Sharpener
from edgefuse.sharpening.pair import Mask, Samples


@dataclass(frozen=True)
class Inputs:
    """A cube and an image to sharpen, both with all their bands known somewhere.

    cube_info, image_info: their metadata. names: their names in messages. kept: (B,), which of the original cube's bands `cube` has.
    info: metadata of the result, with all bands of the original cube.
    """

    cube: Samples
    image: Samples
    cube_info: CubeInfo
    image_info: CubeInfo
    names: tuple[str, str]
    kept: Mask
    info: CubeInfo

    def prepared(self, method: Sharpener, options: Options) -> Scene:
        """Return the scene, registered and fitted. Raises CubeError where the two do not match."""
        scene = method.prepare(self.cube, self.image, options, self.cube_info.nodata, self.image_info.nodata)
        check.check_order(scene.trend.correlations, self.cube_info, self.image_info, self.names[1])
        for samples, info, name in zip((self.cube, self.image), (self.cube_info, self.image_info), self.names, strict=True):
            check.warn_blank(samples, info, name)
        return scene

    def output(self, out: Output) -> Output:
        """Return a destination for the bands of `cube` that writes all bands of the result to `out`."""
        return out if self.kept.all() else bands.Scattered(out, self.kept)

    def of_result(self, result: Samples) -> Samples:
        """Return the bands of the result that `cube` has."""
        return result if self.kept.all() else bands.Chosen(result, self.kept)


def ready(cube: CubeSource, image: CubeSource) -> Inputs:
    """Return the inputs for a cube and an image of the same ground. Raises CubeError where their metadata do not match."""
    names = str(cube.path), str(image.path)
    check.check_infos(cube.info, image.info, names)
    kept, image_kept = bands.with_data(cube), bands.with_data(image)
    samples = [source if which.all() else bands.Chosen(source, which) for source, which in ((cube, kept), (image, image_kept))]
    infos = [source.info if which.all() else bands.chosen(source.info, which) for source, which in ((cube, kept), (image, image_kept))]
    return Inputs(samples[0], samples[1], infos[0], infos[1], names, kept, _sharpened(cube.info, image.info))


def _sharpened(cube: CubeInfo, image: CubeInfo) -> CubeInfo:
    """Return the sharpened cube's metadata: the cube's bands on the image's grid, the image's no-data value if the cube has none."""
    shape = image.shape[0], image.shape[1], cube.shape[2]
    nodata = cube.nodata if cube.nodata is not None or not can_hold(cube.dtype, image.nodata) else image.nodata
    return cube.like(shape=shape, georeference=check.georeference(cube, image), nodata=nodata)
