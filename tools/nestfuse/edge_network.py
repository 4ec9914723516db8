"""nestfuse-edge: distilled from NestFuse, without the parts that hardly influence the output (see tools/nestfuse/sensitivity.py).

Encoder and attention are as in NestFuse with fewer channels, at a half and a quarter of the frame's size. The eighth and the nested blocks
are omitted: the decoder is a single path, in which the quarter is convolved before it is enlarged. Its output at half of the size (four
channels for 2 x 2 pixels) consists of a detail and of shares for blending the frames:
fused = infrared + share (visible - infrared) + detail. So only that blend is computed at full size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tools.nestfuse.network import ATTENTIONS, CONTRAST, enlarged

EDGE = "nestfuse-edge"
WIDTHS = (16, 24)  # channels at a half and a quarter


class NestFuseEdge(nn.Module):
    """The network; sides of the frames must be multiples of 8."""

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
        """Encode (N, 1, H, W) to features at a half and a quarter of the size."""
        features = []
        for k, part in enumerate(self.encoder):
            x = part(x if k == 0 else nn.functional.max_pool2d(x, 2))
            features.append(x)
        return features

    def fuse(self, a: Tensor, b: Tensor) -> Tensor:
        """Fuse features as NestFuse does."""
        share = torch.sigmoid((a.mean(1, keepdim=True) - b.mean(1, keepdim=True)) * self.contrast)
        p, q = ((x.mean((2, 3), keepdim=True) if self.attention == "average" else x.amax((2, 3), keepdim=True)) for x in (a, b))
        return b + (share + p / (p + q + 1e-6)) * 0.5 * (a - b)

    def forward(self, visible: Tensor, infrared: Tensor) -> Tensor:
        """Fuse two frames (N, 1, H, W) in [0, 1] to luma in [0, 1]."""
        drawn = self.draw(visible, infrared)
        return drawn.clamp(0, 1)

    def draw(self, visible: Tensor, infrared: Tensor) -> Tensor:
        """Return the fused luma, not clipped."""
        seen = [self.encode(visible), self.encode(infrared)]
        half, quarter = (self.fuse(a, b) for a, b in zip(*seen, strict=True))
        half = self.shallow(torch.cat([half, enlarged(self.middle(quarter))], 1))
        share = torch.sigmoid(nn.functional.pixel_shuffle(self.shares(torch.cat([seen[0][0], seen[1][0], half], 1)), 2))
        return infrared + share * (visible - infrared) + nn.functional.pixel_shuffle(self.last(half), 2)
