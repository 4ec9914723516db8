"""MobileFuse (Perreault et al., "MobileFuse: Multimodal Image Fusion at the Edge") and its two ablations.

Two streams of depthwise-separable convolutions (MobileNet), MAX fusion, a decoder that draws the blending map M in [0, 1] at
full resolution, and the blend inside the network (Eq. 1): fused = visible M + infrared (1 - M).

The streams do not share weights: MAX is symmetric, so with shared ones the map could not know which source is which.
Frames are luma: colour is handled after the network, and one channel is what both a thermal and a grey camera deliver.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

WIDTHS = (16, 32, 64)
# dilation of each decoder block: the map needs to see further than 21 px to decide over flat regions, at no cost
DILATIONS = (1, 2, 4, 8, 4, 2)
KINDS = ("mobilefuse", "mobilefuse-blending-only", "mobilefuse-generative-only")


class Convolution(nn.Conv2d):
    """A convolution whose dilated depthwise form trains six times faster on a CPU.

    PyTorch's backward pass of a dilated depthwise convolution is slow; the same sum over each of the dilation's interleaved
    grids, moved to the batch axis, is not. Bit for bit the same function.
    """

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        d = self.dilation[0]
        if not self.training or d == 1 or self.stride[0] > 1 or h % d or w % d:
            return super().forward(x)
        grids = x.permute(0, 2, 3, 1).reshape(n, h // d, d, w // d, d, c).permute(0, 2, 4, 1, 3, 5)
        grids = grids.reshape(n * d * d, h // d, w // d, c).permute(0, 3, 1, 2)
        y = nn.functional.conv2d(grids, self.weight, self.bias, padding=1, groups=self.groups)
        y = y.permute(0, 2, 3, 1).reshape(n, d, d, h // d, w // d, c).permute(0, 3, 1, 4, 2, 5)
        return y.reshape(n, h, w, c).permute(0, 3, 1, 2)


def conv_unit(
    inputs: int, outputs: int, kernel: int, groups: int = 1, dilation: int = 1, act: bool = True, stride: int = 1
) -> nn.Sequential:
    """Convolution, batch norm (folded at export) and ReLU; the last unit of a network has neither of the two."""
    padding = dilation * (kernel // 2)
    layers: list[nn.Module] = [Convolution(inputs, outputs, kernel, stride, padding, dilation, groups, bias=not act)]
    if act:
        layers += [nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def separable(inputs: int, outputs: int, dilation: int = 1, stride: int = 1) -> list[nn.Sequential]:
    """Depthwise 3 x 3, then pointwise 1 x 1: MobileNet's depthwise-separable convolution."""
    return [conv_unit(inputs, inputs, 3, inputs, dilation, stride=stride), conv_unit(inputs, outputs, 1)]


def stream() -> nn.Sequential:
    a, b, c = WIDTHS
    return nn.Sequential(conv_unit(1, a, 3), *separable(a, b), *separable(b, c))


class MobileFuse(nn.Module):
    """The paper's network. `kind` chooses what the decoder's single channel means.

    - mobilefuse: logits of the map; the loss is on the blended image.
    - mobilefuse-blending-only: the same graph; the loss is on the map, against the foreground mask.
    - mobilefuse-generative-only: the fused image itself; there is no blending module.
    """

    def __init__(self, kind: str = "mobilefuse") -> None:
        super().__init__()
        if kind not in KINDS:
            raise ValueError(f"unknown kind {kind!r}; one of {', '.join(KINDS)}")
        self.kind = kind
        width = WIDTHS[-1]
        self.visible = stream()
        self.infrared = stream()
        widths = [width] * len(DILATIONS) + [width // 2]
        blocks = [u for k, d in enumerate(DILATIONS) for u in separable(width, widths[k + 1], d)]
        last = [conv_unit(width // 2, width // 2, 3, groups=width // 2), conv_unit(width // 2, 1, 1, act=False)]
        self.decoder = nn.Sequential(*blocks, *last)

    def chains(self) -> dict[str, nn.Sequential]:
        """Its units by the names that the exported graph gives them."""
        return {"stream_visible": self.visible, "stream_infrared": self.infrared, "decoder": self.decoder}

    def forward(self, visible: Tensor, infrared: Tensor) -> tuple[Tensor, Tensor]:
        """visible, infrared: float (N, 1, H, W) in [0, 1]. Returns (fused, map), both (N, 1, H, W) in [0, 1].

        The generative ablation has no map and returns its image twice.
        """
        drawn = self.decoder(torch.maximum(self.visible(visible), self.infrared(infrared)))
        if self.kind == "mobilefuse-generative-only":
            image = drawn if self.training else drawn.clamp(0, 1)
            return image, image
        blending_map = torch.sigmoid(drawn)
        return infrared + blending_map * (visible - infrared), blending_map
