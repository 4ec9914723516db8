"""MobileFuse (Perreault et al., "MobileFuse: Multimodal Image Fusion at the Edge") and its two ablations.

Two streams of depthwise-separable convolutions (MobileNet), fusion by the maximum (MAX), a decoder that computes the blending map M in [0,
1] at full resolution, and the blend inside the network (Eq. 1): fused = visible M + infrared (1 - M).

The streams do not share weights: MAX is symmetric, so with shared weights the decoder could not distinguish the two frames. Frames are
luma, because thermal and grey cameras have one channel; colour is added after the network.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

WIDTHS = (16, 32, 64)
# dilation of each decoder block: enlarges the receptive field beyond 21 pixels, which flat regions need, at no cost
DILATIONS = (1, 2, 4, 8, 4, 2)
KINDS = ("mobilefuse", "mobilefuse-blending-only", "mobilefuse-generative-only")


class Convolution(nn.Conv2d):
    """A convolution that trains six times faster on a CPU if it is dilated and depthwise; its results are bit-identical.

    PyTorch's backward pass of a dilated depthwise convolution is slow. Here each of the dilation's interleaved grids is moved to the batch
    axis, where the convolution is not dilated.
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
    """Return a convolution, with batch norm (folded at export) and ReLU if `act`; the last unit of a network has neither."""
    padding = dilation * (kernel // 2)
    layers: list[nn.Module] = [Convolution(inputs, outputs, kernel, stride, padding, dilation, groups, bias=not act)]
    if act:
        layers += [nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def separable(inputs: int, outputs: int, dilation: int = 1, stride: int = 1) -> list[nn.Sequential]:
    """Return a depthwise 3 x 3 and a pointwise 1 x 1 unit: MobileNet's depthwise-separable convolution."""
    return [conv_unit(inputs, inputs, 3, inputs, dilation, stride=stride), conv_unit(inputs, outputs, 1)]


def stream() -> nn.Sequential:
    """Return the feature extractor of one frame: (N, 1, H, W) -> (N, 64, H, W)."""
    a, b, c = WIDTHS
    return nn.Sequential(conv_unit(1, a, 3), *separable(a, b), *separable(b, c))


class MobileFuse(nn.Module):
    """The paper's network. `kind` selects the meaning of the decoder's only channel.

    - mobilefuse: logits of the map; the loss compares the blended image.
    - mobilefuse-blending-only: the same graph; the loss compares the map with the foreground mask.
    - mobilefuse-generative-only: the fused image; there is no blending.
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
        """Return the units by their names in the exported graph."""
        return {"stream_visible": self.visible, "stream_infrared": self.infrared, "decoder": self.decoder}

    def forward(self, visible: Tensor, infrared: Tensor) -> tuple[Tensor, Tensor]:
        """Fuse a batch. visible, infrared: float (N, 1, H, W) in [0, 1]. Returns (fused, map), both (N, 1, H, W) in [0, 1].

        The generative ablation has no map and returns its image twice.
        """
        drawn = self.decoder(torch.maximum(self.visible(visible), self.infrared(infrared)))
        if self.kind == "mobilefuse-generative-only":
            image = drawn if self.training else drawn.clamp(0, 1)
            return image, image
        blending_map = torch.sigmoid(drawn)
        return infrared + blending_map * (visible - infrared), blending_map
