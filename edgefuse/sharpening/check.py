"""Do a cube and an image belong together, as far as their files say? What the samples say is `sharpen.prepare`'s to ask."""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import CubeError
from edgefuse.hyperspectral.cube import CubeInfo, Georeference
from edgefuse.hyperspectral.formats.base import CubeSource

_logger = logging.getLogger(__name__)

_APART = 1.0  # low-resolution pixels that two georeferences may differ by
_BETTER = 0.15  # correlation with another wavelength's band above that with its own
_LOOKED = 64  # rows
_BLANK = 0.01  # of their pixels


def check_infos(cube: CubeInfo, image: CubeInfo, names: tuple[str, str]) -> None:
    """Raises CubeError where samples are no real numbers, or both say where they lie and that is not one place."""
    for info, name in zip((cube, image), names, strict=True):
        if info.dtype.kind == "c":
            raise CubeError(f"{name}: complex numbers are not sharpened; give magnitudes")
    if cube.georeference is None or image.georeference is None:
        return
    a, b = cube.georeference, image.georeference
    if a.crs and b.crs and a.crs != b.crs:
        raise CubeError(f"{names[0]} lies in {a.crs[:60]}, {names[1]} in {b.crs[:60]}; warp one into the other's system (gdalwarp -t_srs)")
    pixel = float(np.hypot(a.transform[0], a.transform[3]))
    apart = np.abs(_corners(a, cube) - _corners(b, image)).max() / max(pixel, 1e-12)
    if apart > _APART:
        raise CubeError(
            f"{names[0]} and {names[1]} do not cover the same ground: their corners are up to {apart:.1f} of the cube's pixels apart; crop "
            "them to the same corners (gdalwarp -te)"
        )


def warn_blank(source: CubeSource) -> None:
    """Say so where pixels are 0 in every band and the file doesn't call that missing: it may have forgotten to."""
    if source.info.nodata == 0:
        return
    rows = np.unique(np.linspace(0, source.shape[0] - 1, _LOOKED).astype(int)).tolist()
    blank = float(np.mean([~source[row].any(1) for row in rows]))
    if blank > _BLANK:
        _logger.warning(
            "%s: about %.0f %% of its pixels are 0 in every band, and taken for dark; if they are missing, name 0 as no data in its header",
            source.path, 100 * blank,
        )  # fmt: skip


def _corners(place: Georeference, info: CubeInfo) -> NDArray[np.float64]:
    a, b, c, d, e, f = place.transform
    height, width, _ = info.shape
    return np.array([(a * x + b * y + c, d * x + e * y + f) for x in (0, width) for y in (0, height)])


def georeference(cube: CubeInfo, image: CubeInfo) -> Georeference | None:
    """Of the sharpened cube: the image's; else the cube's, in pixels of the image's size."""
    if image.georeference is not None or cube.georeference is None:
        return image.georeference
    a, b, c, d, e, f = cube.georeference.transform
    down, across = cube.shape[0] / image.shape[0], cube.shape[1] / image.shape[1]
    return Georeference((a * across, b * down, c, d * across, e * down, f), cube.georeference.crs)


def check_order(correlations: NDArray[np.float64], cube: CubeInfo, image: CubeInfo, name: str) -> None:
    """correlations: (b, B) of the image's bands and the cube's. Raises CubeError where a band of the image looks like another wavelength
    than its own: bands in a wrong order, or the header of another sensor."""
    if cube.wavelengths is None or image.wavelengths is None:
        return
    own = [int(np.abs(np.subtract(cube.wavelengths, w)).argmin()) for w in image.wavelengths]
    at_own = correlations[:, own]
    for band, (w, row) in enumerate(zip(image.wavelengths, at_own, strict=True)):
        other = int(row.argmax())
        if row[other] > row[band] + _BETTER and min(cube.wavelengths) <= w <= max(cube.wavelengths):
            raise CubeError(
                f"{name}: band {band}, said to be {w:g} nm, looks like {image.wavelengths[other]:g} nm (correlation with the cube there "
                f"{row[other]:.2f}, at its own wavelength {row[band]:.2f}); its bands are in another order than its wavelengths"
            )
