"""Estimates the shift between image and cube and the width of the point spread function, by a grid search on the regression residual.

The image is regressed on the cube: its few bands are nearly linear combinations of the cube's many, so a small scene suffices.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import CubeError
from edgefuse.sharpening.pair import Mask, Pair, Span
from edgefuse.sharpening.psf import Psf

_SIDE = 64  # side of the central window that is used, in low-resolution pixels
_COMPONENTS = 16  # principal components of the cube, at most
_PIXELS = 12  # low-resolution pixels needed per component
_STEP, _REACH = 0.5, 2.0  # of the search, in high-resolution pixels, at ratio 4 and below
_ROUNDING = 1e-5  # a band is flat if its standard deviation is below this share of its mean
_NOTHING = 1e-12  # share of the largest variance below which a component is rounding error
_WIDTHS = np.round(np.arange(0.5, 2.01, 0.1), 1)  # candidates, in low-resolution pixels


class _View:
    """The scene's central window in memory, on which shifts and widths are tried."""

    def __init__(self, pair: Pair, reach: float) -> None:
        self._pair = central_window(pair)
        shape, ratio = self._pair.low_shape, pair.psf.ratio
        # leave out pixels whose point spread function reaches the mirrored border
        edge = min(-(-pair.psf.reach // ratio) + round(reach / ratio), (min(shape[:2]) - 5) // 2)
        edge = max(0, edge)
        self._inner: tuple[Span, Span] = (edge, shape[0] - edge), (edge, shape[1] - edge)
        spectra, known = self._pair.compared(*self._inner)
        self._known = known.reshape(-1)
        self._scores = _scores(spectra.reshape(-1, spectra.shape[2])[self._known].astype(np.float64))

    def residual(self, psf: Psf) -> float:
        """Return the share of the image's variance that a linear function of the cube leaves unexplained; 1 with too few pixels."""
        image = replace(self._pair, psf=psf).observed(*self._inner)
        seen = image.seen.reshape(-1)[self._known]
        x, y = self._scores[seen], image.pixels.reshape(-1, image.pixels.shape[2])[self._known][seen].astype(np.float64)
        if len(x) <= 2 * x.shape[1]:
            return 1.0
        mean = y.mean(0)
        x, y = x - x.mean(0), y - mean
        spread = np.sqrt(np.square(y).mean(0))
        # all bands have equal weight, whatever their units
        varying = varying_bands(mean, spread)
        y = y[:, varying] / spread[varying]
        total = float(np.square(y).sum())
        error = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
        return float(np.square(error).sum()) / total if total else 1.0


def _scores(spectra: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the leading principal component scores of pixels (n, B)."""
    if not len(spectra):
        return np.zeros((0, 1))
    centred = spectra - spectra.mean(0)
    return np.asarray(centred @ components(centred))


def varying_bands(mean: NDArray[np.float64], spread: NDArray[np.float64]) -> Mask:
    """Return which bands vary, from their means and standard deviations; what varies in others is rounding error."""
    return np.asarray(spread > _ROUNDING * np.abs(mean))


def components(centred: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the leading principal axes (B, k) of mean-free pixels (n, B): as many as their number supports."""
    count = max(1, min(_COMPONENTS, len(centred) // _PIXELS, centred.shape[1]))
    variances, axes = np.linalg.eigh(centred.T @ centred)
    # drop axes of rounding error: their direction differs between processors, and by chance they explain a little
    count = max(1, min(count, int((variances > _NOTHING * variances[-1]).sum())))
    return np.asarray(axes[:, ::-1][:, :count])


def middle(count: int) -> Span:
    """Return the central span of at most _SIDE of an axis' `count` low-resolution pixels."""
    side = min(count, _SIDE)
    start = (count - side) // 2
    return start, start + side


def central_window(pair: Pair) -> Pair:
    """Return the scene's central window, in memory."""
    window = tuple(slice(*middle(count)) for count in pair.low_shape[:2])
    ratio = pair.psf.ratio
    image = pair.image[tuple(slice(s.start * ratio, s.stop * ratio) for s in window)]
    return replace(pair, cube=pair.cube[window], image=image, unused=None if pair.unused is None else pair.unused[window])


def reach_of(ratio: int) -> float:
    """Return the largest shift searched, in high-resolution pixels: half a low-resolution pixel, at least two."""
    return max(_REACH, ratio / 2)


def registered(pair: Pair, width: bool = False) -> Psf:
    """Return the pair's point spread function with the estimated shift, and with `width` the estimated width.

    Raises CubeError where the shift is larger than `reach_of` allows.
    """
    step = max(_STEP, pair.psf.ratio / 8)
    reach = reach_of(pair.psf.ratio)
    view = _View(pair, reach)
    shifts = np.arange(-reach, reach + step / 2, step)
    given = pair.psf
    candidates = [replace(given, dy=given.dy + float(dy), dx=given.dx + float(dx)) for dy in shifts for dx in shifts]
    psf = _best(view, candidates, pair.psf)
    if width:
        psf = _best(view, (replace(psf, fwhm=float(f)) for f in _WIDTHS), psf)
        psf = _best(view, (replace(p, fwhm=psf.fwhm) for p in candidates), psf)
        psf = _best(view, (replace(psf, fwhm=float(f)) for f in _WIDTHS), psf)
    edge = max(abs(psf.dy - given.dy), abs(psf.dx - given.dx)) > reach - step / 2
    if edge and view.residual(psf) < 0.98 * view.residual(replace(psf, dy=given.dy, dx=given.dx)):
        raise CubeError(
            f"the image lies {psf.dy:+g} rows and {psf.dx:+g} columns off the cube, or more: only shifts up to {reach - step:g} of its "
            "pixels are corrected; register them first, or rotate or flip the one that is rotated or mirrored"
        )
    return psf


def _best(view: _View, tried: Iterable[Psf], start: Psf) -> Psf:
    best, least = start, view.residual(start)
    for psf in tried:
        # require a real improvement, so that a scene without structure is not shifted
        if (residual := view.residual(psf)) < least * (1 - 1e-6) - 1e-12:
            best, least = psf, residual
    return best
