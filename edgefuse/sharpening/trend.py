"""The trend: linear regression of the cube on the image, and principal components of its residual, in one pass over both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from edgefuse.errors import CubeError
from edgefuse.sharpening.pair import Pair, Span
from edgefuse.util.arrays import Float32Array, Float64Array

_BLOCK = 12_000_000  # bytes of spectra read at a time
_QUIET, _ALIKE = 1e-6, 0.375  # scaling of bands: floor as a share of the mean variance, exponent of the variance
_ROUNDING = 1e-7  # share of the largest component's variance that is added to all, above rounding error
_FLAT = 1e-12  # a cube is flat if its variance is below this share of the squared mean
_MIDDLE = 256  # side of the central window on which the image's noise is estimated, in its pixels
_SECOND, _ANY = (np.array(w, np.float32) for w in ([1, -2, 1], [1, 1, 1]))


@dataclass(frozen=True, slots=True)
class Trend:
    """Regression of the cube on the image, and components of the residual.

    weights: (b + 1, B), the last row is the constant. analysis: (B, k), maps residual spectra to uncorrelated components of falling
    variances `variances` (k,). components: (B, k), maps components back to bands, in the cube's units. rest: variance outside the
    components, mean over the bands. centre: (b,), axes: (b, b), with falling variances `spread` (b,): principal axes of the image's
    pixels. explained: share of the cube's variance that the image explains, 0..1, adjusted for the number of bands. correlations: (b, B),
    of the image's bands with the cube's. seen: low-resolution pixels used. floor: (B,), lower limit of a sharpened band: 0 where the cube
    has no negative sample, else minus infinity. noise: noise variance of the image, along the axis where it is smallest.
    """

    weights: Float32Array
    analysis: Float32Array
    components: Float32Array
    variances: Float64Array
    rest: float
    centre: Float32Array
    axes: Float32Array
    spread: Float64Array
    explained: float
    correlations: Float64Array
    seen: int
    floor: Float32Array
    noise: float

    def spectra(self, pixels: Float32Array) -> Float32Array:
        """Predict spectra (n, B) from the image's pixels (n, b)."""
        return np.asarray(pixels @ self.weights[:-1] + self.weights[-1])

    def residual(self, spectra: Float32Array, pixels: Float32Array) -> Float32Array:
        """Return the components (n, k) of the residual of spectra (n, B) at the image's pixels (n, b)."""
        return np.asarray((spectra - self.spectra(pixels)) @ self.analysis)

    def leading(self, residual: Float32Array, count: int) -> Float32Array:
        """Return the first `count` of components (..., k), in standard deviations, (..., count). Components of rounding error are damped;
        those beyond k are 0."""
        scaled = np.zeros((*residual.shape[:-1], count), np.float32)
        kept = min(count, residual.shape[-1])
        variances = self.variances[:kept] + _ROUNDING * self.variances[0]
        scaled[..., :kept] = residual[..., :kept] / np.sqrt(np.maximum(variances, 1e-30)).astype(np.float32)
        return scaled


class _Moments:
    """Running mean and covariance of columns; sums are kept about a value near the mean, for precision."""

    def __init__(self, size: int) -> None:
        self.count = 0
        self._about: Float64Array | None = None
        self._sum, self._products = np.zeros(size), np.zeros((size, size))

    def add(self, rows: Float64Array) -> None:
        if not len(rows):
            return
        if self._about is None:
            self._about = rows.mean(0)
        rows = rows - self._about
        self.count += len(rows)
        self._sum += rows.sum(0)
        self._products += rows.T @ rows

    @property
    def mean(self) -> Float64Array:
        assert self._about is not None
        return np.asarray(self._about + self._sum / self.count)

    @property
    def covariance(self) -> Float64Array:
        m = self._sum / self.count
        return np.asarray(self._products / self.count - np.outer(m, m))


