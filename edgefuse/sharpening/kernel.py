"""Covariance function of the kriging: depends on the image's features at two places and on their distance."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np

from edgefuse.sharpening.trend import Trend
from edgefuse.util.arrays import Float32Array

# chosen on seven of the scenes that benchmarks/sharpen.py measures, checked on the others
_SIMILARITY = 14.0  # length scale of the features, in standard deviations of the image
_SOFT = 60.0  # outliers are compressed to this many standard deviations
# regularises the whitening of the image: shares of the largest variance, and of the noise variance
_FLOOR, _NOISE = 1e-3, 20.0
_NEAR = 12.0  # length scale of the distance, in low-resolution pixels
MANY = 6  # bands of an image, from which on the trend leaves little to krige
_FOR_MANY = 24.0, 0.5  # near and slope for such images


class WindowFeatures(NamedTuple):
    """Features of a window of the image."""

    similarity: Float32Array
    """(H, W, d), in -10..10: features of the stationary part; two places are similar where they differ by less than about 1"""
    slopes: Float32Array
    """(H, W, e): features along which the trend's residual may have a linear slope"""
    scale: Float32Array
    """(H, W): scale of the residual, 1 in most places"""


class Features(Protocol):
    """Computes features. margin: pixels needed beyond the window on each side. left: components of the trend's residual that are used."""

    @property
    def margin(self) -> int: ...

    @property
    def left(self) -> int: ...

    def __call__(self, whitened: Float32Array, left: Float32Array) -> WindowFeatures:
        """Compute the features of a window.

        whitened: (H + 2 margin, W + 2 margin, b), the image's principal components by falling variance, each of variance 1 or below.
        left: (H + 2 margin, W + 2 margin, left), components of the trend's residual, in standard deviations, interpolated.
        """


@dataclass(frozen=True, slots=True)
class FixedFeatures:
    """Whitened pixels with compressed outliers as features. slope: standard deviation of the residual's slope along them."""

    slope: float = 1.0
    margin: int = 0
    left: int = 0

    def __call__(self, whitened: Float32Array, left: Float32Array) -> WindowFeatures:
        soft = np.asarray(whitened / np.sqrt(1 + np.square(whitened / _SOFT)), np.float32)
        return WindowFeatures(soft / np.float32(_SIMILARITY), soft * np.float32(self.slope), np.ones(soft.shape[:2], np.float32))


@dataclass(frozen=True, slots=True)
class Kernel:
    """Covariance a b exp(-|y - v| / near) exp(-|x - u| / near) / (1 + |f - g|) + p q of places (y, x) and (v, u).

    f and g are the features `WindowFeatures.similarity` at the two places, p and q the features `slopes`, a and b the factor `scale`. The
    cusp at f = g matters: borders between fields are sharp. The product term p q gives each tile's residual a linear slope along the
    features, as mixtures of a few materials have. near: length scale in low-resolution pixels.
    """

    features: Features = field(default_factory=FixedFeatures)
    near: float = _NEAR

    def whitened(self, trend: Trend, pixels: Float32Array) -> Float32Array:
        """Project pixels (..., b) of the image onto its principal axes, scaled to a variance of 1 or below (..., b)."""
        floor = max(_FLOOR * float(trend.spread.max(initial=0)), _NOISE * trend.noise)
        with np.errstate(divide="ignore"):
            scale = np.where(trend.spread > 0, 1 / np.sqrt(trend.spread + floor), 0).astype(np.float32)
        return np.asarray(((pixels - trend.centre) @ trend.axes) * scale, np.float32)


def fixed(bands: int) -> Kernel:
    """Return the kernel with fixed features for an image of `bands` bands."""
    near, slope = _FOR_MANY if bands >= MANY else (_NEAR, 1.0)
    return Kernel(FixedFeatures(slope), near)
