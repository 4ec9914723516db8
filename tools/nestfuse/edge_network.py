"""NestFuse-edge: NestFuse without what its outputs do not need (tools/nestfuse/sensitivity.py measures that), distilled from it.

Encoder and attention are NestFuse's in small, at a half and a quarter of the frame's size; the eighth is gone, and so are the nested
blocks: the decoder is one path, the quarter convolved before it is enlarged, not after. What it draws at half of the size, four channels
for 2 x 2 pixels, is added to a blend of the frames themselves whose shares it draws too:
fused = infrared + share (visible - infrared) + drawn. So nothing but that blend runs at full size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tools.nestfuse.network import ATTENTIONS, CONTRAST, enlarged

EDGE = "nestfuse-edge"
WIDTHS = (16, 24)  # channels at a half and a quarter


class NestFuseEdge(nn.Module):
    """Frames' sides are multiples of 8."""

    def __init__(self, attention: str = "average", contrast: float = CONTRAST, widths: tuple[int, int] = WIDTHS) -> None:
        super().__init__()
        if attention not in ATTENTIONS:
            raise ValueError(f"unknown attention {attention!r}; one of {', '.join(ATTENTIONS)}")
        self.attention, self.contrast = attention, contrast
        a, b = widths
        self.encoder = nn.ModuleList(
            [
                nn.Sequential(nn.Conv2d(1, a, 3, 2, 1), nn.ReLU(), nn.Conv2d(a, a, 3, padding=1), nn.ReLU()),
                nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.ReLU()),
            ]
        )
        self.middle = nn.Sequential(nn.Conv2d(b, a, 3, padding=1), nn.ReLU())
        self.shallow = nn.Sequential(nn.Conv2d(2 * a, a, 3, padding=1), nn.ReLU())
        self.last = nn.Conv2d(a, 4, 1)
        self.shares = nn.Sequential(nn.Conv2d(3 * a, a, 1), nn.ReLU(), nn.Conv2d(a, 4, 1))
        for head in (self.last, self.shares[-1]):
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)

    def encode(self, x: Tensor) -> list[Tensor]:
        """(N, 1, H, W) -> features at a half and a quarter."""
        features = []
        for k, part in enumerate(self.encoder):
            x = part(x if k == 0 else nn.functional.max_pool2d(x, 2))
            features.append(x)
        return features

    def fuse(self, a: Tensor, b: Tensor) -> Tensor:
        """NestFuse's, with the same sums."""
        share = torch.sigmoid((a.mean(1, keepdim=True) - b.mean(1, keepdim=True)) * self.contrast)
        p, q = ((x.mean((2, 3), keepdim=True) if self.attention == "average" else x.amax((2, 3), keepdim=True)) for x in (a, b))
        return b + (share + p / (p + q + 1e-6)) * 0.5 * (a - b)

    def forward(self, visible: Tensor, infrared: Tensor) -> Tensor:
        """(N, 1, H, W) in [0, 1] each -> the fused luma in [0, 1]."""
        drawn = self.draw(visible, infrared)
        return drawn.clamp(0, 1)

    def draw(self, visible: Tensor, infrared: Tensor) -> Tensor:
        """The fused luma, not clipped."""
        seen = [self.encode(visible), self.encode(infrared)]
        half, quarter = (self.fuse(a, b) for a, b in zip(*seen, strict=True))
        half = self.shallow(torch.cat([half, enlarged(self.middle(quarter))], 1))
        share = torch.sigmoid(nn.functional.pixel_shuffle(self.shares(torch.cat([seen[0][0], seen[1][0], half], 1)), 2))
        return infrared + share * (visible - infrared) + nn.functional.pixel_shuffle(self.last(half), 2)
