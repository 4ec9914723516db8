"""How alike two places are: by what the image shows there, and by how far apart they lie."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np

from edgefuse.sharpening.trend import Trend
from edgefuse.util.arrays import Float32Array

# chosen on seven of the scenes that benchmarks/sharpen.py measures, looked at on the others
_ALIKE = 14.0  # standard deviations of the image
_SOFT = 60.0  # standard deviations beyond which an outlier is drawn in
# what an axis of the image must show to count: of the largest variance, and of the image's noise
_FLOOR, _NOISE = 1e-3, 20.0
_NEAR = 12.0  # low-resolution pixels
MANY = 6  # bands of an image, which leave little to tell
_FOR_MANY = 24.0, 0.5  # near and slope


class Shown(NamedTuple):
    """What a window of the image shows."""

    alike: Float32Array
    """(H, W, d), in -10..10: places are alike where these lie within 1 or so"""
    leaning: Float32Array
    """(H, W, e): the trend's residual may lean along each of these"""
    loud: Float32Array
    """(H, W): how large the residual is, 1 in most places"""


class Features(Protocol):
    """margin: pixels that are looked at beyond the window, to each side. left: components of what the trend leaves that are looked at."""

    @property
    def margin(self) -> int: ...

    @property
    def left(self) -> int: ...

    def __call__(self, whitened: Float32Array, left: Float32Array) -> Shown:
        """The image's principal axes by falling variance, each of variance 1 or below: (H + 2 margin, W + 2 margin, b). Components that the
        trend leaves, in standard deviations, interpolated: (H + 2 margin, W + 2 margin, left)."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """The whitened pixels, outliers drawn in. slope: how far the residual leans along them."""

    slope: float = 1.0
    margin: int = 0
    left: int = 0

    def __call__(self, whitened: Float32Array, left: Float32Array) -> Shown:
        soft = np.asarray(whitened / np.sqrt(1 + np.square(whitened / _SOFT)), np.float32)
        return Shown(soft / np.float32(_ALIKE), soft * np.float32(self.slope), np.ones(soft.shape[:2], np.float32))


@dataclass(frozen=True, slots=True)
class Kernel:
    """a b exp(-|y - v| / near) exp(-|x - u| / near) / (1 + |f - g|) + p q, of what is shown (f, p, a), (g, q, b) at places (y, x), (v, u).

    The cusp where f is g is what counts: borders between fields are sharp. The products let what the trend leaves of a tile have a slope
    of its own along each feature, as mixtures of a few materials do. near: low-resolution pixels.
    """

    features: Features = field(default_factory=Fixed)
    near: float = _NEAR

    def whitened(self, trend: Trend, pixels: Float32Array) -> Float32Array:
        """pixels (..., b) of the image along its principal axes (..., b)."""
        floor = max(_FLOOR * float(trend.spread.max(initial=0)), _NOISE * trend.noise)
        with np.errstate(divide="ignore"):
            scale = np.where(trend.spread > 0, 1 / np.sqrt(trend.spread + floor), 0).astype(np.float32)
        return np.asarray(((pixels - trend.centre) @ trend.axes) * scale, np.float32)


def fixed(bands: int) -> Kernel:
    """For an image of so many bands."""
    near, slope = _FOR_MANY if bands >= MANY else (_NEAR, 1.0)
    return Kernel(Fixed(slope), near)
