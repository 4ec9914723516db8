"""Estimates the shift between image and cube and the width of the point spread function, by a grid search on the regression residual.

The image is regressed on the cube: its few bands are nearly linear combinations of the cube's many, so a small scene suffices.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import CubeError
from edgefuse.sharpening.pair import Mask, Pair, Span
from edgefuse.sharpening.psf import Psf

WINDOW = 64  # side of the central window that is used, in low-resolution pixels
_COMPONENTS = 16  # principal components of the cube, at most
_PIXELS = 12  # low-resolution pixels needed per component
_STEP, _REACH = 0.5, 2.0  # least ones of the search, in high-resolution pixels
FARTHEST = 3.0  # shift that is corrected at most, in low-resolution pixels
_PLAINLY = 0.98  # share of the error that must be left for a shift at the end of the search
_INSIDE = 0.95  # share of a pixel's weight that must fall inside the image
_FITS = 3  # of a regression whose outliers lose their weight
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
        self._typical: float | None = None
        known_spectra = spectra.reshape(-1, spectra.shape[2])[self._known].astype(np.float64)
        self.flat = not len(known_spectra) or not varying_bands(known_spectra.mean(0), known_spectra.std(0)).any()
        self._scores = _scores(known_spectra)

    def residual(self, psf: Psf) -> float:
        """Return the mean of log(1 + e^2 / s^2) over the pixels: e the error of the image as a linear function of the cube, s the typical
        error of the first shift that was tried. Clouds hardly count in it. 1 with too few pixels."""
        image = replace(self._pair, psf=psf).observed(*self._inner)
        (height, width, _), (rows, columns) = self._pair.high_shape, self._inner
        inside = psf.inside(*rows, height, psf.dy)[:, None] * psf.inside(*columns, width, psf.dx) > _INSIDE
        seen = (image.seen & inside).reshape(-1)[self._known]
        x, y = self._scores[seen], image.pixels.reshape(-1, image.pixels.shape[2])[self._known][seen].astype(np.float64)
        if len(x) <= 2 * x.shape[1]:
            return 1.0
        mean = y.mean(0)
        spread = y.std(0)
        # all bands have equal weight, whatever their units
        varying = varying_bands(mean, spread)
        if not varying.any():
            return 1.0
        y = (y[:, varying] - mean[varying]) / spread[varying]
        x = x - x.mean(0)
        x = np.concatenate([x / np.maximum(x.std(0), 1e-30), np.ones((len(x), 1))], 1)
        squared, typical = _robust_errors(x, y)
        if self._typical is None:
            self._typical = max(typical, _ROUNDING**2)
        return float(np.log1p(squared / self._typical).mean())


def _robust_errors(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Regress y (n, b) on x (n, k) so that outliers have little weight. Returns squared errors (n,), means over the bands, and their
    median."""
    weight = np.ones(len(x))
    for _ in range(_FITS):
        root = np.sqrt(weight)[:, None]
        product = (x * root).T @ (x * root)
        squared = np.square(y - x @ (np.linalg.pinv(product, 1e-12, hermitian=True) @ ((x * root).T @ (y * root)))).mean(1)
        typical = float(np.median(squared))
        weight = 1 / (1 + squared / max(typical, _ROUNDING**2))
    return squared, typical


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
    """Return the central span of at most WINDOW of an axis' `count` low-resolution pixels."""
    side = min(count, WINDOW)
    start = (count - side) // 2
    return start, start + side


def central_window(pair: Pair) -> Pair:
    """Return the scene's central window, in memory."""
    window = tuple(slice(*middle(count)) for count in pair.low_shape[:2])
    ratio = pair.psf.ratio
    image = pair.image[tuple(slice(s.start * ratio, s.stop * ratio) for s in window)]
    return replace(pair, cube=pair.cube[window], image=image, unused=None if pair.unused is None else pair.unused[window])


def reach_of(ratio: int) -> float:
    """Return the largest shift searched around a first guess, in high-resolution pixels: half a low-resolution pixel, at least two."""
    return max(_REACH, ratio / 2)


def farthest(ratio: int) -> float:
    """Return the largest shift that is corrected, in high-resolution pixels."""
    return FARTHEST * ratio


def registered(pair: Pair, first: tuple[float, float] = (0.0, 0.0), width: bool = False) -> Psf:
    """Return the pair's point spread function with the estimated shift, to a fraction of a low-resolution pixel, and with `width` the
    estimated width. first: a guess of the shift, beyond the pair's.

    Raises CubeError where the shift is larger than `farthest` allows.
    """
    view, given = _View(pair, reach_of(pair.psf.ratio)), pair.psf
    if view.flat:
        return given  # nothing that a shift could be told by
    start = replace(given, dy=given.dy + first[0], dx=given.dx + first[1])
    psf = _nearest(view, start, given)
    if width:
        psf = _best(view, (replace(psf, fwhm=float(f)) for f in _WIDTHS), psf)
        psf = _best(view, _around(psf, _STEP, pair.psf.ratio / 4), psf)
        psf = _best(view, (replace(psf, fwhm=float(f)) for f in _WIDTHS), psf)
    return psf


def _nearest(view: _View, start: Psf, given: Psf) -> Psf:
    """Return the shift with the least error, from `start` on in steps to where it is least."""
    ratio, psf = start.ratio, start
    reach, step = reach_of(ratio), max(_STEP, ratio / 4)
    while True:
        best = _best(view, _around(psf, step, reach), psf)
        edge = max(abs(best.dy - psf.dy), abs(best.dx - psf.dx)) > reach - step / 2
        if not edge:
            if max(abs(best.dy - given.dy), abs(best.dx - given.dx)) > farthest(ratio) + ratio / 4:
                refuse_far(best.dy - given.dy, best.dx - given.dx, ratio)
            return best
        if view.residual(best) >= _PLAINLY * view.residual(start):
            return start
        psf = best
        if max(abs(psf.dy - given.dy), abs(psf.dx - given.dx)) > farthest(ratio):
            refuse_far(psf.dy - given.dy, psf.dx - given.dx, ratio)


def refuse_far(down: float, across: float, ratio: int, corrected: bool = True) -> NoReturn:
    """Raises CubeError that tells how far the image lies off. corrected: shifts are corrected up to a limit."""
    limit = f"shifts up to {farthest(ratio):g} of its pixels are corrected" if corrected else "--no-register leaves shifts as they are"
    raise CubeError(
        f"the image lies about {down:+.3g} rows and {across:+.3g} columns off the cube: {limit}; register them first, or rotate or flip "
        "the one that is rotated or mirrored"
    )


def _around(psf: Psf, step: float, reach: float) -> Iterator[Psf]:
    shifts = np.arange(-reach, reach + step / 2, step).tolist()
    return (replace(psf, dy=psf.dy + dy, dx=psf.dx + dx) for dy in shifts for dx in shifts)


def _best(view: _View, tried: Iterable[Psf], start: Psf) -> Psf:
    best, least = start, view.residual(start)
    for psf in tried:
        # require a real improvement, so that a scene without structure is not shifted
        if (residual := view.residual(psf)) < least * (1 - 1e-6) - 1e-12:
            best, least = psf, residual
    return best
