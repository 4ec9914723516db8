"""`edgefuse.sharpen`: a hyperspectral cube as sharp as a multispectral image of the same scene, from arrays or files."""

from __future__ import annotations

import os
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import CubeError, SettingsError
from edgefuse.hyperspectral.array import AnyCube, AnyPath, check_numbers, opened, path_of
from edgefuse.sharpening import check
from edgefuse.sharpening.base import Options, sharpener
from edgefuse.sharpening.files import Files, sharpen_file

_PSF = 0.1, 5.0  # of the cube's pixels


@overload
def sharpen(
    cube: AnyCube, image: AnyCube, out: None = None, *, model: str = "sharpen-edge", psf: float | None = 1.0, register: bool = True,
    coarse: bool = False, threads: int = 0, nodata: float | None = None, image_nodata: float | None = None,
) -> NDArray[np.float32]: ...  # fmt: skip


@overload
def sharpen(
    cube: AnyPath, image: AnyPath, out: AnyPath, *, model: str = "sharpen-edge", psf: float | None = 1.0, register: bool = True,
    coarse: bool = False, threads: int = 0,
) -> dict[str, Any]: ...  # fmt: skip


def sharpen(
    cube: AnyCube, image: AnyCube, out: AnyPath | None = None, *, model: str = "sharpen-edge", psf: float | None = 1.0,
    register: bool = True, coarse: bool = False, threads: int = 0, nodata: float | None = None, image_nodata: float | None = None,
) -> NDArray[np.float32] | dict[str, Any]:  # fmt: skip
    """Sharpen a low-resolution hyperspectral cube by a high-resolution multispectral image of the same scene.

    Args:
        cube: (h, w, B), in any units: an array, the path of a cube file, or an open cube.
        image: (r h, r w, b) for a whole number r of 2 or more: likewise.
        out: the cube file to write, of the cube's type; `cube` and `image` are paths then. Without it an array is returned.
        model: `sharpen-edge`, or `csakd-student`, a network for r = 4.
        psf: width at half maximum that a pixel of the cube sees, 0.1 to 5 of the cube's pixels; None estimates it.
        register: look for a shift of up to 2 of the image's pixels between the two.
        coarse: a little worse, in a fraction of the time.
        threads: tiles done at a time; 0: as many as there are cores.
        nodata: of an array, the value of the cube's missing samples; NaN and infinities are missing anyway.
        image_nodata: the same of the image.

    Returns:
        float32 (r h, r w, B) in the cube's units, NaN where the cube or the image is missing; with `out` a report, as
        `edgefuse sharpen --json` prints it.

    Raises:
        CubeError: the two do not belong together, or can't be sharpened.
        SettingsError: an option is out of its range.
        MissingDependencyError: a format, a model or several threads need a package; the message has the pip command.
        OutputError: `out` can't be written.
    """
    check_numbers(psf=psf, threads=threads)
    if psf is not None and not _PSF[0] <= psf <= _PSF[1]:
        raise SettingsError(f"psf {psf:g} is not between {_PSF[0]:g} and {_PSF[1]:g} of the cube's pixels")
    if not 0 <= threads <= 256:
        raise SettingsError(f"threads {threads} is not between 1 and 256, or 0 for as many as there are cores")
    if out is not None:
        return sharpen_file(_files(cube, image, out), model, psf, register, threads=threads, coarse=coarse)
    method = sharpener(model)
    with opened(cube, "cube", nodata) as low, opened(image, "image", image_nodata) as high:
        check.check_infos(low.info, high.info, (str(low.path), str(high.path)))
        options = Options(psf, register, coarse=coarse, threads=threads)
        scene = method.prepare(low, high, options, low.info.nodata, high.info.nodata)
        check.check_order(scene.trend.correlations, low.info, high.info, str(high.path))
        for source in (low, high):
            check.warn_blank(source)
        made = np.empty((*high.shape[:2], low.shape[2]), np.float32)
        scene.sharpen(made)
        return made


def _files(cube: AnyCube, image: AnyCube, out: AnyPath) -> Files:
    """Raises CubeError where one is no path, SettingsError where `out` is one of the others."""
    paths = []
    for name, given in (("cube", cube), ("image", image), ("out", out)):
        if not isinstance(given, (str, os.PathLike)):
            raise CubeError(f"{name} is {type(given).__name__}; with out=, give the paths of files")
        paths.append(path_of(given))
    if os.path.realpath(paths[2]) in map(os.path.realpath, paths[:2]):
        raise SettingsError(f"{paths[2]} is read; choose another name for out")
    return Files(*paths)
