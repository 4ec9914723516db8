"""Differentiable approximations of ten of VIFB's metrics (Zhang et al. 2020; exact: edgefuse/metrics/fusion/benchmark.py), and soft ranks.

Frames are float32 (N, 1, H, W) in [0, 255]. Every figure is (N,), higher is better. Some are monotone functions (logarithms) of the metric,
because only ranks count. Histograms have 64 levels; each pixel is divided between the two nearest. AG and EI omit the border; MI does not
stretch the pictures first. PSNR and RMSE are equivalent in VIFB, and both count.

Rank correlation with the exact metrics over the seven other methods of tools/mobilefuse/fit_map.py (mean over 13 RoadScene and MSRS crops):
0.96 or more for nine of them, but 0.11 for CE. VIFB omits levels that are missing in either histogram; the textbook divergence here counts
them. A fit on this CE is therefore not a fit on VIFB's CE.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d

NAMES = ("AG", "CE", "EI", "EN", "MI", "PSNR", "RMSE", "SF", "SSIM", "SD")
LEVELS = 64
_SOBEL = torch.tensor([[[[1.0, 2, 1], [0, 0, 0], [-1, -2, -1]]], [[[1.0, 0, -1], [2, 0, -2], [1, 0, -1]]]])
_WINDOW = torch.from_numpy(cv2.getGaussianKernel(11, 1.5)).float().reshape(1, 1, 1, 11)
SENSOR_NOISE = 2.0  # as in VIF, levels squared
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


@dataclass(frozen=True)
class Picture:
    """A picture with derived tensors. data: (N, 1, H, W). mean, variance: in SSIM's window. level: the lower of a pixel's two levels,
    (N, H W). upper: the share of the other level. histogram: (N, LEVELS), with sum 1.
    """

    data: Tensor
    mean: Tensor
    variance: Tensor
    level: Tensor
    upper: Tensor
    histogram: Tensor


def picture(x: Tensor) -> Picture:
    mean = _windowed(x)
    z = x.flatten(1) / 255 * (LEVELS - 1)
    level = z.detach().floor().clamp(0, LEVELS - 2)
    upper, level = z - level, level.long()
    empty = x.new_zeros(len(x), LEVELS)
    histogram = empty.scatter_add(1, level, 1 - upper).scatter_add(1, level + 1, upper) / z.shape[1]
    return Picture(x, mean, _windowed(x * x) - mean**2, level, upper, histogram)


def measure(visible: Picture, infrared: Picture, fused: Tensor) -> Tensor:
    """Return the metrics (10, N) in the order of NAMES."""
    f, sources = picture(fused), (visible, infrared)
    right, down = (fused[..., 1:-1, 2:] - fused[..., 1:-1, :-2]) / 2, (fused[..., 2:, 1:-1] - fused[..., :-2, 1:-1]) / 2
    steps = fused[..., 1:] - fused[..., :-1], fused[..., 1:, :] - fused[..., :-1, :]
    error = sum((((fused - s.data) ** 2).mean((1, 2, 3)) + 1e-3).sqrt() for s in sources) / 2
    figures = {
        "AG": ((right**2 + down**2) / 2 + 1e-3).sqrt().mean((1, 2, 3)).log(),
        "CE": -sum((s.histogram * ((s.histogram + 1e-4) / (f.histogram + 1e-4)).log()).sum(1) for s in sources) / 2,
        "EI": ((conv2d(fused, _SOBEL) ** 2).sum(1) + 0.1).sqrt().mean((1, 2)).log(),
        "EN": _entropy(f.histogram),
        "MI": sum(_entropy(s.histogram) + _entropy(f.histogram) - _entropy(_joint(s, f)) for s in sources),
        "PSNR": -error.log(),
        "RMSE": -error.log(),
        "SF": (sum((d**2).mean((1, 2, 3)) for d in steps) + 1e-2).log() / 2,
        "SSIM": sum(_ssim(s, f) for s in sources),
        "SD": (fused.var((1, 2, 3)) + 1).log() / 2,
    }
    return torch.stack([figures[name] for name in NAMES])


def soft_rank(figures: Tensor, others: Tensor) -> Tensor:
    """Return a smooth count (10, N), 0 to K, of the `others` (K, 10, N) that are better than `figures` (10, N)."""
    return torch.sigmoid((others - figures) / (others.std(0) / 2 + 1e-3)).sum(0)


def _windowed(x: Tensor) -> Tensor:
    return conv2d(conv2d(x, _WINDOW), _WINDOW.transpose(2, 3))


def _entropy(p: Tensor) -> Tensor:
    return -(p * (p + 1e-9).log()).sum(1)


def _joint(a: Picture, b: Picture) -> Tensor:
    """Return the joint histogram (N, LEVELS^2), with sum 1."""
    joint = a.upper.new_zeros(len(a.level), LEVELS**2)
    for da, share_a in ((0, 1 - a.upper), (1, a.upper)):
        for db, share_b in ((0, 1 - b.upper), (1, b.upper)):
            joint = joint.scatter_add(1, (a.level + da) * LEVELS + b.level + db, share_a * share_b)
    return joint / a.level.shape[1]


def _ssim(a: Picture, b: Picture) -> Tensor:
    return _likeness(a.data, a.mean, a.variance, b.data, b.mean, b.variance)


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Return the mean SSIM (Wang et al.) of frames in [0, 1], (N, 1, H, W)."""
    a, b = a * 255, b * 255
    mean, other = _windowed(a), _windowed(b)
    return _likeness(a, mean, _windowed(a * a) - mean**2, b, other, _windowed(b * b) - other**2).mean()


def _likeness(a: Tensor, mean: Tensor, variance: Tensor, b: Tensor, other_mean: Tensor, other_variance: Tensor) -> Tensor:
    product = mean * other_mean
    covariance = _windowed(a * b) - product
    likeness = (2 * product + _C1) * (2 * covariance + _C2)
    return (likeness / ((mean**2 + other_mean**2 + _C1) * (variance + other_variance + _C2))).mean((1, 2, 3))


def detail_kept(source: Tensor, fused: Tensor, side: int) -> Tensor:
    """Return VIF's information in squares of `side` pixels, for luma (N, 1, H, W) in [0, 1]: (N, 1, H // side, W // side), in nats.

    It measures how much of a source's detail is kept: the fused square is modelled as a gain times the source's plus noise; the eye adds
    SENSOR_NOISE.
    """

    def mean(x: Tensor) -> Tensor:
        return avg_pool2d(x, side)

    source, fused = source * 255, fused * 255
    a, b = mean(source), mean(fused)
    variance, covariance = (mean(source * source) - a * a).clamp_min(0), mean(source * fused) - a * b
    gain = (covariance / (variance + 1e-3)).clamp_min(0)
    noise = (mean(fused * fused) - b * b - gain * covariance).clamp_min(1e-3)
    return torch.log1p(gain * gain * variance / (noise + SENSOR_NOISE))
