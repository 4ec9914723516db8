"""Computes VIFB's thirteen metrics as its MATLAB code does (Zhang, Ye and Xiao, VIFB, CVPR Workshops 2020).

Several differ from the textbook definitions (see `edgefuse.metrics.fusion.classic`): RMSE divides by the number of pixels outside the root,
PSNR is computed from that RMSE, SSIM and MI are sums over both inputs, and MI is in nats after each channel is stretched. All functions
take uint8 pictures of one size, (H, W) or (H, W, 3) BGR, average over the fused picture's channels, and raise InputError for other
pictures. A grey input is used for each channel of a colour fused picture. Where MATLAB divides 0 by 0 (constant channels), the docstring
states the value.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from edgefuse.metrics.contrast import ratio, visible_part
from edgefuse.metrics.planes import SSIM_SIGMA, SSIM_WINDOW, Image, Inputs, Plane, sobel, window
from edgefuse.util.arrays import Float64Array

Measure = Callable[[Plane, Plane, Plane], float]
SMALLEST = SSIM_WINDOW
_BLOCK, _SALIENCY_POWER = 16, 5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def vifb_ag(visible: Image, infrared: Image, fused: Image) -> float:
    """Average gradient in levels of 255 per pixel, higher is better: sum of central differences over all pixels / ((H - 1)(W - 1))."""
    return _mean(average_gradient, visible, infrared, fused)


def vifb_ce(visible: Image, infrared: Image, fused: Image) -> float:
    """Cross entropy in bits, lower is better: mean Kullback-Leibler divergence between each input's histogram and the fused one.

    Levels that are missing in either histogram are ignored, so the value may be negative.
    """
    return _mean(cross_entropy, visible, infrared, fused)


def vifb_ei(visible: Image, infrared: Image, fused: Image) -> float:
    """Edge intensity in levels of 255, higher is better: mean magnitude of the unscaled Sobel gradient; the border is repeated."""
    return _mean(edge_intensity, visible, infrared, fused)


def vifb_en(visible: Image, infrared: Image, fused: Image) -> float:
    """Entropy of the histogram in bits, 0..8, higher is better."""
    return _mean(entropy, visible, infrared, fused)


def vifb_mi(visible: Image, infrared: Image, fused: Image) -> float:
    """Mutual information with the visible plus that with the infrared picture, in nats, higher is better.

    Channels are stretched to 0..255.
    """
    return _mean(mutual_information, visible, infrared, fused)


def vifb_psnr(visible: Image, infrared: Image, fused: Image) -> float:
    """VIFB's PSNR in dB, higher is better: 20 log10(255 / sqrt(e)), where e is `vifb_rmse` of the channel; infinite if e is 0."""
    return _mean(psnr, visible, infrared, fused)


def vifb_qabf(visible: Image, infrared: Image, fused: Image) -> float:
    """Edges preserved from both inputs, 0..1, higher is better (Xydeas and Petrovic 2000, in VIFB's form).

    Sobel gradients with zero padding. Equal gradients count by their magnitude, not as 1; angles do not wrap. 0 if no input has an edge.
    """
    return _mean(qabf, visible, infrared, fused)


def vifb_qcb(visible: Image, infrared: Image, fused: Image) -> float:
    """Perceived contrast that is preserved, 0..1, higher is better (Chen and Blum, Image and Vision Computing 2009; Liu's toolbox).

    Where an input's and the fused contrast are both 0, it counts as preserved (1). Where both inputs' contrasts are 0, their weights are
    equal.
    """
    return _mean(qcb, visible, infrared, fused)


def vifb_qcv(visible: Image, infrared: Image, fused: Image) -> float:
    """Perceived difference from both inputs in levels of 255 squared, lower is better (Chen and Varshney, Information Fusion 2007).

    Differences are filtered by Mannos and Sakrison's contrast sensitivity and averaged over blocks of 16 x 16, weighted by edge strength
    to the power of 5, as in Liu's toolbox. If no input has an edge, all blocks have the same weight.
    """
    return _mean(qcv, visible, infrared, fused)


