"""SSCNet (La Grassa et al., "Hyperspectral Data Compression Using Fully Convolutional Autoencoder", Remote Sensing 14(10), 2022).

3 x 3 convolutions with one PReLU slope a channel; three max-poolings to one latent pixel for 64; a mirrored decoder of transposed
convolutions. The rate is set by the latent channels: 1024 for 202 bands are 2.53 bpppc as float32, 0.63 as 8 bit, less when
entropy-coded. Widths as published; a pruned network has its own, read from its checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

BANDS = 202
LATENT = 1024
WIDTHS = (256, 256, 256, 512, 512, 256, 256, 256)  # encoder's four, decoder's four
SPATIAL = 8  # pixels of a frame's side for one of the latent's


class SSCNet(nn.Module):
    """cube float32 (N, bands, H, W) in [0, 1], H and W multiples of 8 -> the same, through a latent (N, latent, H / 8, W / 8)."""

    def __init__(self, bands: int = BANDS, latent: int = LATENT, widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        a, b, c, d, e, f, g, h = widths
        self.encoder = nn.Sequential(
            *_unit(nn.Conv2d(bands, a, 3, padding=1)),
            *_unit(nn.Conv2d(a, b, 3, padding=1)), nn.MaxPool2d(2),
            *_unit(nn.Conv2d(b, c, 3, padding=1)), nn.MaxPool2d(2),
            *_unit(nn.Conv2d(c, d, 3, padding=1)), nn.MaxPool2d(2),
            *_unit(nn.Conv2d(d, latent, 3, padding=1)),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            *_unit(nn.ConvTranspose2d(latent, e, 3, padding=1)),
            *_unit(nn.ConvTranspose2d(e, f, 2, stride=2)),
            *_unit(nn.ConvTranspose2d(f, g, 2, stride=2)),
            *_unit(nn.ConvTranspose2d(g, h, 2, stride=2)),
            nn.ConvTranspose2d(h, bands, 3, padding=1), nn.Sigmoid(),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))

    @property
    def shape(self) -> dict[str, object]:
        """bands, latent and widths: what `SSCNet(**shape)` needs to hold this one's weights, pruned or not."""
        convolutions = [m for m in self.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
        out = [m.out_channels for m in convolutions]
        return {"bands": convolutions[0].in_channels, "latent": out[4], "widths": (*out[:4], *out[5:9])}


def _unit(convolution: nn.Conv2d | nn.ConvTranspose2d) -> tuple[nn.Module, nn.Module]:
    nn.init.kaiming_normal_(convolution.weight, a=0.25, mode="fan_in" if isinstance(convolution, nn.Conv2d) else "fan_out")
    nn.init.zeros_(convolution.bias)
    return convolution, nn.PReLU(convolution.out_channels)


def begin_at_mean(network: SSCNet, spectra: np.ndarray) -> None:
    """Start the decoder at the mean spectrum, its last layer at the spectra's principal directions, so that training begins with
    something like a spectrum and not with the sigmoid's middle. spectra: float32 (N, bands) in [0, 1]."""
    last = network.decoder[-2]
    logit = np.log(np.clip(spectra, 1e-3, 1 - 1e-3) / (1 - np.clip(spectra, 1e-3, 1 - 1e-3)))
    mean = logit.mean(axis=0)
    _, _, directions = np.linalg.svd((logit - mean)[:: max(1, len(logit) // 4000)], full_matrices=False)
    count = min(len(directions), last.in_channels)
    with torch.no_grad():
        last.bias.copy_(torch.from_numpy(mean.astype(np.float32)))
        last.weight.mul_(0.1)
        last.weight[:count, :, 1, 1] += torch.from_numpy(directions[:count].astype(np.float32))


def macs_per_pixel(network: SSCNet) -> float:
    """Multiply-accumulates for each pixel of the cube, all bands together."""
    total, area = 0.0, 1.0
    for layer in [*network.encoder, *network.decoder]:
        if isinstance(layer, nn.MaxPool2d):
            area /= 4
        elif isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            # a transposed convolution multiplies each input once with the whole kernel
            total += layer.weight.numel() * area
            area *= layer.stride[0] ** 2 if isinstance(layer, nn.ConvTranspose2d) else 1
    return total


def parameters(network: SSCNet) -> int:
    return sum(p.numel() for p in network.parameters())
