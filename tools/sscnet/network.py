"""SSCNet (La Grassa et al., "Hyperspectral Data Compression Using Fully Convolutional Autoencoder", Remote Sensing 14(10), 2022).

3 x 3 convolutions with a PReLU slope per channel; three max poolings to one latent pixel per 8 x 8 pixels; a mirrored decoder of transposed
convolutions. The number of latent channels determines the rate: 1024 for 202 bands are 2.53 bpppc as float32, 0.63 with 8 bits, and less
after entropy coding. Widths are as published; a pruned network has its own, read from its checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from edgefuse.hyperspectral.codec.sscnet import with_place_patterns

BANDS = 202
LATENT = 1024
WIDTHS = (256, 256, 256, 512, 512, 256, 256, 256)  # four of the encoder, four of the decoder
SPATIAL = 8  # pixels per latent value along each side
SPAN = (-1.75, 2.25)  # outputs for the last sigmoid's 0 and 1, chosen so that the sigmoid is nearly linear over [0, 1]


class SSCNet(nn.Module):
    """Autoencoder of cubes, float32 (N, bands, H, W) in [0, 1], H and W multiples of 8, with a latent (N, latent, H / 8, W / 8).

    span: outputs for the sigmoid's 0 and 1. places: the encoder's input encodes the pixels' places (tools/sscnet/cell_positions.py).
    """

    def __init__(
        self,
        bands: int = BANDS,
        latent: int = LATENT,
        widths: Sequence[int] = WIDTHS,
        span: tuple[float, float] = (0.0, 1.0),
        places: bool = False,
    ) -> None:
        super().__init__()
        self.span, self.places = span, places
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
        return self.spread(self.decoder(self.encoder(self.entered(x))))

    def entered(self, x: Tensor) -> Tensor:
        """Return the encoder's input for a cube."""
        return x + torch.from_numpy(with_place_patterns(np.zeros(x.shape[1:], np.float32))).to(x) if self.places else x

    def spread(self, y: Tensor) -> Tensor:
        """Convert the sigmoid's output to reflectance."""
        low, high = self.span
        return y if self.span == (0.0, 1.0) else y.float() * (high - low) + low

    @property
    def shape(self) -> dict[str, object]:
        """Arguments bands, latent, widths, span and places, with which `SSCNet(**shape)` can load these weights, pruned or not."""
        convolutions = [m for m in self.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
        out = [m.out_channels for m in convolutions]
        widths = (*out[:4], *out[5:9])
        return {"bands": convolutions[0].in_channels, "latent": out[4], "widths": widths, "span": self.span, "places": self.places}


def read(run: Path) -> SSCNet:
    """Load the final network of a run of tools/sscnet/train.py or tools/sscnet/prune.py."""
    stored = torch.load(run / "final.pt", weights_only=True)
    network = SSCNet(**stored["shape"])
    network.load_state_dict(stored["network"])
    return network.eval()


def _unit(convolution: nn.Conv2d | nn.ConvTranspose2d) -> tuple[nn.Module, nn.Module]:
    # in a transposed convolution with a stride each output pixel depends on one tap
    taps = 1 if convolution.stride[0] > 1 else convolution.kernel_size[0] ** 2
    nn.init.normal_(convolution.weight, std=(2 / (1 + 0.25**2) / (convolution.in_channels * taps)) ** 0.5)
    nn.init.zeros_(convolution.bias)
    return convolution, nn.PReLU(convolution.out_channels)


def begin_with_spectra(network: SSCNet, spectra: np.ndarray) -> None:
    """Initialise the first layer with the spectra's principal components, scaled to about unit variance, and the last layer with the same
    components around the mean spectrum. Bands are so correlated that random weights would respond only to brightness.
    spectra: float32 (N, bands) in [0, 1].
    """
    first, last = network.encoder[0], network.decoder[-2]
    chosen = spectra[:: max(1, len(spectra) // 8000)].astype(np.float64)
    for layer, values in ((first, chosen), (last, np.log(np.clip(chosen, 1e-3, 1 - 1e-3) / (1 - np.clip(chosen, 1e-3, 1 - 1e-3))))):
        mean = values.mean(axis=0)
        _, size, directions = np.linalg.svd(values - mean, full_matrices=False)
        deviation = np.maximum(size / len(values) ** 0.5, 1e-3)
        channels = layer.out_channels if layer is first else layer.in_channels
        take = np.arange(channels) % (channels // 4)  # the strongest quarter four times, with different signs and neighbouring pixels
        with torch.no_grad():
            if layer is first:
                basis = torch.from_numpy((directions / deviation[:, None])[take].astype(np.float32))
                spread = torch.randn(channels, 1, 3, 3) * 0.25
                spread[:, :, 1, 1] += torch.from_numpy(np.where(np.arange(channels) < channels // 2, 1.0, -1.0).astype(np.float32))[:, None]
                layer.weight.copy_(basis[:, :, None, None] * spread)
                layer.bias.copy_(-(layer.weight.sum((2, 3)) @ torch.from_numpy(mean.astype(np.float32))))
            else:
                basis = torch.from_numpy((directions * deviation[:, None])[take].astype(np.float32))
                layer.weight.zero_()
                layer.weight[:, :, 1, 1] = basis * 0.5
                layer.bias.copy_(torch.from_numpy(mean.astype(np.float32)))


def macs_per_pixel(network: SSCNet) -> float:
    """Return multiply-accumulates per pixel of the cube, for all bands together."""
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
