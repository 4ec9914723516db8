"""Computes the textbook metrics, on luma. VIFB's variants of the same names are in `edgefuse.metrics.fusion.benchmark`.

All functions take uint8 pictures of one size, (H, W) or (H, W, 3) BGR, as (visible, infrared, fused), and raise InputError for others.
Metrics of the fused picture alone (en, sd, sf, ag) take all three, too, so that all metrics have the same arguments.
"""

from __future__ import annotations

import cv2
import numpy as np

from edgefuse.metrics.contrast import ratio
from edgefuse.metrics.fusion import benchmark
from edgefuse.metrics.fusion.benchmark import Measure, sigmoid
from edgefuse.metrics.planes import VIF_WINDOWS, Image, Inputs, Plane, sobel, window
from edgefuse.util.arrays import Float64Array

VIF_SMALLEST = 41  # the four windows must lie inside the four scales
SMALLEST = VIF_SMALLEST
_SENSOR_NOISE = 2.0  # VIF's sigma_n^2, levels squared
_TINY = 1e-10


def psnr(visible: Image, infrared: Image, fused: Image) -> float:
    """PSNR in dB, higher is better: 10 log10(255^2 / MSE), where MSE is the mean over both inputs; infinite if it is 0.

    Source: Ma, Ma and Li, Infrared and visible image fusion methods and applications: a survey, Information Fusion 2019.
    """
    return _one(mean_psnr, visible, infrared, fused)


def rmse(visible: Image, infrared: Image, fused: Image) -> float:
    """Mean of the root mean square errors to both inputs, in levels of 255, lower is better (Ma, Ma and Li 2019)."""
    return _one(mean_rmse, visible, infrared, fused)


def ssim(visible: Image, infrared: Image, fused: Image) -> float:
    """Mean of the structural similarities to both inputs, -1..1, higher is better. Raises InputError below 11 x 11 pixels.

    Source: Wang et al., IEEE Transactions on Image Processing 2004, Eq. 13, Gaussian window of 11 x 11, sigma 1.5.
    """
    return _one(mean_ssim, visible, infrared, fused, benchmark.SMALLEST)


def ssim_a(visible: Image, infrared: Image, fused: Image) -> float:
    """Equal to `ssim`: NestFuse's name for the mean of SSIM(F, V) and SSIM(F, I) (Li, Wu and Durrani 2020)."""
    return ssim(visible, infrared, fused)


def vif(visible: Image, infrared: Image, fused: Image) -> float:
    """Visual information fidelity (VIFp, pixel domain): the sum over both inputs, 0 to about 2, higher is better.

    Source: Sheikh and Bovik, IEEE Transactions on Image Processing 2006, their vifp_mscale: four scales, noise variance 2. Fusion papers
    report the sum over both inputs (SeAFusion's evaluation; NestFuse's values have that magnitude). An input without details counts as 1,
    because no information can be lost. Raises InputError below 41 x 41 pixels.
    """
    return _one(vif_sum, visible, infrared, fused, VIF_SMALLEST)


def q_abf(visible: Image, infrared: Image, fused: Image) -> float:
    """Edges preserved from both inputs, 0..1, higher is better; 0 if no input has an edge.

    Source: Xydeas and Petrovic, Electronics Letters 36(4) 2000, with their constants and L = 1. Orientations that differ by half a turn are
    equal (as in their SPIE 4051). The border is repeated, so that it is not an edge.
    """
    return _one(edges_kept, visible, infrared, fused)


def n_abf(visible: Image, infrared: Image, fused: Image) -> float:
    """Artefacts: edges that neither input has, 0..1, lower is better.

    Source: Kumar, Signal, Image and Video Processing 7(6) 2013, the modified N^AB/F of his code: the mean of 1 - Q where the fused gradient
    (Sobel / 8, the picture wraps around at its borders) exceeds both inputs', weighted by the inputs' gradients to the power of 1.5.
    """
    return _one(artefacts, visible, infrared, fused)


def en(visible: Image, infrared: Image, fused: Image) -> float:
    """Entropy of the fused histogram in bits, 0..8, higher is better (Roberts, van Aardt and Ahmed 2008)."""
    return _one(benchmark.entropy, visible, infrared, fused)


def mi(visible: Image, infrared: Image, fused: Image) -> float:
    """Mutual information with the visible plus that with the infrared picture, in bits, 0..16, higher is better (Qu et al. 2002)."""
    return _one(information_sum, visible, infrared, fused)


def sd(visible: Image, infrared: Image, fused: Image) -> float:
    """Standard deviation of the fused picture in levels of 255, higher is better (Rao 1997)."""
    return _one(benchmark.deviation, visible, infrared, fused)


def sf(visible: Image, infrared: Image, fused: Image) -> float:
    """Spatial frequency in levels of 255, higher is better: sqrt(sum of squared differences to the left and upper neighbours / pixels).

    Source: Eskicioglu and Fisher, IEEE Transactions on Communications 1995, Eqs. 7 to 9.
    """
    return _one(frequency, visible, infrared, fused)


def ag(visible: Image, infrared: Image, fused: Image) -> float:
    """Average gradient in levels of 255 per pixel, higher is better: mean of sqrt((dx^2 + dy^2) / 2), by differences of neighbours.

    The mean is over the (H - 1)(W - 1) pixels that have both differences. Source: Cui et al., Optics Communications 2015.
    """
    return _one(forward_gradient, visible, infrared, fused)


