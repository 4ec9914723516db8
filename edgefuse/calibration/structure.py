"""Features that both cameras share: the directions of edges, independent of contrast and of which side is brighter."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edgefuse.calibration.registration import Size
from edgefuse.util.arrays import Float32Array

_BLUR = 0.7  # pixels, before and after the gradient is squared
_LEAST = 0.05  # squared grey levels per pixel: below this there is only rounding noise
_SQUARE = np.ones((5, 5), np.uint8)


@dataclass(frozen=True, slots=True)
class Structure:
    """The structure tensor's orientation, as twice its angle, weighted by its strength: float32 (H, W) each.

    cos, sin: in [-1, 1], length 1 where an edge is far above the noise. mask: 1 inside the picture's valid area.
    """

    cos: Float32Array
    sin: Float32Array
    mask: Float32Array

    @property
    def energy(self) -> Float32Array:
        return self.cos * self.cos + self.sin * self.sin


def structure(picture: Float32Array, mask: Float32Array) -> Structure:
    """Compute the structure. picture: float32 (H, W), grey levels. mask: float32 (H, W), 1 in the valid area."""
    smooth = cv2.GaussianBlur(picture, (0, 0), _BLUR)
    gx, gy = (cv2.Scharr(smooth, cv2.CV_32F, *d, scale=1 / 32) for d in ((1, 0), (0, 1)))
    inside = (cv2.erode(mask, _SQUARE, borderType=cv2.BORDER_CONSTANT, borderValue=0) > 0.99).astype(np.float32)
    # twice the angle, so that edges of both polarities have the same direction
    parts = (gx * gx - gy * gy) * inside, 2 * gx * gy * inside, (gx * gx + gy * gy) * inside
    cos, sin, strength = (cv2.GaussianBlur(p, (0, 0), _BLUR) for p in parts)
    within = strength[inside > 0]
    # most of a picture has no edges, so the median strength is noise and texture
    noise = max(_LEAST, float(np.median(within))) if within.size else 1.0
    gain = 1 / (strength + np.float32(noise))
    return Structure(cos * gain, sin * gain, inside)


def reduced(picture: Float32Array, size: Size) -> Float32Array:
    """Resize the picture to (width, height) by area; unchanged where it has that size."""
    if picture.shape == size[::-1]:
        return picture
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.float32)


def warped(picture: Float32Array, homography: np.ndarray, size: Size, border: int = cv2.BORDER_REPLICATE) -> Float32Array:
    """Warp the picture by `homography` into a frame of `size`, low-pass filtered first where that shrinks it."""
    scale = float(np.sqrt(abs(np.linalg.det(homography[:2, :2]))))
    if scale < 0.75:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), 0.5 * np.sqrt(1 / scale**2 - 1)), np.float32)
    return np.asarray(cv2.warpPerspective(picture, homography, size, flags=cv2.INTER_LINEAR, borderMode=border), np.float32)
