"""The network of MobileFuse-edge: where do warm targets stand out? Everything else about the picture is a closed form.

A quarter of the frame's size in, a sixteenth out: one 3 x 3 convolution by stride 2, then MobileNet's depthwise-separable blocks, the
first by stride 2, too. A maximum over 3 x 3 cells widens what was found by a cell: what surrounds a target is pulled, too, or the target
does not stand out from it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tools.mobilefuse.network import conv_unit, separable

NAME = "mobilefuse-edge"
WIDTHS = (12, 24)
DILATIONS = (1, 2, 1)
REDUCTION = 4  # of its inputs, from the frame's size


class TargetNet(nn.Module):
    """3.6 K parameters. Inputs' height and width are multiples of 8 (the frame's padded to 32)."""

    kind = NAME

    def __init__(self) -> None:
        super().__init__()
        a, b = WIDTHS
        self.stem = nn.Sequential(conv_unit(2, a, 3, stride=2))
        blocks = [u for d in DILATIONS for u in separable(b, b, d)]
        self.body = nn.Sequential(*separable(a, b, stride=2), *blocks, conv_unit(b, 1, 1, act=False))

    def chains(self) -> dict[str, nn.Sequential]:
        """Its units by the names that the exported graph gives them."""
        return {"stem": self.stem, "body": self.body}

    def logits(self, visible: Tensor, infrared: Tensor) -> Tensor:
        """float (N, 1, h, w) in [0, 1] each -> (N, 1, h / 4, w / 4)."""
        pair = torch.cat([x - x.mean((2, 3), keepdim=True) for x in (visible, infrared)], 1)
        return nn.functional.max_pool2d(self.body(self.stem(pair)), 3, 1, 1)

    def forward(self, visible: Tensor, infrared: Tensor) -> Tensor:
        """The evidence for a target, (N, 1, h / 4, w / 4): the logits from -4 to 4 as 0 to 1, once `graph.load_target` has folded that in.

        Linear, so that it can be enlarged before it is made a share: an enlarged share would be too small all around.
        """
        return self.logits(visible, infrared).clamp(0, 1)
