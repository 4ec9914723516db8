"""The cube as a linear function of the image, and components of what that leaves: one pass over both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from edgefuse.errors import CubeError
from edgefuse.sharpening.pair import Pair, Span
from edgefuse.util.arrays import Float32Array, Float64Array

_BLOCK = 12_000_000  # bytes of spectra at a time
_QUIET, _ALIKE = 1e-6, 0.375  # of the mean variance; the power of a variance that a band is divided by
_ROUNDING = 1e-7  # of the largest variance of a component
_FLAT = 1e-12  # of the mean's square
_MIDDLE = 256  # of the image's pixels to a side, of which its noise is told
_SECOND, _ANY = (np.array(w, np.float32) for w in ([1, -2, 1], [1, 1, 1]))


@dataclass(frozen=True, slots=True)
class Trend:
    """weights: (b + 1, B), the last row for a constant. analysis: (B, k), of what is left of a spectrum into components, uncorrelated and
    by falling variance `variances` (k,). components: (B, k), what a band has of each, in the cube's units. rest: mean over the bands of the
    variance that no component holds. centre: (b,), axes: (b, b), by falling variances `spread` (b,): of the image's own pixels.
    explained: share of the cube's variance that the image explains, 0..1, corrected for chance. correlations: (b, B), of the image's
    bands and the cube's. seen: low-resolution pixels used. floor: (B,), 0 for a band of which the cube has nothing below: so has nothing
    that is sharper; else minus infinity. noise: variance of the image's own, along the axis that has least."""

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
        """(n, b) -> (n, B)."""
        return np.asarray(pixels @ self.weights[:-1] + self.weights[-1])

    def residual(self, spectra: Float32Array, pixels: Float32Array) -> Float32Array:
        """What the trend leaves of spectra (n, B), by components (n, k)."""
        return np.asarray((spectra - self.spectra(pixels)) @ self.analysis)

    def leading(self, residual: Float32Array, count: int) -> Float32Array:
        """The first `count` of components (..., k) in standard deviations, (..., count), those of rounding drawn in; 0 where there are no
        more."""
        found = np.zeros((*residual.shape[:-1], count), np.float32)
        kept = min(count, residual.shape[-1])
        variances = self.variances[:kept] + _ROUNDING * self.variances[0]
        found[..., :kept] = residual[..., :kept] / np.sqrt(np.maximum(variances, 1e-30)).astype(np.float32)
        return found


