"""Which of the cube's outermost rows and columns the image shows: a shifted, cut or filled image has something else at its border.

In the 18 scenes that docs/research/sharpening.md measures, with the image moved round by a pixel, that costs 1.1 dB even 8 pixels away
from it. As with the shift (registration.py), a linear function of the cube tells what the image ought to show.
"""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgefuse.sharpening.pair import Low, Pair, Span
from edgefuse.sharpening.registration import components, middle, varied

_logger = logging.getLogger(__name__)

_LEAST = 8  # low-resolution pixels to a side: of fewer nothing is said
_ALIEN = 60.0  # times the squared error of other lines: own borders reach 35, those of images moved round mostly have hundreds
_ROUNDING = 1e-4  # of a band's standard deviation


def trimmed(pair: Pair) -> Pair:
    """The pair without the outermost rows and columns through which the image doesn't show what the cube does. Says so in a warning."""
    shape = h, w = pair.low_shape[:2]
    if min(shape) < _LEAST:
        return pair
    rows, columns = middle(h), middle(w)
    inner = pair.low((max(1, rows[0]), min(h - 1, rows[1])), (max(1, columns[0]), min(w - 1, columns[1])))
    if inner.known.sum() < _LEAST * _LEAST // 2:
        return pair
    expected = _Expected(inner)
    errors = expected.errors(inner)
    usual = np.median([line for axis in (0, 1) for line in _typical(errors, axis)])
    lines = {"top": ((0, 1), columns), "bottom": ((h - 1, h), columns), "left": (rows, (0, 1)), "right": (rows, (w - 1, w))}
    found = {name: _typical(expected.errors(pair.low(*line)).reshape(1, -1), 1) for name, line in lines.items()}
    alien = {name for name, each in found.items() if each and each[0] > _ALIEN * max(usual, _ROUNDING**2)}
    if not alien:
        return pair
    _logger.warning(
        "the image's border shows something else than the cube's (%s): the cube's outermost pixels there are not looked at",
        ", ".join(name for name in lines if name in alien),
    )
    within: tuple[Span, Span] = (int("top" in alien), h - ("bottom" in alien)), (int("left" in alien), w - ("right" in alien))
    return replace(pair, within=within)


class _Expected:
    """What an image ought to show, as a linear function of the cube's leading components."""

    def __init__(self, seen: Low) -> None:
        spectra, image = _known(seen)
        self._mean, spread = image.mean(0), image.std(0)
        self._spread = np.where(varied(self._mean, spread), spread, np.inf)
        self._centre = spectra.mean(0)
        self._axes = components(spectra - self._centre)
        scores = (spectra - self._centre) @ self._axes
        self._weights = np.linalg.lstsq(scores, (image - self._mean) / self._spread, rcond=None)[0]

    def errors(self, seen: Low) -> NDArray[np.float64]:
        """(m, n): mean over the bands of squared errors, in their variances; NaN where unknown."""
        spectra, image = _known(seen)
        found = np.full(seen.known.shape, np.nan)
        rest = (image - self._mean) / self._spread - (spectra - self._centre) @ self._axes @ self._weights
        found[seen.known] = np.square(rest).mean(1)
        return found


def _known(seen: Low) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return seen.spectra[seen.known].astype(np.float64), seen.image[seen.known].astype(np.float64)


def _typical(errors: NDArray[np.float64], axis: int) -> list[float]:
    """The geometric mean of each line in which something is known: where lines cross, one of another scene doesn't spoil the other."""
    known = np.isfinite(errors)
    logs = np.where(known, np.log(np.where(known, errors, 1) + _ROUNDING**4), 0).sum(axis)
    return [float(np.exp(total / count)) for total, count in zip(logs, known.sum(axis), strict=True) if count]
