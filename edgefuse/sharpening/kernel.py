"""How alike two places are: by what the image shows there, and by how far apart they lie. Fixed; `Features` is where a network plugs in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgefuse.sharpening.trend import Trend

Floats = NDArray[np.float32]
Features = Callable[[Floats], Floats]
"""Whitened pixels (n, b), by falling variance, to features (n, d) in -10..10: places are alike where these lie within 1 or so."""

# chosen on seven of the scenes that benchmarks/sharpen.py measures, looked at on the others
_ALIKE = 14.0  # standard deviations of the image
_SOFT = 60.0  # standard deviations beyond which an outlier is drawn in
_FLOOR = 1e-3  # of the largest variance: what an axis of the image must show to be told from noise
_NEAR = 12.0  # low-resolution pixels
_SLOPE = 14.0  # per feature
_ROUND = np.float32(2e-3)  # squared distance of features below which the cusp is blunt


def fixed(whitened: Floats) -> Floats:
    """The features where no network is: the whitened pixels, outliers drawn in."""
    return np.asarray(whitened / (_ALIKE * np.sqrt(1 + np.square(whitened / _SOFT))), np.float32)


@dataclass(frozen=True, slots=True)
class Kernel:
    """exp(-|f - g|) exp(-|y - v| / near) exp(-|x - u| / near) + slope^2 f g, of features f, g and places (y, x), (v, u).

    The exponentials' cusps are what counts: borders between fields are sharp. The products let what the trend leaves of a tile
    have a slope of its own along each feature, as mixtures of a few materials do. near: low-resolution pixels.
    """

    features: Features = fixed
    near: float = _NEAR
    slope: float = _SLOPE

    def points(self, trend: Trend, pixels: Floats) -> Floats:
        """pixels (n, b) of the image -> features (n, d)."""
        floor = _FLOOR * float(trend.spread.max(initial=0))
        with np.errstate(divide="ignore"):
            scale = np.where(trend.spread > 0, 1 / np.sqrt(trend.spread + floor), 0).astype(np.float32)
        return np.asarray(self.features((((pixels - trend.centre) @ trend.axes) * scale).astype(np.float32)), np.float32)

    def similarity(self, points: Points, cells: Cells, out: Floats) -> Floats:
        """Without the products, of n points and (p r) cells, into `out` (n, p r)."""
        a, b = points.features, cells.features
        half_a, half_b = (np.square(p).sum(1, keepdims=True) for p in (a, b))
        ones_a, ones_b = np.ones_like(half_a), np.ones_like(half_b)
        # |a - b|^2 in one product
        np.matmul(np.concatenate([-2 * a, half_a + _ROUND, ones_a], 1), np.concatenate([b, ones_b, half_b], 1).T, out=out)
        # never below 0: features are bounded, and _ROUND is far more than rounding makes of their squares
        np.sqrt(out, out=out)
        solid = out.reshape(len(a), len(cells.y), len(cells.x))
        np.subtract((np.abs(points.y[:, None] - cells.y) / np.float32(-self.near))[:, :, None], solid, out=solid)
        solid -= (np.abs(points.x[:, None] - cells.x) / np.float32(self.near))[:, None, :]
        return np.exp(out, out=out)

    def leaning(self, features: Floats) -> Floats:
        """What has the products: (n, d)."""
        return np.asarray(features * np.float32(self.slope))


@dataclass(frozen=True, slots=True)
class Points:
    """features (n, d). y, x (n,): rows and columns, in low-resolution pixels."""

    features: Floats
    y: Floats
    x: Floats

    def __getitem__(self, part: slice) -> Points:
        return Points(self.features[part], self.y[part], self.x[part])


@dataclass(frozen=True, slots=True)
class Cells:
    """A grid of p by r points: features (p r, d), rows y (p,), columns x (r,)."""

    features: Floats
    y: Floats
    x: Floats

    def rows(self, part: slice) -> Points:
        """The cells of some rows, as points."""
        width = len(self.x)
        y, x = np.meshgrid(self.y[part], self.x, indexing="ij")
        return Points(self.features[part.start * width : part.stop * width], y.reshape(-1), x.reshape(-1))
