"""The kernel network of `sharpen-edge`: a correction that is added to the fixed features of edgefuse/sharpening/kernel.py."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from edgefuse.sharpening.kernel_network import AXES, FEATURES, LEFT

MARGIN = 2  # radius of the receptive field, in pixels
CHANNELS = 2 * FEATURES + 1
_SIMILARITY, _SLOPE, _SCALE = 0.05, 0.3, 0.3  # scales of the outputs; the fixed features have 0.07 and 1
_NEAR = 12.0, 24.0


class KernelNetwork(nn.Module):
    """Computes corrections (1, CHANNELS, H, W) from planes (1, AXES + LEFT, H + 2 MARGIN, W + 2 MARGIN).

    Inputs: asinh of the whitened pixels and of the trend's residual. Outputs: corrections of `WindowFeatures.similarity` and `slopes`, and
    the logarithm of `scale`. near: length scales in low-resolution pixels, for images of few bands and of many.
    """

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.width = width
        self.see = nn.Conv2d(AXES + LEFT, width, 3)
        self.mix = nn.Conv2d(width, width, 3)
        self.say = nn.Conv2d(width, CHANNELS, 1)
        self.straight = nn.Conv2d(AXES + LEFT, CHANNELS, 1, bias=False)
        for last in (self.say.weight, self.say.bias, self.straight.weight):
            nn.init.zeros_(last)
        self.near_log = nn.Parameter(torch.tensor([math.log(n) for n in _NEAR]))
        self.register_buffer("scale", torch.tensor([_SIMILARITY] * FEATURES + [_SLOPE] * FEATURES + [_SCALE])[None, :, None, None])

    def forward(self, planes: Tensor) -> Tensor:
        hidden = torch.relu(self.mix(torch.relu(self.see(planes))))
        return (self.say(hidden) + self.straight(planes[:, :, MARGIN:-MARGIN, MARGIN:-MARGIN])) * self.scale

    @property
    def near(self) -> Tensor:
        return self.near_log.exp()


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())
