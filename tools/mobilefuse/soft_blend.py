"""The closed-form map and the blend in bands of edgefuse/fusion as differentiable PyTorch, to fit the map's constants with.

Frames are float32 (N, 1, H, W) in [0, 255], H and W multiples of 32, maps (N, 1, H / 8, W / 8) in [0, 1]. What differs from the
runtime is rounding: it computes in 8 bits, here nothing is rounded. Targets are left out.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, pad

from edgefuse.fusion import closed_form_map
from edgefuse.fusion.band_blend import CORE

FINE, MIDDLE = 9 / 16, 2 / 16  # gains less 1 at the runtime's own sharpness
DARKEST = 3 / 8  # of the visible base, that the mixed one is drawn at
EVEN, END = 1.5, 18.0  # where the details' weights begin to fall, as in edgefuse.fusion.band_blend


def reduced(x: Tensor, factor: int) -> Tensor:
    return avg_pool2d(x, factor)


def enlarged(x: Tensor, factor: int) -> Tensor:
    return interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


def box(x: Tensor, size: int) -> Tensor:
    """The mean over `size` x `size`, the frame mirrored at its edges, as `cv2.blur` does."""
    return avg_pool2d(pad(x, [size // 2] * 4, mode="reflect"), size, 1)


class SoftClosedForm(nn.Module):
    """`edgefuse.fusion.closed_form_map` with its seven constants as parameters."""

    def __init__(self, departure: tuple[float, float], deviation: tuple[float, float], bias: float, shares: tuple[float, float]) -> None:
        """departure, deviation: (visible, infrared); bias in the sigmoid; shares: the map's lowest and highest value."""
        super().__init__()
        self.departure, self.deviation = (nn.Parameter(torch.tensor(v)) for v in (departure, deviation))
        self.bias, self.ends = nn.Parameter(torch.tensor(bias)), nn.Parameter(torch.tensor(shares).logit())

    def forward(self, visible: Tensor, infrared: Tensor) -> Tensor:
        """Both at an eighth of the size -> the visible frame's share, of the same shape."""
        parts = []
        for k, x in enumerate((visible, infrared)):
            x = x - x.mean((2, 3), keepdim=True)
            # the root's slope is endless at 0
            sigma = (torch.relu(box(x * x, closed_form_map.WINDOW[0]) - box(x, closed_form_map.WINDOW[0]) ** 2) + 1e-3).sqrt()
            parts.append(self.departure[k] * x.abs() + self.deviation[k] * sigma)
        z = torch.sigmoid(parts[0] - parts[1] + self.bias)
        low, high = self.ends.sigmoid()
        return low + (high - low) * box(box(z, closed_form_map.BLUR[0]), closed_form_map.BLUR[0])

    def constants(self) -> dict[str, tuple[float, ...]]:
        """By the names in closed_form_map.py, rounded as they are written there."""
        digits = {"DEPARTURE": (self.departure, 3), "DEVIATION": (self.deviation, 3), "BIAS": (self.bias[None], 3)}
        digits["SHARES"] = (self.ends.sigmoid(), 2)
        return {name: tuple(round(v, n) for v in values.tolist()) for name, (values, n) in digits.items()}


def select(visible: Tensor, infrared: Tensor) -> Tensor:
    """max(v+, i+) - max(v-, i-): the chosen detail."""
    return torch.relu(torch.maximum(visible, infrared)) - torch.relu(torch.maximum(-visible, -infrared))


def blend(visible: Tensor, infrared: Tensor, blending_map: Tensor) -> Tensor:
    """The fused frames, as `edgefuse.fusion.band_blend` makes them without noise."""
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
