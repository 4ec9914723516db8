"""Checks that a cube and an image match by their metadata. `sharpen.prepare` checks their samples."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import CubeError
from edgefuse.hyperspectral.cube import CubeInfo, Georeference
from edgefuse.hyperspectral.formats.base import CubeSource

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
    if a.crs and b.crs and a.crs != b.crs:
        raise CubeError(
            f"{names[0]} is in {a.crs[:60]}, {names[1]} in {b.crs[:60]}; warp one to the other's coordinate system (gdalwarp -t_srs)"
        )
    pixel = float(np.hypot(a.transform[0], a.transform[3]))
    apart = np.abs(_corners(a, cube) - _corners(b, image)).max() / max(pixel, 1e-12)
    if apart > _APART:
        raise CubeError(
            f"{names[0]} and {names[1]} do not cover the same ground: their corners are up to {apart:.1f} of the cube's pixels apart; crop "
            "them to the same corners (gdalwarp -te)"
        )


@contextmanager
def with_mask(image: CubeSource) -> Iterator[CubeSource]:
    """Yield an image whose band that looks like an alpha band is its mask; a warning names the band. Raises CubeError.

    What an image has outside of its valid pixels would be sharpened into the cube, while a binary band adds next to nothing.
    """
    if not image.likely_alpha:
        yield image
        return
    _logger.warning(
        "%s: band %d holds 0 and the largest value and nothing else: taken for its mask (alpha), not for a band; pixels where it is 0 are "
        "missing. Remove the band if it is something else",
        image.path, image.likely_alpha,
    )  # fmt: skip
    with image.masked() as masked:
        yield masked


def warn_blank(source: CubeSource) -> None:
    """Warn where over 1 % of the pixels are 0 in every band and 0 is not declared as no data."""
    if source.info.nodata == 0:
        return
    rows = np.unique(np.linspace(0, source.shape[0] - 1, _LOOKED).astype(int)).tolist()
    blank = float(np.mean([~source[row].any(1) for row in rows]))
    if blank > _BLANK:
        _logger.warning(
            "%s: about %.0f %% of the pixels are 0 in every band and are used; if they are missing, declare 0 as no data in its header",
            source.path, 100 * blank,
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
