"""Measures artefacts of fusion: edges that neither input has (halos), blackened surroundings, similarity to the visible frame by day.

All figures are computed on luma, L_v (visible), L_i (infrared) and L_f (fused), levels of 255.

halo: G_s(L) is the gradient magnitude (Sobel, divided by 8: levels per pixel) of L smoothed by a Gaussian of s pixels, truncated at 4 s,
    with mirrored borders. halo_s = sum max(0, G_s(L_f) - max(G_s(L_v), G_s(L_i))) / sum max(G_s(L_v), G_s(L_i)), for s = 3, 6, 12.
    0 is best: a mean of the two frames has 0. Bubbles around people, blocks and seams raise it.
warm: pixels where L_i is above its mean plus two standard deviations, dilated by 4 pixels in each direction.
blackened: the share of pixels with L_f < L_v / 2, among those that are not warm and have L_v > 40. 0 is best.
day: the mean of SSIM (Wang et al. 2004: Gaussian window of 11 x 11, 1.5 pixels; C1 = 6.5025, C2 = 58.5225; the picture mirrored at its
    border) between L_v and L_f over the pixels that are not warm. 1 is best.

`blackened` and `day` are meaningful for pairs taken by day; by night the visible frame has little to preserve.
"""

from __future__ import annotations

import math
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefuse.metrics.planes import SSIM_SIGMA, SSIM_WINDOW, Image, check, luma

SIGMAS = (3, 6, 12)  # pixels
DAYLIGHT = 50.0  # levels: smallest mean luma of the visible frame of a pair taken by day
_WARM_DEVIATIONS, _WARM_BORDER = 2.0, 4  # standard deviations; pixels
_LIT = 40  # levels: a darker pixel can't be blackened
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_LEAST = 1e-6

Double = NDArray[np.float64]


class Natural:
    """Compares fused pictures with one pair's inputs, which are prepared once. The module's docstring defines the figures."""

    def __init__(self, visible: Image, infrared: Image) -> None:
        """visible, infrared: uint8 (H, W) or (H, W, 3) BGR, of one size. Raises InputError for others."""
        check(visible=visible, infrared=infrared)
        self._visible, self._infrared = luma(visible), luma(infrared)

    @property
    def by_day(self) -> bool:
        """Whether the pair was taken by day: the visible frame's mean luma is `DAYLIGHT` or more."""
        return float(self._visible.mean()) >= DAYLIGHT

    def halo(self, fused: Image) -> tuple[float, ...]:
        """Return the halo at each of `SIGMAS`, 0 or more. fused: uint8 of the pair's size. Raises InputError for another."""
        picture = self._checked(fused)
        halos = []
        for sigma, (steepest, mean) in zip(SIGMAS, self._steepest, strict=True):
            halos.append(float(np.maximum(_steepness(picture, sigma) - steepest, 0).mean()) / mean)
        return tuple(halos)

    def blackened(self, fused: Image) -> float:
        """Return the blackened share, 0..1; NaN if no pixel is lit and not warm. fused: uint8 of the pair's size. Raises InputError."""
        picture = self._checked(fused)
        lit = self._cold & (self._visible > _LIT)
        if not lit.any():
            return math.nan
        # L_f < L_v / 2 in integers
        return float((picture[lit].astype(np.uint16) * 2 < self._visible[lit]).mean())

    def day(self, fused: Image) -> float:
        """Return the mean SSIM, -1..1; NaN if all pixels are warm. fused: uint8 of the pair's size. Raises InputError for another."""
        picture = self._checked(fused).astype(np.float64)
        if not self._cold.any():
            return math.nan
        visible, mean, variance = self._moments
        fused_mean = _window(picture)
        fused_variance = _window(picture * picture) - fused_mean * fused_mean
        covariance = _window(visible * picture) - mean * fused_mean
        ssim = (2 * mean * fused_mean + _C1) * (2 * covariance + _C2)
        ssim /= (mean * mean + fused_mean * fused_mean + _C1) * (variance + fused_variance + _C2)
        return float(ssim[self._cold].mean())

    def _checked(self, fused: Image) -> Image:
        check(visible=self._visible, fused=fused)
        return luma(fused)

    @cached_property
    def _steepest(self) -> list[tuple[Double, float]]:
        """The larger of the inputs' gradients, float64 (H, W), and its mean, for each of `SIGMAS`."""
        gradients = []
        for sigma in SIGMAS:
            steepest = np.maximum(_steepness(self._visible, sigma), _steepness(self._infrared, sigma))
            gradients.append((steepest, max(float(steepest.mean()), _LEAST)))
        return gradients

    @cached_property
    def _cold(self) -> NDArray[np.bool_]:
        warm = self._infrared > self._infrared.mean() + _WARM_DEVIATIONS * self._infrared.std()
        side = 2 * _WARM_BORDER + 1
        widened: Image = cv2.dilate(warm.astype(np.uint8), np.ones((side, side), np.uint8))
        return widened == 0

    @cached_property
    def _moments(self) -> tuple[Double, Double, Double]:
        """The visible luma, its local mean and its local variance, float64 (H, W)."""
        visible = self._visible.astype(np.float64)
        mean = _window(visible)
        return visible, mean, _window(visible * visible) - mean * mean


def _steepness(picture: Image, sigma: float) -> Double:
    """Gradient magnitude of the smoothed picture, levels per pixel, float64 (H, W)."""
    # float64, because rounding errors in float32 exceed the gradients of a flat picture
    smooth = cv2.GaussianBlur(picture.astype(np.float64), (0, 0), sigma)
    right, down = (cv2.Sobel(smooth, cv2.CV_64F, dx, 1 - dx, scale=1 / 8) for dx in (1, 0))
    length: Double = cv2.magnitude(right, down)
    return length


def _window(picture: Double) -> Double:
    """SSIM's Gaussian mean around each pixel, float64 (H, W)."""
    mean: Double = cv2.GaussianBlur(picture, (SSIM_WINDOW, SSIM_WINDOW), SSIM_SIGMA)
    return mean
