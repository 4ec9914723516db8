"""Finds pixels of the image that the cube does not explain: clouds, their shadows, saturated or changed pixels.

The image, degraded to the cube's resolution, is predicted by a linear function of the cube, fitted so that outliers have no weight. Pixels
are covered where its error, interpolated, is far above what is usual.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefuse.sharpening import cubic
from edgefuse.sharpening.pair import Mask, Pair, Span, grown
from edgefuse.sharpening.psf import apply
from edgefuse.sharpening.registration import components, varying_bands
from edgefuse.sharpening.trend import blocks
from edgefuse.util.arrays import Float32Array, Float64Array

_logger = logging.getLogger(__name__)

_ROWS, _SAMPLED = 64, 8192  # low-resolution rows and pixels on which the prediction is fitted
_FEWEST = 64  # pixels that are needed to fit it
_ITERATIONS, _TUNING = 10, 3.0  # of the fit; errors of so many typical ones have a quarter of the weight
# An error counts from so many typical ones and so large a share of a band's standard deviation. In nine development scenes clear pixels
# reach 21 typical errors and 0.04; the smallest clouds 227 and 0.5
_SEED, _SEED_SHARE = 40.0, 0.1
_SUSPECT = 10.0, 0.3  # the same before registration
_AFFECTED = 8.0  # typical errors from which on a pixel that touches one of those counts
_GROWN = 4  # low-resolution pixels that it grows by at most
_INSIDE = 0.95  # share of a pixel's weight that must fall inside of the image: what lies outside of it is no cloud
_MOST = 0.4  # share of the pixels above which it is no cloud but another scene
_APART = 1.0  # interpolated error, in standard deviations of the image's details, from which on a pixel is covered
_OWN = 0.5  # share of the interpolated error that a covered pixel has itself
_TOUCHED = 1e-3  # share of a low-resolution pixel's weight on covered pixels from which on it is not compared
_AROUND = 1  # low-resolution pixels by which the covered ones are extended, for their soft edges


@dataclass(frozen=True)
class Prediction:
    """Predicts the image's pixels from spectra. centre (B,), axes (B, k), weights (k + 1, b). typical: (b,), error of most pixels.
    spread: (b,), standard deviation of the image's bands; infinite for flat ones."""

    centre: Float64Array
    axes: Float64Array
    weights: Float64Array
    typical: Float64Array
    spread: Float64Array

    def __call__(self, spectra: Float32Array) -> Float32Array:
        """Predict pixels (..., b) from spectra (..., B)."""
        folded = self.axes @ self.weights[:-1]
        return np.asarray(spectra @ folded.astype(np.float32) + (self.weights[-1] - self.centre @ folded).astype(np.float32))


@dataclass(frozen=True)
class Covered:
    """Pixels of the image that are interpolated from the cube. mask: (H, W). prediction: of the image. details: (b, b), covariance of the
    image's details, which interpolation does not give. hidden: (h, w), low-resolution pixels that see covered or hazy
    ones: they are not compared with the image, and what it shows there is predicted from the cube."""

    mask: Mask
    prediction: Prediction
    details: Float64Array
    hidden: Mask

    def predicted(self, spectra: Float32Array) -> Float32Array:
        return self.prediction(spectra)


def unexplained(pair: Pair) -> Mask | None:
    """Return the low-resolution pixels (h, w) that may show what the cube does not; None where there are none. The pair need not be
    registered, so that the usual error may be large."""
    prediction = _fitted(pair)
    return None if prediction is None else _affected(pair, prediction, *_SUSPECT)


def touched(pair: Pair, mask: Mask) -> Mask:
    """Return the low-resolution pixels (h, w) that see pixels of `mask` (H, W)."""
    return _weight(pair, mask) > _TOUCHED


