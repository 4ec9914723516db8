"""CSAKD (Hsu et al., "CSAKD: Knowledge Distillation With Cross Self-Attention for Hyperspectral and Multispectral Image Fusion", 2024).

Teacher and student are the same network with different widths. Dual two-streamed (DTS): the enlarged low-resolution cube and the
multispectral image each have their own stream (distinct), and both together a third one (joint). Each stream is a CLRA: three CLRBs, whose
outputs are aggregated, and a residual connection. A CLRB consists of dense 3 x 3 convolutions with LeakyReLU and a residual connection. The
cross self-attention (CSA) weights the three streams.

Choices that the paper leaves open: attention is computed among the streams of each pixel (query: the image's stream, which has the detail;
keys: all three streams), so its cost is linear in pixels, and a tile of a scene gives the same result as the whole. The network's output is
added to the cubic interpolation. Our widths are smaller than the published ones.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from edgefuse.sharpening.csakd import RANGES, response

BANDS = 172  # of the resampled cubes
# of the images: blue, green, red, near infrared, two short-wave; images of 4 bands take the last two from the cube
SLOTS = len(RANGES)
WIDTHS = {"teacher": (64, 40), "student": (32, 8)}  # channels of a stream, and those that a dense convolution adds
SLOPE = 0.2
BLOCKS = 3
REACH = 2 + 2 * BLOCKS  # radius of the receptive field in pixels
_DETAIL = 8.0  # initial factor for details, which makes them as large as reflectances


class CLRB(nn.Module):
    """Maps (N, C, H, W) to the same shape: two dense convolutions, a transition, a residual connection."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, growth, 3, padding=1)
        self.second = nn.Conv2d(width + growth, growth, 3, padding=1)
        self.transition = nn.Conv2d(width + 2 * growth, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        dense = torch.cat([x, leaky_relu(self.first(x), SLOPE)], 1)
        dense = torch.cat([dense, leaky_relu(self.second(dense), SLOPE)], 1)
        return x + self.transition(dense)


class CLRA(nn.Module):
    """Three CLRBs whose outputs are aggregated, with a residual connection around all of them."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(CLRB(width, growth) for _ in range(BLOCKS))
        self.aggregate = nn.Conv2d(BLOCKS * width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        made = [x]
        for block in self.blocks:
            made.append(block(made[-1]))
        return x + self.aggregate(torch.cat(made[1:], 1))


class CSA(nn.Module):
    """Cross self-attention: `asking` (the image's stream) is the query for weights of all streams, pixel by pixel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(width, width, 1)
        self.keys, self.values = (nn.ModuleList(nn.Conv2d(width, width, 1) for _ in range(3)) for _ in range(2))
        # a weighted dot product as a convolution, because a mean would become a reshape, which TFLite fixes to one size
        self.total = nn.Conv2d(width, 1, 1, bias=False)
        nn.init.constant_(self.total.weight, width**-0.5)

    def forward(self, asking: Tensor, spectral: Tensor, joint: Tensor) -> Tensor:
        every, query = (asking, spectral, joint), self.query(asking)
        scores = [self.total(query * key(x)) for key, x in zip(self.keys, every, strict=True)]
        # softmax written out, because stacked streams would be reshaped, too
        powers = [torch.exp(score.clamp(-20, 20)) for score in scores]
        whole = powers[0] + powers[1] + powers[2]
        weighed = [value(x) * (power / whole) for value, x, power in zip(self.values, every, powers, strict=True)]
        return weighed[0] + weighed[1] + weighed[2]


class CSAKD(nn.Module):
    """Sharpens an enlarged cube (N, 172, H, W) with an image (N, 6, H, W), both in [0, 1], to (N, 172, H, W), not clipped."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.shape = {"width": width, "growth": growth}
        self.head_cube = nn.Conv2d(BANDS, width, 1)
        self.head_image = nn.Conv2d(SLOTS, width, 3, padding=1)
        self.meet = nn.Conv2d(2 * width, width, 1)
        self.distinct_cube, self.distinct_image, self.joint = (CLRA(width, growth) for _ in range(3))
        self.attention = CSA(width)
        self.mix = nn.Conv2d(2 * width, width, 3, padding=1)
        self.draw = nn.Conv2d(width, BANDS, 1)

    def forward(self, cube: Tensor, image: Tensor) -> Tensor:
        return cube + self.detail(cube, image)

    def detail(self, cube: Tensor, image: Tensor) -> Tensor:
        """Return the detail to add to the cube."""
        return self.detail_from_heads(*self.heads(cube, image))

    def heads(self, cube: Tensor, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the inputs of the three streams. They are small differences of large numbers, so do not use half precision."""
        seen_cube, seen_image = self.head_cube(cube), self.head_image(image)
        return seen_cube, seen_image, self.meet(torch.cat([seen_cube, seen_image], 1))

    def detail_from_heads(self, seen_cube: Tensor, seen_image: Tensor, met: Tensor) -> Tensor:
        joint = self.joint(met)
        fused = self.attention(self.distinct_image(seen_image), self.distinct_cube(seen_cube), joint)
        return self.draw(leaky_relu(self.mix(torch.cat([fused, joint], 1)), SLOPE))


def begin(network: CSAKD, cube: np.ndarray, image: np.ndarray, truth: np.ndarray) -> None:
    """Initialise as a linear regression of each band's detail on the difference between image and cube, from examples (N, 172, H, W) and
    (N, 6, H, W). The cube's head computes one half of that difference, then principal components; the streams start as almost only their
    residual connections.
    """
    spectra, pixels, drawn = (np.moveaxis(x, 1, 3).reshape(-1, x.shape[1]).astype(np.float64) for x in (cube, image, truth - cube))
    seen = response(BANDS).astype(np.float64)
    details = pixels - spectra @ seen.T
    products = details.T @ details
    slopes = np.linalg.solve(products + 1e-2 * np.trace(products) / SLOTS * np.eye(SLOTS), details.T @ drawn)  # (6, 172)
    mean = spectra.mean(0)
    values, vectors = np.linalg.eigh(np.cov(spectra.T))
    directions, deviation = vectors[:, ::-1].T[:16], np.maximum(values[::-1][:16] ** 0.5, 3e-3)
    width = network.shape["width"]
    with torch.no_grad():
        for block in (network.joint, network.distinct_cube, network.distinct_image):
            for layer in (block.aggregate, *(b.transition for b in block.blocks)):
                layer.weight *= 0.1
                layer.bias.zero_()
        rest = 0.3 * (directions / deviation[:, None])[np.arange(width - SLOTS) % 16]
        head = network.head_cube
        head.weight[:, :, 0, 0] = torch.from_numpy(np.concatenate([seen, rest]).astype(np.float32))
        head.bias.copy_(torch.from_numpy(np.concatenate([np.zeros(SLOTS), -rest @ mean]).astype(np.float32)))
        image_head, meet, mix, draw = network.head_image, network.meet, network.mix, network.draw
        for layer in (image_head, meet):
            layer.weight[:SLOTS], layer.bias[:SLOTS] = 0, 0
        mix.weight[: 2 * SLOTS], mix.bias[: 2 * SLOTS] = 0, 0
        draw.weight *= 0.02
        draw.bias.zero_()
        for k in range(SLOTS):
            image_head.weight[k, k, 1, 1] = 1
            meet.weight[k, k], meet.weight[k, width + k] = -_DETAIL, _DETAIL
            # the sum of LeakyReLUs of both signs is linear
            for channel, sign in ((k, 1), (SLOTS + k, -1)):
                mix.weight[channel, width + k, 1, 1] = sign
                draw.weight[:, channel, 0, 0] = torch.from_numpy((sign * slopes[k] / (_DETAIL * (1 + SLOPE))).astype(np.float32))


def paces(network: CSAKD) -> list[dict[str, object]]:
    """Return parameter groups for the optimiser: the layers that `begin` solved have a low rate, to keep their initial function."""
    slow = {network.head_cube: 0.02, network.head_image: 0.1, network.meet: 0.1, network.draw: 0.1}
    solved = [{"params": list(layer.parameters()), "share": share} for layer, share in slow.items()]
    known = {id(p) for group in solved for p in group["params"]}
    return [*solved, {"params": [p for p in network.parameters() if id(p) not in known]}]


def network_of(kind: str) -> CSAKD:
    """Return an untrained `teacher` or `student`."""
    return CSAKD(*WIDTHS[kind])


def read(run: Path, kind: str) -> CSAKD:
    """Load the final networks of a run of tools/csakd/train.py."""
    stored = torch.load(run / "final.pt", weights_only=True)[kind]
    network = CSAKD(**stored["shape"])
    network.load_state_dict(stored["network"])
    return network.eval()


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def macs_per_pixel(network: CSAKD) -> int:
    """Return multiply-accumulates per pixel of the image, of all convolutions and the attention's products."""
    convolutions = sum(m.weight.numel() for m in network.modules() if isinstance(m, nn.Conv2d))
    return convolutions + (2 + 6) * network.shape["width"]
