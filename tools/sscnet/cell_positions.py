"""Encodes each pixel's place in its cell of 8 x 8 pixels in SSCNet's input, so that max pooling selects a place.

Convolutions treat all pixels alike, and max pooling keeps the largest of four values but not its position. Six patterns over the bands, of
higher frequency than spectra, are added to the cube; each is present or absent by one bit of the pixel's row or column. The first layer
detects them as it computes principal components: with PReLU slopes of 0, one channel is positive where the bit is set and exactly 0
elsewhere, and another one the opposite, for all spectra. In the second layer each channel is one component at one of the four places: at
the other places it is lowered by more than any value, so that max pooling selects the value at that place, and not the largest one. The
following two poolings work in the same way. So the published layers compute a linear block transform without any change.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from edgefuse.hyperspectral.codec.sscnet import PATTERN_SIZE, patterns, with_place_patterns
from tools.sscnet.linear_start import Floats, convolutions, hierarchy, principal, set_latent, set_synthesis
from tools.sscnet.network import SSCNet

BITS = 6  # bits 1, 2, 4 of the column, then of the row
# a channel's values are within -1..1 on the crops; at other places each tap lowers it by this amount (nine taps, four in a corner), which
# keeps the weights small enough for int8
LOWERED = 0.6
COMPONENTS = 64


@dataclass
class _Stage:
    """Channels after a pooling. size: units of the components' channels, (channels,). They are followed by a channel for each remaining bit
    that is positive where the bit is set, then by one for each bit that is positive where it is not set."""

    size: Tensor
    bits: int


def begin(network: SSCNet, crops: Floats) -> float:
    """Set all weights of `network` from crops (N, bands, H, W) without patterns. H, W: multiples of 8, at least 32.

    Returns the PSNR in dB of the coefficients that the decoder gets from the latent, without the error of dropped coefficients.
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
    """Set the encoder's layers except the latent's, and return the output of the last pooling."""
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
    """Set the first layer: principal components orthogonal to the patterns, and two channels for each of the six bits."""
    count = min(COMPONENTS, layer.out_channels - 2 * BITS)
    codes = torch.from_numpy(patterns(x.shape[1]))  # (6, bands)
    flat = (x[:, :, ::2, ::2].permute(0, 2, 3, 1).reshape(-1, x.shape[1]) - torch.from_numpy(mean)).double()
    flat -= flat @ codes.T.double() @ codes.double()
    basis, _ = principal(flat.numpy(), count)
    size = torch.from_numpy(np.abs(flat.numpy() @ basis).max(axis=0).astype(np.float32)).clamp(min=1e-3)
    layer.weight[:count, :, 1, 1] = torch.from_numpy(basis.T) / size[:, None]
    # 2 p - 1 and 1 - 2 p, where p is 0 or 1 plus the spectra's contribution
    bits = slice(count, count + 2 * BITS)
    layer.weight[bits, :, 1, 1] = torch.cat([codes, -codes]) * (2 / PATTERN_SIZE)
    layer.bias.copy_(-(layer.weight[:, :, 1, 1] @ torch.from_numpy(mean)))
    layer.bias[bits] += torch.tensor([-1.0] * BITS + [1.0] * BITS)
    slopes = next(m for m in network.encoder if isinstance(m, nn.PReLU))
    slopes.weight[bits] = 0
    return _Stage(size, BITS)


def _chosen(layer: nn.Conv2d | nn.ConvTranspose2d, stage: _Stage, x: Tensor) -> _Stage:
    """Set a layer before a pooling: the strongest linear combinations of its inputs, each at the four places."""
    known, columns = len(stage.size), stage.bits // 2
    left = [k for k in range(stage.bits) if k % columns]  # the bits for the following poolings
    count = min((layer.out_channels - 2 * len(left)) // 4, known)
    values = x[:, :known].permute(0, 2, 3, 1).reshape(-1, known) * stage.size
    # before the first pooling the principal components are already the strongest combinations
    first = stage.bits == BITS
    basis = torch.eye(known)[:, :count] if first else torch.from_numpy(principal(values[:: max(1, len(values) // 50000)].numpy(), count)[0])
    size = (values @ basis).abs().amax(0).clamp(min=1e-3)
    weight = torch.zeros_like(layer.weight)
    for place in range(4):
        rows = slice(place * count, (place + 1) * count)
        weight[rows, :known, 1, 1] = (basis * stage.size[:, None] / size).T
        for wanted, bit, axis in ((place % 2, 0, 3), (place // 2, columns, 2)):
            same, other = known + bit + stage.bits * wanted, known + bit + stage.bits * (1 - wanted)
            # the bit is inverted in the neighbouring columns or rows
            weight[rows, same].select(axis - 1, 1).fill_(-LOWERED)
            for beside in (0, 2):
                weight[rows, other].select(axis - 1, beside).fill_(-LOWERED)
    for k, bit in enumerate([*left, *(stage.bits + bit for bit in left)]):
        weight[4 * count + k, known + bit, 1, 1] = 1
    layer.weight.copy_(weight)
    return _Stage(size.repeat(4), len(left))