def vifb_rmse(visible: Image, infrared: Image, fused: Image) -> float:
    """VIFB's RMSE, lower is better: sqrt(sum of squared differences) / pixels, mean over the inputs, in levels of 255 per root of a pixel.

    Unlike the textbook RMSE it decreases with the picture's size.
    """
    return _mean(rmse, visible, infrared, fused)


def vifb_sd(visible: Image, infrared: Image, fused: Image) -> float:
    """Standard deviation in levels of 255, higher is better. VIFB's code calls it variance."""
    return _mean(deviation, visible, infrared, fused)


def vifb_sf(visible: Image, infrared: Image, fused: Image) -> float:
    """Spatial frequency in levels of 255, higher is better: sqrt(sum of squared differences between neighbours / pixels).

    VIFB places the red, green and blue channels side by side in one matrix, so differences at their borders count, too.
    """
    Inputs(visible, infrared).lumas(fused)
    return spatial_frequency(fused)


def vifb_ssim(visible: Image, infrared: Image, fused: Image) -> float:
    """SSIM with the visible plus SSIM with the infrared picture, -2..2, higher is better. Raises InputError below 11 x 11 pixels."""
    return _mean(ssim_sum, visible, infrared, fused)


def _mean(measure: Measure, visible: Image, infrared: Image, fused: Image) -> float:
    smallest = SMALLEST if measure is ssim_sum else 2
    return float(np.mean([measure(*planes) for planes in Inputs(visible, infrared).channels(fused, smallest)]))


def average_gradient(_v: Plane, _i: Plane, fused: Plane) -> float:
    down, right = np.gradient(fused.real)
    height, width = fused.data.shape
    return float(np.sqrt((right * right + down * down) / 2).sum()) / ((height - 1) * (width - 1))


def cross_entropy(visible: Plane, infrared: Plane, fused: Plane) -> float:
    return (_divergence(visible, fused) + _divergence(infrared, fused)) / 2


def _divergence(source: Plane, fused: Plane) -> float:
    p, q = source.histogram, fused.histogram
    both = (p > 0) & (q > 0)
    return float((p[both] * np.log2(p[both] / q[both])).sum())


def edge_intensity(_v: Plane, _i: Plane, fused: Plane) -> float:
    return float(fused.strength.mean())


def entropy(_v: Plane, _i: Plane, fused: Plane) -> float:
    p = fused.histogram[fused.histogram > 0]
    return abs(float((p * np.log2(p)).sum()))


def mutual_information(visible: Plane, infrared: Plane, fused: Plane) -> float:
    return sum(information(source.stretched, fused.stretched) for source in (visible, infrared))


def information(a: Image, b: Image) -> float:
    """Return the mutual information of two uint8 pictures of one size, in nats, 0 or more."""
    joint = np.bincount((a.astype(np.int32) * 256 + b).ravel(), minlength=65536).reshape(256, 256) / a.size
    each = np.outer(joint.sum(1), joint.sum(0))
    some = joint > 0
    return max(0.0, float((joint[some] * np.log(joint[some] / each[some])).sum()))


def rmse(visible: Plane, infrared: Plane, fused: Plane) -> float:
    distances = [cv2.norm(source.data, fused.data, cv2.NORM_L2) for source in (visible, infrared)]
    return float(np.mean(distances)) / fused.data.size


def psnr(visible: Plane, infrared: Plane, fused: Plane) -> float:
    error = rmse(visible, infrared, fused)
    return float(20 * np.log10(255 / np.sqrt(error))) if error > 0 else float("inf")


def deviation(_v: Plane, _i: Plane, fused: Plane) -> float:
    return float(fused.real.std())


