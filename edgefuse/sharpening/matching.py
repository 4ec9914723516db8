"""Registers a cube and an image, excludes pixels that only the image shows (such as clouds), and fits the trend."""

from __future__ import annotations

from dataclasses import replace

from edgefuse.errors import CubeError
from edgefuse.sharpening import clouds
from edgefuse.sharpening.alignment import aligned
from edgefuse.sharpening.base import Options
from edgefuse.sharpening.border import trimmed
from edgefuse.sharpening.clouds import Covered
from edgefuse.sharpening.filled_image import Filled
from edgefuse.sharpening.moved_pair import on_grid, without
from edgefuse.sharpening.pair import Mask, Pair, Samples, ratio_of
from edgefuse.sharpening.psf import Psf
from edgefuse.sharpening.registration import central_window, refuse_far, registered
from edgefuse.sharpening.same_scene import check_same_scene
from edgefuse.sharpening.trend import Trend, fitted

_LEAST = 6  # smallest side of a cube, in low-resolution pixels
_TOO_LITTLE = 0.1  # smallest share of the cube's variance that the image must explain


def register_and_fit(
    cube: Samples, image: Samples, options: Options, cube_nodata: float | None = None, image_nodata: float | None = None
) -> tuple[Pair, Trend]:
    """Return the registered pair and the cube's trend as a linear function of the image. Raises CubeError where they do not match."""
    pair, trend, _ = matched(cube, image, options, cube_nodata, image_nodata)
    return pair, trend


def matched(
    cube: Samples, image: Samples, options: Options, cube_nodata: float | None = None, image_nodata: float | None = None
) -> tuple[Pair, Trend, Covered | None]:
    """As `register_and_fit`, and return which pixels of the image are interpolated from the cube; None: none are."""
    if min(cube.shape[:2]) < _LEAST:
        raise CubeError(f"a cube of {cube.shape[0]} x {cube.shape[1]} pixels is too small; at least {_LEAST} x {_LEAST} are needed")
    ratio = ratio_of(cube.shape, image.shape)
    pair = Pair(cube, image, Psf(ratio, options.fwhm or 1.0, *options.offset), cube_nodata, image_nodata)
    pair, covered = _placed(pair, options)
    pair = trimmed(pair)
    trend = fitted(pair, options.components)
    if trend.explained < _TOO_LITTLE:
        raise CubeError(
            f"the image explains {100 * trend.explained:.1f} % of the cube's variance, too little to sharpen it with; give an image "
            "whose bands cover more of the cube's spectral range"
        )
    return pair if covered is None else replace(pair, unused=None), trend, covered


def _placed(pair: Pair, options: Options) -> tuple[Pair, Covered | None]:
    """Return the registered pair, its covered pixels filled, and these."""
    given = options.mask
    if given is not None and not given.any():
        given = None
    hidden = None if given is None else clouds.touched(pair, given)
    try:
        pair = _registered(pair, options, hidden)
    except CubeError:
        # clouds may be the reason
        suspects = clouds.unexplained(replace(pair, unused=hidden))
        if suspects is None:
            raise
        pair = _registered(pair, options, suspects if hidden is None else hidden | suspects)
    if given is not None:
        given = on_grid(given, pair)
    covered = clouds.covered(pair, given)
    if covered is None:
        return pair, None
    clouds.warn(covered, given)
    return replace(pair, image=Filled(pair, covered), unused=covered.hidden, expected=covered), covered


def _registered(pair: Pair, options: Options, left_out: Mask | None) -> Pair:
    """Return the pair without the displacement that is estimated from all but the low-resolution pixels `left_out` (h, w)."""
    seen = replace(pair, unused=left_out)
    window = central_window(seen)
    first = check_same_scene(window, options.register)
    if not options.register and any(first):
        refuse_far(*first, pair.psf.ratio, corrected=False)
    if not options.register and options.fwhm is not None:
        return pair
    psf = registered(window, first, options.fwhm is None)
    if not options.register:
        return replace(pair, psf=replace(pair.psf, fwhm=psf.fwhm))
    return without(replace(pair, psf=psf), aligned(replace(seen, psf=psf)))
