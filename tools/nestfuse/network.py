"""NestFuse (Li, Wu and Durrani, 2020): an encoder, fusion by attention at four scales, and a nested decoder. Frames are luma.

Differences from the published network: convolutions pad with zeros instead of by reflection (which every runtime does inside the
convolution), and the frames' sides are multiples of 8, so that pooling and enlarging are inverse (the fuser pads). The nuclear-norm channel
attention is omitted, because it needs a singular value decomposition of each channel, which ONNX and TFLite lack.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

NAME, SMALL = "nestfuse", "nestfuse-small"
FILTERS = (64, 112, 160, 208)  # channels at full size, a half, a quarter, an eighth
FIRST = 16
ATTENTIONS = ("average", "max")
CONTRAST = 255.0
MULTIPLE = 8  # the frames' sides must be multiples of it


def block(inputs: int, outputs: int, share: int) -> nn.Sequential:
    """Return the light dense block: 3 x 3 to `inputs` / `share` intermediate channels, then 1 x 1."""
    inner = inputs // share
    return nn.Sequential(nn.Conv2d(inputs, inner, 3, padding=1), nn.ReLU(), nn.Conv2d(inner, outputs, 1), nn.ReLU())


def enlarged(x: Tensor) -> Tensor:
    """Enlarge by repeating each pixel 2 x 2 times."""
    return nn.functional.interpolate(x, scale_factor=2, mode="nearest")


class NestFuse(nn.Module):
    """The network: 2,732,761 parameters with `share` 2, as published; 4 halves the intermediate channels of every block (nestfuse-small).

    attention: how the channel attention reduces a channel over the frame, average or maximum. contrast: factor in the spatial attention's
    softmax; 255 corresponds to the published network, whose frames have the range 0 to 255.
    """

    def __init__(self, share: int = 2, attention: str = "average", contrast: float = CONTRAST) -> None:
        super().__init__()
        if attention not in ATTENTIONS:
            raise ValueError(f"unknown attention {attention!r}; one of {', '.join(ATTENTIONS)}")
        self.share, self.attention, self.contrast = share, attention, contrast
        a, b, c, d = FILTERS
        self.first = nn.Sequential(nn.Conv2d(1, FIRST, 1), nn.ReLU())
        self.encoder = nn.ModuleList(block(i, o, share) for i, o in ((FIRST, a), (a, b), (b, c), (c, d)))
        self.decoder = nn.ModuleDict(
            {
                "11": block(a + b, a, share), "21": block(b + c, b, share), "31": block(c + d, c, share),
                "12": block(2 * a + b, a, share), "22": block(2 * b + c, b, share), "13": block(3 * a + b, a, share),
            }
        )  # fmt: skip
        self.last = nn.Conv2d(a, 1, 1)

    def encode(self, x: Tensor) -> list[Tensor]:
        """Encode (N, 1, H, W) in [0, 1] to features at full size, a half, a quarter and an eighth."""
        y = self.first(x)
        features = []
        for k, part in enumerate(self.encoder):
            y = part(y if k == 0 else nn.functional.max_pool2d(y, 2))
            features.append(y)
        return features

    def decode(self, features: list[Tensor]) -> Tensor:
        """Decode features of one frame, or fused ones, to (N, 1, H, W), not clipped."""
        d = self.decoder
        x10, x20, x30, x40 = features
        x11 = d["11"](torch.cat([x10, enlarged(x20)], 1))
        x21 = d["21"](torch.cat([x20, enlarged(x30)], 1))
        x31 = d["31"](torch.cat([x30, enlarged(x40)], 1))
        x12 = d["12"](torch.cat([x10, x11, enlarged(x21)], 1))
        x22 = d["22"](torch.cat([x20, x21, enlarged(x31)], 1))
        x13 = d["13"](torch.cat([x10, x11, x12, enlarged(x22)], 1))
        out: Tensor = self.last(x13)
        return out

    def fuse(self, a: Tensor, b: Tensor) -> Tensor:
        """Fuse by the mean of spatial attention (shares by the features' mean at each pixel) and channel attention (shares by channel)."""
        share = torch.sigmoid((a.mean(1, keepdim=True) - b.mean(1, keepdim=True)) * self.contrast)
        spatial = b + share * (a - b)
        p, q = ((x.mean((2, 3), keepdim=True) if self.attention == "average" else x.amax((2, 3), keepdim=True)) for x in (a, b))
        channel = b + p / (p + q + 1e-6) * (a - b)
        return (spatial + channel) * 0.5

    def forward(self, visible: Tensor, infrared: Tensor) -> Tensor:
        """Fuse two frames (N, 1, H, W) in [0, 1], sides multiples of 8, to luma in [0, 1]."""
        both = zip(self.encode(visible), self.encode(infrared), strict=True)
        return self.decode([self.fuse(a, b) for a, b in both]).clamp(0, 1)

    def settled(self, x: Tensor) -> NestFuse:
        """Initialise with He's weights, then shift and scale every filter, from the first layer on, so that its output for the frames x
        (N, 1, H, W) has mean 0 and standard deviation 1 before the ReLU; the last layer gets the frames' mean and deviation. So no channel
        starts dead.
        """
        first, *others = (m for m in self.modules() if isinstance(m, nn.Conv2d))
        for unit in (first, *others):
            nn.init.kaiming_normal_(unit.weight, nonlinearity="relu")
            nn.init.zeros_(unit.bias)
        with torch.no_grad():
            # a filter with a single weight has its ReLU's corner at one brightness; spread these from black to white
            first.bias.copy_(-first.weight.flatten() * torch.rand(FIRST))

        def settle(unit: nn.Module, _: object, y: Tensor) -> Tensor:
            mean, deviation = y.mean((0, 2, 3)), y.std((0, 2, 3)).clamp_min(1e-6)
            wanted, spread = (x.mean(), x.std()) if unit is self.last else (torch.zeros(()), torch.ones(()))
            scale = spread / deviation
            unit.weight.mul_(scale[:, None, None, None])
            unit.bias.copy_(wanted - mean * scale)
            return wanted + (y - mean[:, None, None]) * scale[:, None, None]

        hooks = [unit.register_forward_hook(settle) for unit in others]
        with torch.no_grad():
            self.decode(self.encode(x))
        for hook in hooks:
            hook.remove()
        return self


def is_block(module: nn.Module) -> bool:
    return isinstance(module, nn.Sequential) and len(module) == 4


@contextmanager
def firing(network: NestFuse) -> Iterator[dict[str, Tensor]]:
    """Record which intermediate channels are active on any pixel within the block: name of the network's block -> bool (channels)."""
    blocks = {name: part for name, part in network.named_modules() if is_block(part)}
    fired = {name: torch.zeros(len(part[0].weight), dtype=torch.bool) for name, part in blocks.items()}

    def watch(name: str) -> Callable[[nn.Module, object, Tensor], None]:
        def note(_: nn.Module, __: object, out: Tensor) -> None:
            fired[name] |= out.amax((0, 2, 3)) > 0

        return note

    hooks = [part[1].register_forward_hook(watch(name)) for name, part in blocks.items()]
    try:
        yield fired
    finally:
        for hook in hooks:
            hook.remove()


def strongest(part: nn.Module, count: int) -> Tensor:
    """Return the `count` intermediate channels of a block with the largest input and output weights, in order."""
    state = part.state_dict()
    strength = state["0.weight"].flatten(1).norm(dim=1) * state["2.weight"].flatten(1).norm(dim=0)
    return strength.argsort(descending=True)[:count].sort().values
