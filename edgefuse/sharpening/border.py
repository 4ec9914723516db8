"""Finds border rows and columns where cube and image do not show the same: the image was shifted, cropped or padded.

In the 18 scenes that docs/research/sharpening.md measures, an image rolled by one pixel costs 1.1 dB even 8 pixels away from the border.
As in registration (registration.py), the image is predicted by a linear function of the cube.
"""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgefuse.sharpening.pair import Low, Pair, Span
from edgefuse.sharpening.registration import components, middle, varying_bands

_logger = logging.getLogger(__name__)

_LEAST = 8  # smallest side, in low-resolution pixels, that is checked
_ALIEN = 60.0  # threshold, times the typical squared error: correct borders reach 35, those of rolled images mostly hundreds
_ROUNDING = 1e-4  # lower limit of the typical error, as a share of a band's standard deviation


def trimmed(pair: Pair) -> Pair:
    """Return the pair without outermost rows and columns where the image does not match the cube. Logs a warning where it removes any."""
    shape = h, w = pair.low_shape[:2]
    if min(shape) < _LEAST:
        return pair
    rows, columns = middle(h), middle(w)
    inner = pair.low((max(1, rows[0]), min(h - 1, rows[1])), (max(1, columns[0]), min(w - 1, columns[1])))
    if inner.known.sum() < _LEAST * _LEAST // 2:
        return pair
    expected = _Expected(inner)
    errors = expected.errors(inner)
    typical = np.median([line for axis in (0, 1) for line in _typical(errors, axis)])
    borders = {"top": ((0, 1), columns), "bottom": ((h - 1, h), columns), "left": (rows, (0, 1)), "right": (rows, (w - 1, w))}
    border_errors = {name: _typical(expected.errors(pair.low(*line)).reshape(1, -1), 1) for name, line in borders.items()}
    mismatched = {name for name, values in border_errors.items() if values and values[0] > _ALIEN * max(typical, _ROUNDING**2)}
    if not mismatched:
        return pair
    _logger.warning(
        "the image's border does not match the cube's (%s): the cube's outermost pixels there are not used",
        ", ".join(name for name in borders if name in mismatched),
    )
    within: tuple[Span, Span] = (
        (int("top" in mismatched), h - ("bottom" in mismatched)),
        (int("left" in mismatched), w - ("right" in mismatched)),
    )
    return replace(pair, within=within)


class _Expected:
    """Predicts the image by linear regression on the cube's leading principal components."""

    def __init__(self, seen: Low) -> None:
        spectra, image = _known(seen)
        self._mean, spread = image.mean(0), image.std(0)
        self._spread = np.where(varying_bands(self._mean, spread), spread, np.inf)
        self._centre = spectra.mean(0)
        self._axes = components(spectra - self._centre)
        scores = (spectra - self._centre) @ self._axes
        self._weights = np.linalg.lstsq(scores, (image - self._mean) / self._spread, rcond=None)[0]

    def errors(self, seen: Low) -> NDArray[np.float64]:
        """Return (m, n): squared prediction errors over the band's variance, mean over the bands; NaN where unknown."""
        spectra, image = _known(seen)
        errors = np.full(seen.known.shape, np.nan)
        residual = (image - self._mean) / self._spread - (spectra - self._centre) @ self._axes @ self._weights
        errors[seen.known] = np.square(residual).mean(1)
        return errors


def _known(seen: Low) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return seen.spectra[seen.known].astype(np.float64), seen.image[seen.known].astype(np.float64)


def _typical(errors: NDArray[np.float64], axis: int) -> list[float]:
    """Geometric mean of each line with known pixels, so that a bad line hardly affects those that it crosses."""
    known = np.isfinite(errors)
    logs = np.where(known, np.log(np.where(known, errors, 1) + _ROUNDING**4), 0).sum(axis)
    return [float(np.exp(total / count)) for total, count in zip(logs, known.sum(axis), strict=True) if count]