def _one(measure: Measure, visible: Image, infrared: Image, fused: Image, smallest: int = 2) -> float:
    return measure(*Inputs(visible, infrared).lumas(fused, smallest))


def _squared_errors(visible: Plane, infrared: Plane, fused: Plane) -> Float64Array:
    sums = [cv2.norm(source.data, fused.data, cv2.NORM_L2SQR) for source in (visible, infrared)]
    return np.array(sums) / fused.data.size


def mean_psnr(visible: Plane, infrared: Plane, fused: Plane) -> float:
    # not cv2.PSNR, which returns 361 dB for equal pictures; and a mean of decibels is not the PSNR of the mean error
    error = float(_squared_errors(visible, infrared, fused).mean())
    return float(10 * np.log10(255**2 / error)) if error > 0 else float("inf")


def mean_rmse(visible: Plane, infrared: Plane, fused: Plane) -> float:
    return float(np.sqrt(_squared_errors(visible, infrared, fused)).mean())


def mean_ssim(visible: Plane, infrared: Plane, fused: Plane) -> float:
    return benchmark.ssim_sum(visible, infrared, fused) / 2


def vif_sum(visible: Plane, infrared: Plane, fused: Plane) -> float:
    return _vif(visible, fused) + _vif(infrared, fused)


def _vif(source: Plane, fused: Plane) -> float:
    kept = there = 0.0
    for size, (a, mean_a, variance_a), (b, mean_b, variance_b) in zip(VIF_WINDOWS, source.scales, fused.scales, strict=True):
        covariance = window(a * b, size, size / 5) - mean_a * mean_b
        # rounding leaves flat windows with variances of about 1e-12, of either sign
        detail, shown = np.maximum(variance_a, 0.0), np.maximum(variance_b, 0.0)
        some = (detail >= _TINY) & (shown >= _TINY)
        gain = np.where(some, np.maximum(covariance, 0.0), 0.0) / (detail + _TINY)
        rest = np.maximum(np.where(gain > 0, shown - gain * covariance, shown), _TINY)
        detail = np.where(detail >= _TINY, detail, 0.0)
        kept += float(np.log1p(gain * gain * detail / (rest + _SENSOR_NOISE)).sum())
        there += float(np.log1p(detail / _SENSOR_NOISE).sum())
    return kept / there if there > 0 else 1.0


def edges_kept(visible: Plane, infrared: Plane, fused: Plane) -> float:
    kept = sum(float((_preserved(source, fused) * source.strength).sum()) for source in (visible, infrared))
    there = float(visible.strength.sum() + infrared.strength.sum())
    return kept / there if there else 0.0


def _preserved(source: Plane, fused: Plane) -> Float64Array:
    strength = ratio(np.minimum(source.strength, fused.strength), np.maximum(source.strength, fused.strength), 1.0)
    angle = _likeness(source.orientation, fused.orientation)
    return sigmoid(strength, 0.9994, 15, 0.5) * sigmoid(angle, 0.9879, 22, 0.8)


def _likeness(a: Float64Array, b: Float64Array) -> Float64Array:
    """Return 1 for equal orientations (also half a turn apart), 0 for a right angle."""
    return np.abs(np.abs(a - b) - np.pi / 2) / (np.pi / 2)


def artefacts(visible: Plane, infrared: Plane, fused: Plane) -> float:
    there, angle = _wrapped_gradient(fused)
    new = np.ones_like(there, bool)
    total = 0.0
    parts = []
    for strength, orientation in map(_wrapped_gradient, (visible, infrared)):
        quotient = ratio(np.minimum(strength, there), np.maximum(strength, there), 0.0)
        kept = np.sqrt(sigmoid(quotient, 0.9999, 19, 0.5) * sigmoid(_likeness(orientation, angle), 0.9995, 22, 0.5))
        weight = np.where(strength >= 2, strength**1.5, 0.001)
        new &= there > strength
        total += float(weight.sum())
        parts.append((1 - kept) * weight)
    return float((parts[0] + parts[1])[new].sum()) / total


def _wrapped_gradient(plane: Plane) -> tuple[Float64Array, Float64Array]:
    """Return magnitude (Sobel / 8) and orientation atan(right / down) in radians; the picture wraps around at its borders. 0 where flat."""
    around: Image = cv2.copyMakeBorder(plane.data, 1, 1, 1, 1, cv2.BORDER_WRAP)
    right, down = (derivative[1:-1, 1:-1] / 8 for derivative in sobel(around, cv2.BORDER_REPLICATE))
    orientation = np.arctan(ratio(right, down, 0.0))
    level = down == 0
    orientation[level] = np.pi / 2 * np.sign(right[level])
    return np.hypot(right, down), orientation


def information_sum(visible: Plane, infrared: Plane, fused: Plane) -> float:
    nats = sum(benchmark.information(source.data, fused.data) for source in (visible, infrared))
    return float(nats / np.log(2))


def frequency(_v: Plane, _i: Plane, fused: Plane) -> float:
    return benchmark.spatial_frequency(fused.data)


def forward_gradient(_v: Plane, _i: Plane, fused: Plane) -> float:
    across, down = np.diff(fused.real, axis=1)[1:], np.diff(fused.real, axis=0)[:, 1:]
    return float(np.sqrt((across * across + down * down) / 2).mean())