class _Moments:
    """Sums of columns and their products, about a place near their mean."""

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
    """The low-resolution cube in windows of bounded memory."""
    h, w, bands = pair.low_shape
    width = min(w, max(16, _BLOCK // (4 * bands * 8)))
    height = max(1, _BLOCK // (4 * bands * width))
    for top in range(0, h, height):
        for left in range(0, w, width):
            yield (top, min(h, top + height)), (left, min(w, left + width))


def fitted(pair: Pair, count: int) -> Trend:
    """At most `count` components. Raises CubeError where too little is known of either."""
    few, bands = pair.high_shape[2], pair.low_shape[2]
    both, image = _Moments(few + bands), _Moments(few)
    ratio, least = pair.psf.ratio, np.full(bands, np.inf)
    for rows, columns in blocks(pair):
        low = pair.low(rows, columns)
        least = np.minimum(least, low.spectra[low.known].min(0, initial=np.inf))
        both.add(np.concatenate([low.image[low.known], low.spectra[low.known]], 1).astype(np.float64))
        pixels, there = pair.pixels((rows[0] * ratio, rows[1] * ratio), (columns[0] * ratio, columns[1] * ratio))
        image.add(pixels[there].astype(np.float64))
    if both.count < 2 * (few + 2):
        raise CubeError(
            f"the cube and the image share {both.count} low-resolution pixels without missing samples; at least {2 * (few + 2)} are needed "
            f"for an image of {few} bands"
        )
    mean, covariance = both.mean, both.covariance
    xx, xy, yy = covariance[:few, :few], covariance[:few, few:], covariance[few:, few:]
    spread, axes = _axes(image.covariance)
    noise = _noise(pair, image.mean, axes)
    # low-resolution pixels hide the noise that the image's own show: without it bands that are alike get large weights of either sign
    slopes = np.linalg.pinv(xx + noise * np.eye(few), rcond=1e-12, hermitian=True) @ xy
    left = yy - xy.T @ slopes - slopes.T @ xy + slopes.T @ xx @ slopes
    scale = _scale(left.diagonal())
    variances, vectors = _axes((left + left.T) / 2 / scale / scale[:, None])
    kept = min(count, bands)
    variances, vectors = np.maximum(variances[: -kept - 1 : -1], 0), vectors[:, : -kept - 1 : -1]
    components = vectors * scale[:, None]
    held = np.square(components).sum(0) @ variances
    total, freedom = float(np.trace(yy)), both.count - few - 1
    # each slope explains a little of anything
    chance = float(np.trace(left)) * (both.count - 1) / max(1, freedom)
    return Trend(
        np.concatenate([slopes, mean[None, few:] - mean[None, :few] @ slopes]).astype(np.float32),
        np.ascontiguousarray(vectors / scale[:, None], np.float32), np.ascontiguousarray(components, np.float32), variances,
        max(0.0, float(np.trace(left)) - float(held)) / bands,
        image.mean.astype(np.float32), np.ascontiguousarray(axes[:, ::-1], np.float32), np.maximum(spread[::-1], 0),
        # of a flat cube rounding is left, of which nothing is to be explained
        min(1.0, max(0.0, 1 - chance / total)) if total > _FLAT * float(np.square(mean[few:]).sum()) else 1.0,
        xy / np.sqrt(np.maximum(np.outer(xx.diagonal(), yy.diagonal()), 1e-30)), both.count,
        np.where(least < 0, -np.inf, 0).astype(np.float32), noise,
    )  # fmt: skip


def _axes(covariance: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Variances, rising, and axes. Each points where it says most: the kernel's network tells it from its opposite, and units turn none."""
    variances, axes = np.linalg.eigh(covariance)
    most = (axes**3).sum(0)
    # where both ways say as much, as of two bands' difference, rounding would choose: there the first large part is positive
    first = np.take_along_axis(axes, (np.abs(axes) > 0.5 * np.abs(axes).max(0)).argmax(0)[None], 0)[0]
    return variances, axes * np.where(np.where(np.abs(most) > 1e-9, most, first) < 0, -1, 1)


def _scale(variances: Float64Array) -> Float64Array:
    """What bands are divided by before components are sought: else those that are loud, or noisy, are all that counts. Not quite their
    standard deviations: of bands of which next to nothing is left, that is noise."""
    mean = float(variances.mean())
    return np.asarray((np.maximum(variances, 0) + _QUIET * mean) ** _ALIKE) if mean > 0 else np.ones(len(variances))


def _noise(pair: Pair, centre: Float64Array, axes: Float64Array) -> float:
    """Of the image's middle, the median of what second differences both ways leave (Immerkaer 1996, made robust): 0 for slopes and edges
    along rows and columns."""
    spans = [((n - side) // 2, (n + side) // 2) for n in pair.high_shape[:2] for side in (min(n, _MIDDLE),)]
    pixels, there = pair.pixels(*spans)
    if min(there.shape) < 3:
        return 0.0
    turned = (pixels - centre.astype(np.float32)) @ axes.astype(np.float32)
    left, whole = _both_ways(turned, _SECOND), _both_ways((~there).astype(np.float32), _ANY) == 0
    if not whole.any():
        return 0.0
    # 6: the root of the summed squares of the weights; 0.6745: a normal distribution's median distance
    return float((np.median(np.abs(left[whole]), 0).min() / (6 * 0.6745)) ** 2)


def _both_ways(x: Float32Array, weights: Float32Array) -> Float32Array:
    for _ in range(2):
        x = np.moveaxis(weights[0] * x[:-2] + weights[1] * x[1:-1] + weights[2] * x[2:], 1, 0)
    return x