def spatial_frequency(image: Image) -> float:
    """Return the spatial frequency of an image, uint8 (H, W) or (H, W, 3) BGR; channels are placed side by side."""
    matrix = (image if image.ndim == 2 else np.concatenate([image[..., k] for k in (2, 1, 0)], axis=1)).astype(np.float64)
    squares = sum(float((np.diff(matrix, axis=axis) ** 2).sum()) for axis in (0, 1))
    return float(np.sqrt(squares / matrix.size))


def ssim_sum(visible: Plane, infrared: Plane, fused: Plane) -> float:
    return ssim(visible, fused) + ssim(infrared, fused)


def ssim(a: Plane, b: Plane) -> float:
    """Return SSIM (Wang et al. 2004, Eq. 13): Gaussian window of 11 x 11, sigma 1.5, only where it lies inside the picture."""
    (mean_a, variance_a), (mean_b, variance_b) = a.local, b.local
    product = mean_a * mean_b
    covariance = window(a.real * b.real, SSIM_WINDOW, SSIM_SIGMA) - product
    likeness = (2 * product + _C1) * (2 * covariance + _C2)
    return float((likeness / ((mean_a**2 + mean_b**2 + _C1) * (variance_a + variance_b + _C2))).mean())


def qabf(visible: Plane, infrared: Plane, fused: Plane) -> float:
    kept = sum(float((_edges_kept(source, fused) * source.framed_strength).sum()) for source in (visible, infrared))
    there = float(visible.framed_strength.sum() + infrared.framed_strength.sum())
    return kept / there if there else 0.0


def _edges_kept(source: Plane, fused: Plane) -> Float64Array:
    strong, weak = np.maximum(source.framed_strength, fused.framed_strength), np.minimum(source.framed_strength, fused.framed_strength)
    # where both are equal, VIFB uses the gradient itself in place of the quotient
    strength = np.where(strong == weak, weak, ratio(weak, strong, 0.0))
    angle = 1 - np.abs(source.framed_orientation - fused.framed_orientation) / (np.pi / 2)
    return sigmoid(strength, 0.9994, 15, 0.5) * sigmoid(angle, 0.9879, 22, 0.8)


def sigmoid(x: Float64Array, height: float, slope: float, middle: float) -> Float64Array:
    return height / (1 + np.exp(-slope * (x - middle)))


def qcb(visible: Plane, infrared: Plane, fused: Plane) -> float:
    contrasts, there = [visible.masked_contrast, infrared.masked_contrast], fused.masked_contrast
    kept = [ratio(np.minimum(c, there), np.maximum(c, there), 1.0) for c in contrasts]
    squares = [c * c for c in contrasts]
    share = ratio(squares[0], squares[0] + squares[1], 0.5)
    return float((share * kept[0] + (1 - share) * kept[1]).mean())


def qcv(visible: Plane, infrared: Plane, fused: Plane) -> float:
    saliencies = [_saliency(source) for source in (visible, infrared)]
    differences = [_difference(source, fused) for source in (visible, infrared)]
    total = float(saliencies[0].sum() + saliencies[1].sum())
    if total == 0:
        return float(np.mean(differences))
    return float(sum((s * d).sum() for s, d in zip(saliencies, differences, strict=True))) / total


def _saliency(plane: Plane) -> Float64Array:
    return _blocks(np.hypot(*sobel(plane.stretched, cv2.BORDER_CONSTANT)) ** _SALIENCY_POWER)


def _difference(source: Plane, fused: Plane) -> Float64Array:
    seen = visible_part(source.spectrum - fused.spectrum, source.data.shape)
    return _blocks(seen * seen) / _BLOCK**2


def _blocks(image: Float64Array) -> Float64Array:
    """Return the sums over blocks of 16 x 16, with zero padding at the right and bottom, as MATLAB's blkproc does."""
    down, right = (-size % _BLOCK for size in image.shape)
    padded = np.pad(image, ((0, down), (0, right)))
    return padded.reshape(padded.shape[0] // _BLOCK, _BLOCK, padded.shape[1] // _BLOCK, _BLOCK).sum((1, 3))