def blocks(pair: Pair) -> Iterator[tuple[Span, Span]]:
    """Yield windows of the low-resolution cube of bounded memory."""
    h, w, bands = pair.low_shape
    width = min(w, max(16, _BLOCK // (4 * bands * 8)))
    height = max(1, _BLOCK // (4 * bands * width))
    for top in range(0, h, height):
        for left in range(0, w, width):
            yield (top, min(h, top + height)), (left, min(w, left + width))


def fitted(pair: Pair, count: int) -> Trend:
    """Fit the trend with at most `count` components. Raises CubeError where too few pixels are known in both."""
    image_bands, bands = pair.high_shape[2], pair.low_shape[2]
    both, image = _Moments(image_bands + bands), _Moments(image_bands)
    ratio, least = pair.psf.ratio, np.full(bands, np.inf)
    for rows, columns in blocks(pair):
        low = pair.low(rows, columns)
        least = np.minimum(least, low.spectra[low.known].min(0, initial=np.inf))
        both.add(np.concatenate([low.image[low.known], low.spectra[low.known]], 1).astype(np.float64))
        pixels, valid = pair.pixels((rows[0] * ratio, rows[1] * ratio), (columns[0] * ratio, columns[1] * ratio))
        image.add(pixels[valid].astype(np.float64))
    if both.count < 2 * (image_bands + 2):
        raise CubeError(
            f"the cube and the image share {both.count} low-resolution pixels without missing samples; at least "
            f"{2 * (image_bands + 2)} are needed for an image of {image_bands} bands"
        )
    mean, covariance = both.mean, both.covariance
    xx, xy, yy = covariance[:image_bands, :image_bands], covariance[:image_bands, image_bands:], covariance[image_bands:, image_bands:]
    spread, axes = _axes(image.covariance)
    noise = _noise(pair, image.mean, axes)
    # ridge term: averaged pixels hide the image's noise, and without it correlated bands get large weights of either sign
    slopes = np.linalg.pinv(xx + noise * np.eye(image_bands), rcond=1e-12, hermitian=True) @ xy
    residual = yy - xy.T @ slopes - slopes.T @ xy + slopes.T @ xx @ slopes
    scale = _scale(residual.diagonal())
    variances, vectors = _axes((residual + residual.T) / 2 / scale / scale[:, None])
    kept = min(count, bands)
    variances, vectors = np.maximum(variances[: -kept - 1 : -1], 0), vectors[:, : -kept - 1 : -1]
    components = vectors * scale[:, None]
    kept_variance = np.square(components).sum(0) @ variances
    total, freedom = float(np.trace(yy)), both.count - image_bands - 1
    # adjust for what each regressor explains by chance
    chance = float(np.trace(residual)) * (both.count - 1) / max(1, freedom)
    return Trend(
        np.concatenate([slopes, mean[None, image_bands:] - mean[None, :image_bands] @ slopes]).astype(np.float32),
        np.ascontiguousarray(vectors / scale[:, None], np.float32), np.ascontiguousarray(components, np.float32), variances,
        max(0.0, float(np.trace(residual)) - float(kept_variance)) / bands,
        image.mean.astype(np.float32), np.ascontiguousarray(axes[:, ::-1], np.float32), np.maximum(spread[::-1], 0),
        # the variance of a flat cube is rounding error
        min(1.0, max(0.0, 1 - chance / total)) if total > _FLAT * float(np.square(mean[image_bands:]).sum()) else 1.0,
        xy / np.sqrt(np.maximum(np.outer(xx.diagonal(), yy.diagonal()), 1e-30)), both.count,
        np.where(least < 0, -np.inf, 0).astype(np.float32), noise,
    )  # fmt: skip


def _axes(covariance: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Return rising variances and axes. Signs are fixed by the third moment, for the kernel network, independently of units."""
    variances, axes = np.linalg.eigh(covariance)
    skewness = (axes**3).sum(0)
    # where the third moment vanishes, as for a difference of two bands, the first large coefficient is made positive
    leading = np.take_along_axis(axes, (np.abs(axes) > 0.5 * np.abs(axes).max(0)).argmax(0)[None], 0)[0]
    return variances, axes * np.where(np.where(np.abs(skewness) > 1e-9, skewness, leading) < 0, -1, 1)


def _scale(variances: Float64Array) -> Float64Array:
    """Return the divisors of bands before the principal component analysis, so that strong or noisy bands do not dominate.

    A power below that of a standard deviation, because bands with a tiny residual hold mostly noise.
    """
    mean = float(variances.mean())
    return np.asarray((np.maximum(variances, 0) + _QUIET * mean) ** _ALIKE) if mean > 0 else np.ones(len(variances))


def _noise(pair: Pair, centre: Float64Array, axes: Float64Array) -> float:
    """Estimate the image's noise variance from second differences along both axes (Immerkaer 1996, with a median instead of a mean).

    Slopes and edges along rows and columns contribute nothing. Uses the central window.
    """
    spans = [((n - side) // 2, (n + side) // 2) for n in pair.high_shape[:2] for side in (min(n, _MIDDLE),)]
    pixels, valid = pair.pixels(*spans)
    if min(valid.shape) < 3:
        return 0.0
    rotated = (pixels - centre.astype(np.float32)) @ axes.astype(np.float32)
    filtered, complete = _both_ways(rotated, _SECOND), _both_ways((~valid).astype(np.float32), _ANY) == 0
    if not complete.any():
        return 0.0
    # 6: norm of the filter's weights; 0.6745: median absolute deviation of a standard normal distribution
    return float((np.median(np.abs(filtered[complete]), 0).min() / (6 * 0.6745)) ** 2)


def _both_ways(x: Float32Array, weights: Float32Array) -> Float32Array:
    for _ in range(2):
        x = np.moveaxis(weights[0] * x[:-2] + weights[1] * x[1:-1] + weights[2] * x[2:], 1, 0)
    return x
