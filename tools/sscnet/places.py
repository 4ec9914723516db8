"""Tell SSCNet where in its 8 x 8 pixels each pixel lies, so that its max poolings choose a place instead of the largest value.

Its convolutions do the same everywhere, and a pooling keeps the largest of four values: what is lost is which of them. Six patterns over
the bands, finer than spectra are, are added to the cube: each is there or not by one bit of the row or of the column. The first layer
reads them as it reads principal components: with PReLU slopes of 0, one channel is positive where the bit is set and exactly 0 elsewhere,
another one the other way round, whatever the spectra themselves have of the patterns. In the second layer a channel is one component at
one of the four places: elsewhere it is lowered by more than any value, so the largest is the one at that place. The two poolings after
it go the same way. So the published layers, as they are, compute a linear block transform.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from edgefuse.hyperspectral.codec.sscnet import PATTERN_SIZE, patterns, with_place_patterns
from tools.sscnet.linear_start import Floats, convolutions, hierarchy, principal, set_latent, set_synthesis
from tools.sscnet.network import SSCNet

BITS = 6  # of the column, 1, 2, 4, then of the row
# a channel's values are within -1 to 1 on the crops; elsewhere it is lowered by this much a tap, of which there are nine, and four in a
# corner: none of the weights is so large that int8 would not tell the others apart
LOWERED = 0.6
COMPONENTS = 64


@dataclass
class _Stage:
    """size: what a channel's unit is worth, (channels,); then, for each of the bits that are left, a channel that is positive where it is
    set, and after those one for each that is positive where it is not."""

    size: Tensor
    bits: int


def begin(network: SSCNet, crops: Floats) -> float:
    """Set all weights of `network` by crops (N, bands, H, W) without patterns, H and W multiples of 8, 32 at least.

    PSNR in dB of the decoder's transform (without what it leaves out) as the latent tells it.
    """
    encoder, decoder = convolutions(network.encoder), convolutions(network.decoder)
    h, g, f, e = (layer.in_channels for layer in reversed(decoder[1:]))
    spectral = min(COMPONENTS, h)
    wanted, target = hierarchy(crops, (spectral, min(g, 4 * spectral), f, min(e, encoder[3].out_channels, encoder[4].out_channels)))
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.zeros_(module.weight)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.PReLU):
                nn.init.ones_(module.weight)
        made = _analysis(network, wanted.mean, torch.from_numpy(with_place_patterns(crops)))
        left = set_latent(encoder[4], decoder[0], made.numpy(), target, wanted.deviations[3])
        set_synthesis(decoder[1:], wanted, network.span)
    return float(-10 * np.log10(left / (64 * crops.shape[1])))


def _analysis(network: SSCNet, mean: Floats, x: Tensor) -> Tensor:
    """Set the encoder's layers but for the latent's; what the last pooling gives."""
    first, *others = convolutions(network.encoder)[:4]
    stage = _spectra(network, first, mean, x)
    steps = list(network.encoder)
    at = steps.index(first) + 2
    x = torch.cat([network.encoder[:at](part) for part in x.split(8)])
    for layer in others:
        stage = _chosen(layer, stage, x)
        stop = steps.index(layer) + 3
        x = torch.cat([network.encoder[at:stop](part) for part in x.split(8)])
        at = stop
    return x


def _spectra(network: SSCNet, layer: nn.Conv2d | nn.ConvTranspose2d, mean: Floats, x: Tensor) -> _Stage:
    """The first layer: principal components that the patterns are no part of, and two channels for each of the six bits."""
    count = min(COMPONENTS, layer.out_channels - 2 * BITS)
    codes = torch.from_numpy(patterns(x.shape[1]))  # (6, bands)
    flat = (x[:, :, ::2, ::2].permute(0, 2, 3, 1).reshape(-1, x.shape[1]) - torch.from_numpy(mean)).double()
    flat -= flat @ codes.T.double() @ codes.double()
    basis, _ = principal(flat.numpy(), count)
    size = torch.from_numpy(np.abs(flat.numpy() @ basis).max(axis=0).astype(np.float32)).clamp(min=1e-3)
    layer.weight[:count, :, 1, 1] = torch.from_numpy(basis.T) / size[:, None]
    # 2 p - 1 and 1 - 2 p, p being 0 or 1 and what the spectra add to it
    bits = slice(count, count + 2 * BITS)
    layer.weight[bits, :, 1, 1] = torch.cat([codes, -codes]) * (2 / PATTERN_SIZE)
    layer.bias.copy_(-(layer.weight[:, :, 1, 1] @ torch.from_numpy(mean)))
    layer.bias[bits] += torch.tensor([-1.0] * BITS + [1.0] * BITS)
    slopes = next(m for m in network.encoder if isinstance(m, nn.PReLU))
    slopes.weight[bits] = 0
    return _Stage(size, BITS)


def _chosen(layer: nn.Conv2d | nn.ConvTranspose2d, stage: _Stage, x: Tensor) -> _Stage:
    """A layer before a pooling: the strongest linear combinations of what it sees, each at the four places."""
    known, columns = len(stage.size), stage.bits // 2
    left = [k for k in range(stage.bits) if k % columns]  # the bits of the poolings to come
    count = min((layer.out_channels - 2 * len(left)) // 4, known)
    values = x[:, :known].permute(0, 2, 3, 1).reshape(-1, known) * stage.size
    # components before the first pooling are the strongest as they are
    first = stage.bits == BITS
    basis = torch.eye(known)[:, :count] if first else torch.from_numpy(principal(values[:: max(1, len(values) // 50000)].numpy(), count)[0])
    size = (values @ basis).abs().amax(0).clamp(min=1e-3)
    weight = torch.zeros_like(layer.weight)
    for place in range(4):
        rows = slice(place * count, (place + 1) * count)
        weight[rows, :known, 1, 1] = (basis * stage.size[:, None] / size).T
        for wanted, bit, axis in ((place % 2, 0, 3), (place // 2, columns, 2)):
            same, other = known + bit + stage.bits * wanted, known + bit + stage.bits * (1 - wanted)
            # the bit is the other one in the columns, or rows, beside
            weight[rows, same].select(axis - 1, 1).fill_(-LOWERED)
            for beside in (0, 2):
                weight[rows, other].select(axis - 1, beside).fill_(-LOWERED)
    for k, bit in enumerate([*left, *(stage.bits + bit for bit in left)]):
        weight[4 * count + k, known + bit, 1, 1] = 1
    layer.weight.copy_(weight)
    return _Stage(size.repeat(4), len(left))
