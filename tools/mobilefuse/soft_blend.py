"""The closed-form map and the blend in bands of edgefuse/fusion as differentiable PyTorch, to fit the map's constants with.

Frames are float32 (N, 1, H, W) in [0, 255], H and W multiples of 32, maps (N, 1, H / 8, W / 8) in [0, 1]. What differs from the
runtime is rounding: it computes in 8 bits, here nothing is rounded. Only the closed form's own map is meant: shares near 1, whose
infrared details the runtime caps, do not occur.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, pad

from edgefuse.fusion import closed_form

FINE, MIDDLE = 3 / 8, 2 / 8  # gains less 1 at the runtime's own sharpness; the middle band's is two thirds of the fine one's, in eighths
OPEN = 8  # a share of one in so many leaves the visible frame's details uncapped


def reduced(x: Tensor, factor: int) -> Tensor:
    return avg_pool2d(x, factor)


def enlarged(x: Tensor, factor: int) -> Tensor:
    return interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


def box(x: Tensor, size: int) -> Tensor:
    """The mean over `size` x `size`, the frame mirrored at its edges, as `cv2.blur` does."""
    return avg_pool2d(pad(x, [size // 2] * 4, mode="reflect"), size, 1)


class SoftClosedForm(nn.Module):
    """`edgefuse.fusion.closed_form` with its seven constants as parameters."""

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
            sigma = (torch.relu(box(x * x, closed_form.WINDOW[0]) - box(x, closed_form.WINDOW[0]) ** 2) + 1e-3).sqrt()
            parts.append(self.departure[k] * x.abs() + self.deviation[k] * sigma)
        z = torch.sigmoid(parts[0] - parts[1] + self.bias)
        low, high = self.ends.sigmoid()
        return low + (high - low) * box(box(z, closed_form.BLUR[0]), closed_form.BLUR[0])

    def constants(self) -> dict[str, tuple[float, ...]]:
        """By the names in closed_form.py, rounded as they are written there."""
        digits = {"DEPARTURE": (self.departure, 3), "DEVIATION": (self.deviation, 3), "BIAS": (self.bias[None], 3)}
        digits["SHARES"] = (self.ends.sigmoid(), 2)
        return {name: tuple(round(v, n) for v in values.tolist()) for name, (values, n) in digits.items()}


def select(visible: Tensor, infrared: Tensor) -> Tensor:
    """max(v+, i+) - max(v-, i-): the chosen detail."""
    return torch.relu(torch.maximum(visible, infrared)) - torch.relu(torch.maximum(-visible, -infrared))


def blend(visible: Tensor, infrared: Tensor, blending_map: Tensor) -> Tensor:
    """The fused frames, as `edgefuse.fusion.bands` makes them without noise."""
    frames = [visible, infrared]
    quarters = [reduced(x, 4) for x in frames]
    eighths = [reduced(x, 2) for x in quarters]
    cap = 255 * enlarged((OPEN * blending_map).clamp(max=1), 2)
    fused = enlarged(eighths[1] + blending_map * (eighths[0] - eighths[1]), 2)
    for band, base, factor, gain in ((quarters, eighths, 2, MIDDLE), (frames, quarters, 4, FINE)):
        details = [x - enlarged(b, factor) for x, b in zip(band, base, strict=True)]
        fused = (fused + (1 + gain) * select(details[0].clamp(-cap, cap), details[1])).clamp(0, 255)
        if band is quarters:
            fused, cap = enlarged(fused, 4), enlarged(cap, 4)
    return fused
