"""Network of MobileFuse-edge: estimates where warm targets are. The rest of the picture is computed in closed form.

The inputs have a quarter of the frame's size, the output a sixteenth: a 3 x 3 convolution with stride 2, then MobileNet's
depthwise-separable blocks, the first with stride 2. A maximum over 3 x 3 cells widens detections by one cell, because a target must be
blended together with its surroundings to keep its contrast.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tools.mobilefuse.network import conv_unit, separable

NAME = "mobilefuse-edge"
WIDTHS = (12, 24)
DILATIONS = (1, 2, 1)
REDUCTION = 4  # factor by which the inputs are smaller than the frame


class TargetNet(nn.Module):
    """The target network, 3.6 K parameters. Height and width of the inputs are multiples of 8 (the frame is padded to 32)."""

    kind = NAME

    def __init__(self) -> None:
        super().__init__()
        a, b = WIDTHS
        self.stem = nn.Sequential(conv_unit(2, a, 3, stride=2))
        blocks = [u for d in DILATIONS for u in separable(b, b, d)]
        self.body = nn.Sequential(*separable(a, b, stride=2), *blocks, conv_unit(b, 1, 1, act=False))

    def chains(self) -> dict[str, nn.Sequential]:
        """Return the units by their names in the exported graph."""
        return {"stem": self.stem, "body": self.body}

    def logits(self, visible: Tensor, infrared: Tensor) -> Tensor:
        """Return logits of the presence of targets, (N, 1, h / 4, w / 4). visible, infrared: float (N, 1, h, w) in [0, 1]."""
        pair = torch.cat([x - x.mean((2, 3), keepdim=True) for x in (visible, infrared)], 1)
        return nn.functional.max_pool2d(self.body(self.stem(pair)), 3, 1, 1)

    def forward(self, visible: Tensor, infrared: Tensor) -> Tensor:
        """Return the evidence for a target, (N, 1, h / 4, w / 4) in [0, 1]: logits -4..4 scaled to 0..1 (by `graph.load_target`).

        It is linear in the logits, because the runtime enlarges it before it is thresholded; an enlarged sigmoid would be too small at the
        borders.
        """
        return self.logits(visible, infrared).clamp(0, 1)
