"""Checks that a cube and an image match by their metadata. `sharpen.prepare` checks their samples."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import CubeError
from edgefuse.hyperspectral.cube import CubeInfo, Georeference
from edgefuse.hyperspectral.formats.base import CubeSource
from edgefuse.sharpening.pair import Pair, Samples

_logger = logging.getLogger(__name__)

_BETTER = 0.15  # a band is mislabelled if its correlation with another wavelength's band is higher by this
_LOOKED = 64  # rows sampled
_CONTRADICTED = 0.3  # difference from the georeferences that is warned of, in the cube's pixels
_BLANK = 0.01  # share of blank pixels that is warned of


def check_infos(cube: CubeInfo, image: CubeInfo, names: tuple[str, str]) -> None:
    """Raises CubeError for complex samples."""
    for info, name in zip((cube, image), names, strict=True):
        if info.dtype.kind == "c":
            raise CubeError(f"{name}: complex samples can't be sharpened; give magnitudes")


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


def warn_contradiction(pair: Pair, expected: tuple[float, float], names: tuple[str, str]) -> None:
    """Warn where registration found another offset than the georeferences give (`expected`, in pixels of the image), or a rotation."""
    ratio, motion = pair.psf.ratio, pair.motion
    down, across = (found - wanted for found, wanted in zip(pair.shift, expected, strict=True))
    if motion is not None and not motion.rigid:
        _logger.warning(
            "%s is turned by %+.2f degrees where the georeferences of it and %s put it, and %+.2f %% larger; the pictures are believed",
            names[1], math.degrees(motion.turn), names[0], 100 * motion.growth,
        )  # fmt: skip
    if max(abs(down), abs(across)) > _CONTRADICTED * ratio:
        _logger.warning(
            "%s is %+.2f rows and %+.2f columns of the cube off where the georeferences of it and %s put it; the pictures are believed",
            names[1], down / ratio, across / ratio, names[0],
        )  # fmt: skip


def warn_blank(samples: Samples, info: CubeInfo, name: str) -> None:
    """Warn where over 1 % of the pixels are 0 in every band and 0 is not declared as no data."""
    if info.nodata == 0:
        return
    rows = np.unique(np.linspace(0, samples.shape[0] - 1, _LOOKED).astype(int)).tolist()
    blank = float(np.mean([~samples[row : row + 1].any(2) for row in rows]))
    if blank > _BLANK:
        _logger.warning(
            "%s: about %.0f %% of the pixels are 0 in every band and are used; if they are missing, declare 0 as no data in its header",
            name, 100 * blank,
        )  # fmt: skip


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
