"""Computes the closed-form map and the blend in bands of edgefuse/fusion in differentiable PyTorch, to fit the map's constants.

Frames are float32 (N, 1, H, W) in [0, 255], H and W multiples of 32; maps are (N, 1, H / 8, W / 8) in [0, 1]. Unlike the runtime, which
computes in 8 bits, nothing is rounded here. Targets are left out.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, pad

from edgefuse.fusion import closed_form_map
from edgefuse.fusion.band_blend import CORE

FINE, MIDDLE = 9 / 16, 2 / 16  # amplification of the fine and the middle band at the runtime's default sharpness
DARKEST = 3 / 8  # lower limit of the blended base, as a share of the visible base
EVEN, END = 1.5, 18.0  # limits of the details' weights, as in edgefuse.fusion.band_blend


def reduced(x: Tensor, factor: int) -> Tensor:
    """Reduce height and width by `factor`, by averaging."""
    return avg_pool2d(x, factor)


def enlarged(x: Tensor, factor: int) -> Tensor:
    """Enlarge height and width by `factor`, bilinear."""
    return interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


def box(x: Tensor, size: int) -> Tensor:
    """Return the mean over `size` x `size`; the frame is mirrored at its edges, as `cv2.blur` does."""
    return avg_pool2d(pad(x, [size // 2] * 4, mode="reflect"), size, 1)


class SoftClosedForm(nn.Module):
    """The map of `edgefuse.fusion.closed_form_map` with its seven constants as parameters."""

    def __init__(self, departure: tuple[float, float], deviation: tuple[float, float], bias: float, shares: tuple[float, float]) -> None:
        """Set the initial constants.

        departure, deviation: (visible, infrared). bias: in the sigmoid. shares: lowest and highest map value.
        """
        super().__init__()
        self.departure, self.deviation = (nn.Parameter(torch.tensor(v)) for v in (departure, deviation))
        self.bias, self.ends = nn.Parameter(torch.tensor(bias)), nn.Parameter(torch.tensor(shares).logit())

    def forward(self, visible: Tensor, infrared: Tensor) -> Tensor:
        """Return the visible frame's share. visible, infrared: frames at an eighth of the size; the result has their shape."""
        parts = []
        for k, x in enumerate((visible, infrared)):
            x = x - x.mean((2, 3), keepdim=True)
            # the added constant avoids the infinite slope of the root at 0
            sigma = (torch.relu(box(x * x, closed_form_map.WINDOW[0]) - box(x, closed_form_map.WINDOW[0]) ** 2) + 1e-3).sqrt()
            parts.append(self.departure[k] * x.abs() + self.deviation[k] * sigma)
        z = torch.sigmoid(parts[0] - parts[1] + self.bias)
        low, high = self.ends.sigmoid()
        return low + (high - low) * box(box(z, closed_form_map.BLUR[0]), closed_form_map.BLUR[0])

    def constants(self) -> dict[str, tuple[float, ...]]:
        """Return the constants by their names in closed_form_map.py, rounded as there."""
        digits = {"DEPARTURE": (self.departure, 3), "DEVIATION": (self.deviation, 3), "BIAS": (self.bias[None], 3)}
        digits["SHARES"] = (self.ends.sigmoid(), 2)
        return {name: tuple(round(v, n) for v in values.tolist()) for name, (values, n) in digits.items()}


def select(visible: Tensor, infrared: Tensor) -> Tensor:
    """Choose a detail by sign: max(v+, i+) - max(v-, i-)."""
    return torch.relu(torch.maximum(visible, infrared)) - torch.relu(torch.maximum(-visible, -infrared))


def blend(visible: Tensor, infrared: Tensor, blending_map: Tensor) -> Tensor:
    """Blend frames as `edgefuse.fusion.band_blend` does without noise; returns (N, 1, H, W) in [0, 255]."""
    frames = [visible, infrared]
    quarters = [reduced(x, 4) for x in frames]
    eighths = [reduced(x, 2) for x in quarters]
    own = [(END * blending_map).clamp(max=1), torch.minimum(EVEN - blending_map, END * (1 - blending_map)).clamp(max=1)]
    base = torch.maximum(eighths[1] + blending_map * (eighths[0] - eighths[1]), DARKEST * own[0] * eighths[0])
    weights, fused = [enlarged(w, 2) for w in own], enlarged(base, 2)
    for band, smaller, factor, gain, core in ((quarters, eighths, 2, MIDDLE, 0), (frames, quarters, 4, FINE, CORE)):
        details = [w * (x - enlarged(b, factor)) for w, x, b in zip(weights, band, smaller, strict=True)]
        chosen = select(*details)
        fused = (fused + chosen + gain * chosen.sign() * (chosen.abs() - core).clamp(min=0)).clamp(0, 255)
        if band is quarters:
            weights, fused = [enlarged(w, 4) for w in weights], enlarged(fused, 4)
    return fused
