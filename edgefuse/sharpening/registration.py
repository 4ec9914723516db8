"""Where the image lies on the cube, and how wide the cube's pixels see: what leaves the least of the image unexplained by the cube.

The image's few bands are nearly sums of the cube's many, while the cube is no function of the image: that way round a small scene tells.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import CubeError
from edgefuse.sharpening.pair import Mask, Pair, Span
from edgefuse.sharpening.psf import Psf

_SIDE = 64  # low-resolution pixels looked at, to a side, amid the scene
_COMPONENTS = 16  # of the cube, at most, and one for as many pixels
_PIXELS = 12
_STEP, _REACH = 0.5, 2.0  # high-resolution pixels, at ratio 4 and below
_ROUNDING = 1e-5
_NOTHING = 1e-12  # of the largest variance: a component of single precision's rounding
_WIDTHS = np.round(np.arange(0.5, 2.01, 0.1), 1)  # low-resolution pixels


class _View:
    """The scene's middle, in memory: tried many times."""

    def __init__(self, pair: Pair, reach: float) -> None:
        self._pair = amid(pair)
        shape, ratio = self._pair.low_shape, pair.psf.ratio
        # what is seen beyond the window's border would be its reflection
        edge = min(-(-pair.psf.reach // ratio) + round(reach / ratio), (min(shape[:2]) - 5) // 2)
        edge = max(0, edge)
        self._inner: tuple[Span, Span] = (edge, shape[0] - edge), (edge, shape[1] - edge)
        spectra, known = self._pair.spectra(*self._inner)
        self._known = known.reshape(-1)
        self._scores = _scores(spectra.reshape(-1, spectra.shape[2])[self._known].astype(np.float64))

    def left(self, psf: Psf) -> float:
        """Share of the image's variance that a linear function of the cube leaves unexplained; 1 where nothing can be said."""
        image = replace(self._pair, psf=psf).observed(*self._inner)
        seen = image.seen.reshape(-1)[self._known]
        x, y = self._scores[seen], image.pixels.reshape(-1, image.pixels.shape[2])[self._known][seen].astype(np.float64)
        if len(x) <= 2 * x.shape[1]:
            return 1.0
        mean = y.mean(0)
        x, y = x - x.mean(0), y - mean
        spread = np.sqrt(np.square(y).mean(0))
        # each band counts alike, whatever its unit
        there = varied(mean, spread)
        y = y[:, there] / spread[there]
        total = float(np.square(y).sum())
        rest = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
        return float(np.square(rest).sum()) / total if total else 1.0


def _scores(spectra: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pixels (n, B) by their leading principal components."""
    if not len(spectra):
        return np.zeros((0, 1))
    away = spectra - spectra.mean(0)
    return np.asarray(away @ components(away))


def varied(mean: NDArray[np.float64], spread: NDArray[np.float64]) -> Mask:
    """Which bands differ from place to place, by their means and standard deviations: of others rounding is left, which says nothing."""
    return np.asarray(spread > _ROUNDING * np.abs(mean))


def components(away: NDArray[np.float64]) -> NDArray[np.float64]:
    """Leading principal components (B, k) of pixels (n, B) about their mean: as many as they can tell."""
    count = max(1, min(_COMPONENTS, len(away) // _PIXELS, away.shape[1]))
    variances, axes = np.linalg.eigh(away.T @ away)
    # which way those of rounding point is for the processor to say: chance would explain a little, on each another
    count = max(1, min(count, int((variances > _NOTHING * variances[-1]).sum())))
    return np.asarray(axes[:, ::-1][:, :count])


def middle(count: int) -> Span:
    """Of `count` low-resolution pixels along an axis those that are looked at."""
    side = min(count, _SIDE)
    start = (count - side) // 2
    return start, start + side


def amid(pair: Pair) -> Pair:
    """The scene's middle, in memory."""
    window = tuple(slice(*middle(count)) for count in pair.low_shape[:2])
    ratio = pair.psf.ratio
    return replace(pair, cube=pair.cube[window], image=pair.image[tuple(slice(s.start * ratio, s.stop * ratio) for s in window)])


def reach_of(ratio: int) -> float:
    """How far a shift is looked for, in high-resolution pixels: half a low-resolution one, or two."""
    return max(_REACH, ratio / 2)


def registered(pair: Pair, width: bool = False) -> Psf:
    """The pair's point spread function, shifted to where the image lies on the cube, within half a low-resolution pixel or two
    high-resolution ones; `width`: its width as the data tell, too. Raises CubeError where the shift is beyond that."""
    step = max(_STEP, pair.psf.ratio / 8)
    reach = reach_of(pair.psf.ratio)
    view = _View(pair, reach)
    shifts = np.arange(-reach, reach + step / 2, step)
    every = [replace(pair.psf, dy=float(dy), dx=float(dx)) for dy in shifts for dx in shifts]
    found = _best(view, every, pair.psf)
    if width:
        found = _best(view, (replace(found, fwhm=float(f)) for f in _WIDTHS), found)
        found = _best(view, (replace(p, fwhm=found.fwhm) for p in every), found)
        found = _best(view, (replace(found, fwhm=float(f)) for f in _WIDTHS), found)
    if max(abs(found.dy), abs(found.dx)) > reach - step / 2 and view.left(found) < 0.98 * view.left(replace(found, dy=0.0, dx=0.0)):
        raise CubeError(
            f"the image lies {found.dy:+g} rows and {found.dx:+g} columns off the cube, or more: no more than {reach - step:g} of its "
            "pixels are looked for; register them first, or turn the one that is turned or mirrored"
        )
    return found


def _best(view: _View, tried: Iterable[Psf], start: Psf) -> Psf:
    best, least = start, view.left(start)
    for psf in tried:
        # as good is not better: a scene without structure stays where it is
        if (left := view.left(psf)) < least * (1 - 1e-6) - 1e-12:
            best, least = psf, left
    return best
