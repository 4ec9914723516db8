"""Checks that a cube and an image match by their metadata. `sharpen.prepare` checks their samples."""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import CubeError
from edgefuse.hyperspectral.cube import CubeInfo, Georeference
from edgefuse.sharpening.pair import Samples
from edgefuse.sharpening.places import converter

_logger = logging.getLogger(__name__)

_APART = 1.0  # largest distance of the corners, in low-resolution pixels
_BETTER = 0.15  # a band is mislabelled if its correlation with another wavelength's band is higher by this
_LOOKED = 64  # rows sampled
_BLANK = 0.01  # share of blank pixels that is warned of


def check_infos(cube: CubeInfo, image: CubeInfo, names: tuple[str, str]) -> None:
    """Raises CubeError for complex samples, or where both are georeferenced and do not cover the same ground."""
    for info, name in zip((cube, image), names, strict=True):
        if info.dtype.kind == "c":
            raise CubeError(f"{name}: complex samples can't be sharpened; give magnitudes")
    if cube.georeference is None or image.georeference is None:
        return
    a, b = cube.georeference, image.georeference
    pixel = float(np.hypot(a.transform[0], a.transform[3]))
    # one system has several spellings: those of ENVI and EPSG
    apart = np.abs(converter(b.crs, a.crs)(_corners(b, image)) - _corners(a, cube)).max() / max(pixel, 1e-12)
    if apart > _APART:
        raise CubeError(
            f"{names[0]} and {names[1]} do not cover the same ground: their corners are up to {apart:.1f} of the cube's pixels apart; crop "
            "them to the same corners (gdalwarp -te)"
        )


def warn_blank(samples: Samples, info: CubeInfo, name: str) -> None:
    """Warn where over 1 % of the pixels are 0 in every band and 0 is not declared as no data."""
    if info.nodata == 0:
        return
    rows = np.unique(np.linspace(0, samples.shape[0] - 1, _LOOKED).astype(int)).tolist()
    blank = float(np.mean([~samples[row].any(1) for row in rows]))
    if blank > _BLANK:
        _logger.warning(
            "%s: about %.0f %% of the pixels are 0 in every band and are used; if they are missing, declare 0 as no data in its header",
            name, 100 * blank,
        )  # fmt: skip


def _corners(place: Georeference, info: CubeInfo) -> NDArray[np.float64]:
    a, b, c, d, e, f = place.transform
    height, width, _ = info.shape
    return np.array([(a * x + b * y + c, d * x + e * y + f) for x in (0, width) for y in (0, height)])


def georeference(cube: CubeInfo, image: CubeInfo) -> Georeference | None:
    """Return the sharpened cube's georeference: the image's, or else the cube's scaled to the image's pixel size."""
    if image.georeference is not None or cube.georeference is None:
        return image.georeference
    a, b, c, d, e, f = cube.georeference.transform
    down, across = cube.shape[0] / image.shape[0], cube.shape[1] / image.shape[1]
    return Georeference((a * across, b * down, c, d * across, e * down, f), cube.georeference.crs)


def check_order(correlations: NDArray[np.float64], cube: CubeInfo, image: CubeInfo, name: str) -> None:
    """Check that the image's bands are in the order of its wavelengths. correlations: (b, B), of the image's bands with the cube's.

    Raises CubeError where a band correlates better with another band's wavelength: a wrong band order, or another sensor's header.
    """
    if cube.wavelengths is None or image.wavelengths is None:
        return
    own = [int(np.abs(np.subtract(cube.wavelengths, w)).argmin()) for w in image.wavelengths]
    at_own = correlations[:, own]
    for band, (w, row) in enumerate(zip(image.wavelengths, at_own, strict=True)):
        other = int(row.argmax())
        if row[other] > row[band] + _BETTER and min(cube.wavelengths) <= w <= max(cube.wavelengths):
            raise CubeError(
                f"{name}: band {band}, labelled {w:g} nm, looks like {image.wavelengths[other]:g} nm (correlation with the cube there "
                f"{row[other]:.2f}, at its own wavelength {row[band]:.2f}); its bands are not in the order of its wavelengths"
            )