def covered(pair: Pair, given: Mask | None) -> Covered | None:
    """Find covered pixels, and add those of `given` (H, W). None where there are none. The pair is registered."""
    if given is not None:
        pair = replace(pair, unused=touched(pair, given))
    prediction = _fitted(pair)
    if prediction is None:
        return None
    affected = _affected(pair, prediction, _SEED, _SEED_SHARE)
    if affected is None and given is None:
        return None
    zone = np.zeros(pair.low_shape[:2], bool) if affected is None else affected
    details = _details(pair, prediction, zone if pair.unused is None else zone | pair.unused)
    mask = _mask(pair, prediction, cv2.dilate(zone.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0, np.sqrt(np.diagonal(details)))
    if given is not None:
        mask |= given
    if not mask.any():
        return None
    reached = ((_weight(pair, mask) > _TOUCHED) | zone).astype(np.uint8)
    return Covered(mask, prediction, details, cv2.dilate(reached, np.ones((2 * _AROUND + 1,) * 2, np.uint8)) > 0)


def warn(covered: Covered, given: Mask | None) -> None:
    """Log which pixels are covered, beside those `given` (H, W)."""
    mask = covered.mask if given is None else covered.mask & ~given
    if not mask.any():
        return
    count, _, boxes, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    left, top, width, height, _ = max(boxes[1:].tolist(), key=lambda box: box[4])
    _logger.warning(
        "%.2g %% of the image does not match the cube (clouds, shadows, saturated pixels) and is interpolated from the cube: rows "
        "%d-%d, columns %d-%d%s",
        100 * float(mask.mean()), top, top + height - 1, left, left + width - 1, f" and {count - 2} smaller areas" if count > 2 else "",
    )  # fmt: skip


def _fitted(pair: Pair) -> Prediction | None:
    """Fit the prediction on rows from all over the scene; None where too few pixels are known."""
    h, w, _ = pair.low_shape
    rows = np.unique(np.linspace(0, h - 1, _ROWS).astype(int)).tolist()
    step = max(1, len(rows) * w // _SAMPLED)
    spectra, image = [], []
    for row in rows:
        low = pair.low((row, row + 1), (0, w))
        known = low.known[0]
        known[np.arange(w) % step > 0] = False
        spectra.append(low.spectra[0][known].astype(np.float64))
        image.append(low.image[0][known].astype(np.float64))
    x, y = np.concatenate(spectra), np.concatenate(image)
    if len(x) < _FEWEST:
        return None
    centre = x.mean(0)
    axes = components(x - centre)
    regressors = np.concatenate([(x - centre) @ axes, np.ones((len(x), 1))], 1)
    weights, typical = _robust(regressors, y)
    kept = _size(y - regressors @ weights, typical) < _SEED
    spread, mean = y[kept].std(0), y[kept].mean(0)
    return Prediction(centre, axes, weights, typical, np.where(varying_bands(mean, spread), spread, np.inf))


def _robust(x: Float64Array, y: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Regress y (n, b) on x (n, k) with weights that fall with a pixel's error. Returns weights (k, b) and the bands' typical errors."""
    trust = np.ones(len(x))
    for _ in range(_ITERATIONS):
        root = np.sqrt(trust)[:, None]
        weights = np.linalg.lstsq(x * root, y * root, rcond=None)[0]
        error = y - x @ weights
        typical = _typical(error, y)
        trust = 1 / np.square(1 + np.square(_size(error, typical) / _TUNING))
    return np.asarray(weights), typical


def _typical(error: Float64Array, y: Float64Array) -> Float64Array:
    """Return the bands' typical errors, by their median (1.4826: of a normal distribution), and above rounding error."""
    return np.maximum(1.4826 * np.median(np.abs(error), 0), 1e-6 * np.abs(y).max(0, initial=0) + 1e-30)


def _size(error: Float64Array, unit: Float64Array) -> Float64Array:
    return np.asarray(np.sqrt(np.square(error / unit).mean(-1)))


def _affected(pair: Pair, prediction: Prediction, least: float, least_share: float) -> Mask | None:
    """Return the low-resolution pixels (h, w) where the image shows something that the cube does not; None where there are none."""
    height, width, _ = pair.high_shape
    typical, share = (np.zeros(pair.low_shape[:2], np.float32) for _ in range(2))
    for rows, columns in blocks(pair):
        low = pair.low(rows, columns)
        inside = pair.psf.inside(*rows, height, pair.psf.dy)[:, None] * pair.psf.inside(*columns, width, pair.psf.dx) >= _INSIDE
        error = np.where((low.known & inside)[..., None], low.image - prediction(low.spectra), 0)
        window = slice(*rows), slice(*columns)
        typical[window], share[window] = _size(error, prediction.typical), _size(error, prediction.spread)
    seeds = (typical > least) & (share > least_share)
    if not seeds.any():
        return None
    zone = seeds.astype(np.uint8)
    around = np.ones((3, 3), np.uint8)
    for _ in range(_GROWN):
        zone = cv2.dilate(zone, around) & ((typical > _AFFECTED).astype(np.uint8) | zone)
    return zone > 0 if float(zone.mean()) <= _MOST else None


def _interpolated(pair: Pair, prediction: Prediction, rows: Span, columns: Span) -> Float32Array:
    """Return the prediction at the image's pixels of a low-resolution window."""
    ratio, (h, w, _) = pair.psf.ratio, pair.low_shape
    around = grown(rows, cubic.REACH + 1, h), grown(columns, cubic.REACH + 1, w)
    low = prediction(pair.spectra(*around)[0])
    high = (rows[0] * ratio, rows[1] * ratio), (columns[0] * ratio, columns[1] * ratio)
    return cubic.enlarged(low, around, high, (h, w), pair.psf)


def _details(pair: Pair, prediction: Prediction, zone: Mask) -> Float64Array:
    """Return the covariance (b, b), outside `zone` (h, w), of the image's details, which the interpolated prediction lacks."""
    (h, w, _), ratio, bands = pair.low_shape, pair.psf.ratio, pair.high_shape[2]
    products, count = np.zeros((bands, bands)), 0
    for row in np.unique(np.linspace(0, h - 1, _ROWS // 4).astype(int)).tolist():
        pixels, known = pair.pixels((row * ratio, (row + 1) * ratio), (0, w * ratio))
        clear = known & (~zone[row : row + 1] & pair.spectra((row, row + 1), (0, w))[1]).repeat(ratio, 0).repeat(ratio, 1)
        rest = (pixels - _interpolated(pair, prediction, (row, row + 1), (0, w)))[clear].astype(np.float64)
        products += rest.T @ rest
        count += len(rest)
    return products / max(1, count)


def _mask(pair: Pair, prediction: Prediction, zone: Mask, details: NDArray[np.floating]) -> Mask:
    """Return the image's pixels (H, W) in `zone` (h, w) whose error, at the cube's resolution, is no small one beside details, and whose
    own difference from the prediction is like it. That alone does not tell clouds from bright roofs."""
    (h, w, _), ratio = pair.low_shape, pair.psf.ratio
    mask, unit = np.zeros(pair.high_shape[:2], bool), np.maximum(details, 1e-30).astype(np.float32)
    for rows, columns in _windows(pair, zone):
        around = grown(rows, 1, h), grown(columns, 1, w)
        high = [(begin * ratio, end * ratio) for begin, end in around]
        pixels, known = pair.pixels(high[0], high[1])
        low = pair.low(*around)
        error = np.where(low.known[..., None], low.image - prediction(low.spectra), 0) / unit
        error = cubic.enlarged(error, around, (high[0], high[1]), (h, w), pair.psf)
        own = (pixels - _interpolated(pair, prediction, around[0], around[1])) / unit
        apart = np.square(error).mean(2) > _APART**2
        # next to a small cloud the interpolated error is large in clear pixels, too
        apart &= _closed((own * error).sum(2) > _OWN * np.square(error).sum(2))
        apart &= known & zone[slice(*around[0]), slice(*around[1])].repeat(ratio, 0).repeat(ratio, 1)
        top, left = (rows[0] - around[0][0]) * ratio, (columns[0] - around[1][0]) * ratio
        window = slice(rows[0] * ratio, rows[1] * ratio), slice(columns[0] * ratio, columns[1] * ratio)
        mask[window] = apart[top : top + window[0].stop - window[0].start, left : left + window[1].stop - window[1].start]
    return mask


def _closed(mask: Mask) -> Mask:
    return cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)) > 0


def _windows(pair: Pair, zone: Mask) -> Iterator[tuple[Span, Span]]:
    return (window for window in blocks(pair) if zone[slice(*window[0]), slice(*window[1])].any())


def _weight(pair: Pair, mask: Mask) -> Float32Array:
    """Return the share (h, w) of each low-resolution pixel's weight that falls on `mask` (H, W)."""
    (h, w, _), (height, width, _) = pair.low_shape, pair.high_shape
    weight = np.zeros((h, w), np.float32)
    for rows, columns in blocks(pair):
        (top, down), (left, across) = pair.psf.rows(*rows, height), pair.psf.columns(*columns, width)
        part = mask[top : top + down.shape[1], left : left + across.shape[1], None]
        if part.any():
            weight[slice(*rows), slice(*columns)] = apply(down, across, part.astype(np.float32))[..., 0]
    return weight
