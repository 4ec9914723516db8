"""`edgefuse.sharpen`: sharpens a hyperspectral cube with a multispectral image of the same scene, from arrays or files."""

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
from edgefuse.sharpening.inputs import read_mask, ready
from edgefuse.sharpening.pair import Mask

_PSF = 0.1, 5.0  # full width at half maximum, in the cube's pixels


@overload
def sharpen(
    cube: AnyCube, image: AnyCube, out: None = None, *, model: str = "sharpen-edge", psf: float | None = 1.0, register: bool = True,
    coarse: bool = False, threads: int = 0, nodata: float | None = None, image_nodata: float | None = None,
    mask: NDArray[Any] | AnyPath | None = None,
) -> NDArray[np.float32]: ...  # fmt: skip


@overload
def sharpen(
    cube: AnyPath, image: AnyPath, out: AnyPath, *, model: str = "sharpen-edge", psf: float | None = 1.0, register: bool = True,
    coarse: bool = False, threads: int = 0, mask: AnyPath | None = None,
) -> dict[str, Any]: ...  # fmt: skip


def sharpen(
    cube: AnyCube, image: AnyCube, out: AnyPath | None = None, *, model: str = "sharpen-edge", psf: float | None = 1.0,
    register: bool = True, coarse: bool = False, threads: int = 0, nodata: float | None = None, image_nodata: float | None = None,
    mask: NDArray[Any] | AnyPath | None = None,
) -> NDArray[np.float32] | dict[str, Any]:  # fmt: skip
    """Sharpen a low-resolution hyperspectral cube with a high-resolution multispectral image of the same scene.

    Args:
        cube: (h, w, B), in any units: an array, the path of a cube file, or an open cube.
        image: (r h, r w, b) for an integer r of 2 or more: likewise.
        out: the cube file to write, with the cube's dtype; `cube` and `image` must then be paths. Without it an array is returned.
        model: `sharpen-edge`, or `csakd-student`, a network for r = 4.
        psf: full width at half maximum of the cube's point spread function, 0.1 to 5 of its pixels; None estimates it.
        register: estimate the shift between the two, up to 3 of the cube's pixels, a rotation up to 1 degree and a scale within 1 %.
        coarse: slightly less accurate, in a fraction of the time.
        threads: tiles processed in parallel; 0: one per core.
        nodata: value of the cube's missing samples, for an array; NaN and infinities always count as missing.
        image_nodata: the same for the image.
        mask: (H, W) or (H, W, 1) on the image's grid; where it is not 0, the image is not used, and the result is interpolated from the
            cube. An array, or a path; with `out` a path.

    Returns:
        float32 (r h, r w, B) in the cube's units, NaN where the cube or the image is missing; with `out` the report that
        `edgefuse sharpen --json` prints.

    Raises:
        CubeError: the two do not match, or can't be sharpened.
        SettingsError: an option is out of range.
        MissingDependencyError: a format, a model or threads need a package; the message has the pip command.
        OutputError: `out` can't be written.
    """
    check_numbers(psf=psf, threads=threads)
    if psf is not None and not _PSF[0] <= psf <= _PSF[1]:
        raise SettingsError(f"psf {psf:g} is not between {_PSF[0]:g} and {_PSF[1]:g} of the cube's pixels")
    if not 0 <= threads <= 256:
        raise SettingsError(f"threads {threads} is not between 1 and 256, or 0 for as many as there are cores")
    if out is not None:
        return sharpen_file(_files(cube, image, out, mask), model, psf, register, threads=threads, coarse=coarse)
    method = sharpener(model)
    with opened(cube, "cube", nodata) as low, opened(image, "image", image_nodata) as given, check.with_mask(given) as high:
        inputs = ready(low, high)
        scene = inputs.prepared(method, Options(psf, register, coarse=coarse, threads=threads), _mask(mask, high.shape))
        sharpened = np.empty(inputs.info.shape, np.float32)
        scene.sharpen(inputs.output(sharpened))
        return sharpened


def _files(cube: AnyCube, image: AnyCube, out: AnyPath, mask: NDArray[Any] | AnyPath | None) -> Files:
    """Return the three as paths. Raises CubeError for an argument that is not a path, SettingsError if `out` is one of the inputs."""
    paths = []
    for name, given in (("cube", cube), ("image", image), ("out", out)):
        if not isinstance(given, (str, os.PathLike)):
            raise CubeError(f"{name} is {type(given).__name__}; with out=, give the paths of files")
        paths.append(path_of(given))
    if os.path.realpath(paths[2]) in map(os.path.realpath, paths[:2]):
        raise SettingsError(f"{paths[2]} is an input; choose another name for out")
    if isinstance(mask, np.ndarray):
        raise CubeError("mask is an array; with out=, give the path of a file")
    return Files(paths[0], paths[1], paths[2], mask=None if mask is None else path_of(mask))


def _mask(mask: NDArray[Any] | AnyPath | None, image: tuple[int, int, int]) -> Mask | None:
    if mask is None:
        return None
    if isinstance(mask, np.ndarray):
        mask = mask[..., None] if mask.ndim == 2 else mask
        mask = mask.astype(np.uint8) if mask.dtype == bool else mask
    with opened(mask, "mask") as source:
        return read_mask(source, image)
