"""Initialises SSCNet as a linear transform: principal components x an 8 x 8 block transform, as closely as its layers allow.

Max pooling gives the largest of four values. If a channel and its negative are both pooled, half of their difference is the middle between
the largest and the smallest value, which is the mean if the four lie on a plane. So each linear feature takes two channels, and the next
convolution uses their difference. All PReLU slopes start at 1, so there is no other nonlinearity. The decoder does not have this problem:
a transposed convolution with stride 2 computes each 2 x 2 pixels by its own linear map, so it starts as the exact inverse of a hierarchy of
principal components (of bands, then of 2 x 2, 4 x 4 and 8 x 8 pixels).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d

from tools.sscnet.network import SSCNet

Floats = NDArray[np.float32]
COMPONENTS = 64
RIDGE = 1e-4  # ridge of the regression, as a share of the regressors' variance
FLOOR = 2e-3  # lower limit of the standard deviation that a channel is divided by; smaller ones are noise


@dataclass(frozen=True)
class Hierarchy:
    """A hierarchy of principal components. mean: (bands,). bases: of bands (bands, K), then of 2 x 2, 4 x 4 and 8 x 8 pixels,
    (4 x inputs, outputs), orthonormal. deviations: standard deviations of each basis's coefficients."""

    mean: Floats
    bases: tuple[Floats, ...]
    deviations: tuple[Floats, ...]


def hierarchy(crops: Floats, widths: tuple[int, ...]) -> tuple[Hierarchy, Floats]:
    """Compute the hierarchy of crops (N, bands, H, W), and the crops' coefficients (N, widths[-1], H / 8, W / 8).

    widths: numbers of coefficients to keep for bands, and for 2 x 2, 4 x 4 and 8 x 8 pixels.
    """
    spectra = crops[:, :, ::2, ::2].transpose(0, 2, 3, 1).reshape(-1, crops.shape[1]).astype(np.float64)
    mean = spectra.mean(axis=0)
    basis, deviation = principal(spectra - mean, widths[0])
    bases, deviations = [basis], [deviation]
    y = np.einsum("nbhw,bk->nhwk", crops - mean[None, :, None, None].astype(np.float32), basis, optimize=True)
    for width in widths[1:]:
        y = folded(y)
        values = y.reshape(-1, y.shape[-1])
        basis, deviation = principal(values[:: max(1, len(values) // 50000)], width)
        bases.append(basis)
        deviations.append(deviation)
        y = y @ basis
    return Hierarchy(mean.astype(np.float32), tuple(bases), tuple(deviations)), y.transpose(0, 3, 1, 2)


def folded(y: Floats) -> Floats:
    """Fold (N, H, W, C) to (N, H / 2, W / 2, 4 C), indexed by (channel, row, column)."""
    n, h, w, c = y.shape
    return y.reshape(n, h // 2, 2, w // 2, 2, c).transpose(0, 1, 3, 5, 2, 4).reshape(n, h // 2, w // 2, c * 4)


def principal(values: NDArray[np.floating], count: int) -> tuple[Floats, Floats]:
    energy, vectors = np.linalg.eigh(values.T.astype(np.float64) @ values.astype(np.float64) / len(values))
    vectors, energy = vectors[:, ::-1][:, :count], energy[::-1][:count]
    return vectors.astype(np.float32), np.sqrt(np.maximum(energy, 0)).astype(np.float32)


def begin(network: SSCNet, crops: Floats) -> float:
    """Set all weights of `network` from crops (N, bands, H, W). H, W: multiples of 8, at least 32.

    Returns the PSNR in dB of the coefficients that the decoder gets from the latent, without the error of dropped coefficients.
    """
    encoder, decoder = convolutions(network.encoder), convolutions(network.decoder)
    h, g, f, e = (layer.in_channels for layer in reversed(decoder[1:]))
    wanted, target = hierarchy(crops, (min(COMPONENTS, h), min(g, 4 * COMPONENTS), f, min(e, encoder[4].out_channels)))
    with torch.no_grad():
        for layer in [*encoder, *decoder]:
            nn.init.normal_(layer.weight, std=(1 / (layer.in_channels * 9)) ** 0.5)
            nn.init.zeros_(layer.bias)
        for slope in network.modules():
            if isinstance(slope, nn.PReLU):
                nn.init.ones_(slope.weight)
        made = _analysis(network, encoder, wanted, torch.from_numpy(crops))
        left = set_latent(encoder[4], decoder[0], made.numpy(), target, wanted.deviations[3])
        set_synthesis(decoder[1:], wanted, network.span)
    return float(-10 * np.log10(left / (64 * crops.shape[1])))


def convolutions(part: nn.Sequential) -> list[nn.Conv2d | nn.ConvTranspose2d]:
    return [layer for layer in part if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]


def _analysis(network: SSCNet, layers: list[nn.Conv2d | nn.ConvTranspose2d], wanted: Hierarchy, crops: Tensor) -> Tensor:
    """Set the four convolutions before the latent's, and return the crops' output of the last pooling."""
    first, count = layers[0], wanted.bases[0].shape[1]
    scale = torch.from_numpy(1 / np.maximum(wanted.deviations[0], FLOOR))
    first.weight[:count] = 0
    first.weight[:count, :, 1, 1] = torch.from_numpy(wanted.bases[0].T) * scale[:, None]
    first.bias.copy_(-(first.weight.sum((2, 3)) @ torch.from_numpy(wanted.mean)))
    # each channel's unit, and the channels and signs that represent one feature
    worth, features = 1 / scale, [(k, None) for k in range(count)]
    steps = list(network.encoder)
    at = steps.index(first) + 2
    x = torch.cat([network.encoder[:at](part) for part in crops.split(8)])
    for layer in layers[1:4]:
        worth, features = _pooled_pairs(layer, x[::4], worth, features)
        stop = steps.index(layer) + 3
        x = torch.cat([network.encoder[at:stop](part) for part in x.split(8)])
        at = stop
    return x


_EVEN, _ODD = torch.tensor([0.0, 1.0, 0.0]), torch.tensor([-0.4, 0.0, 0.4])
_FILTERS = torch.stack([torch.outer(a, b) for a in (_EVEN, _ODD) for b in (_EVEN, _ODD)])


def _pooled_pairs(
    layer: nn.Conv2d | nn.ConvTranspose2d, x: Tensor, worth: Tensor, features: list[tuple[int, int | None]]
) -> tuple[Tensor, list[tuple[int, int | None]]]:
    """Set `layer` to compute the strongest of the features' means and differences across rows and columns, each with its negative."""
    half = min(layer.out_channels // 2, 4 * len(features))
    signal = torch.stack([x[:, k] if pair is None else (x[:, k] - x[:, pair]) / 2 for k, pair in features], 1)
    n, c, h, w = signal.shape
    seen = conv2d(signal.reshape(n * c, 1, h, w), _FILTERS[:, None], padding=1).reshape(n, c * 4, h, w)
    inside = avg_pool2d(seen[:, :, 2:-2, 2:-2], 2)
    strength = inside.square().mean((0, 2, 3)).sqrt()
    chosen = torch.argsort(strength * worth.repeat_interleave(4), descending=True)[:half]
    layer.weight[: 2 * half] = 0
    for place, index in enumerate(chosen.tolist()):
        feature, kind = divmod(index, 4)
        size = 1 / max(float(strength[index]), 1e-3)
        k, pair = features[feature]
        kernel = _FILTERS[kind] * size
        for row, sign in ((place, 1), (place + half, -1)):
            layer.weight[row, k] = sign * kernel if pair is None else sign * kernel / 2
            if pair is not None:
                layer.weight[row, pair] = -sign * kernel / 2
    return worth[chosen // 4] * strength[chosen].clamp(min=1e-3), [(k, k + half) for k in range(half)]


def unit(deviation: Floats) -> Floats:
    """Return the unit of a decoder's channel: the square root of its standard deviation. With the standard deviation itself, 8-bit weights
    would cost 1.2 dB; with the same unit for all channels, the weak ones would not be trained."""
    return np.sqrt(np.maximum(deviation, FLOOR))


def set_latent(
    encode: nn.Conv2d | nn.ConvTranspose2d, decode: nn.Conv2d | nn.ConvTranspose2d, seen: Floats, target: Floats, deviation: Floats
) -> float:
    """Regress the coefficients (N, K, h, w) on the pooled channels (N, C, h, w) for the first latents; the others are the channels.

    Returns the regression's residual as the sum of squares per cell.
    """
    count, channels = target.shape[1], seen.shape[1]
    a, t = (v[:, :, 1:-1, 1:-1].transpose(0, 2, 3, 1).reshape(-1, v.shape[1]) for v in (seen, target))
    middle = a.mean(axis=0)
    square = (a - middle).T @ (a - middle) / len(a)
    square[np.diag_indices(channels)] *= 1 + RIDGE
    mean = t.mean(axis=0)
    weights = np.linalg.solve(square + 1e-6 * np.eye(channels, dtype=np.float32), (a - middle).T @ (t - mean) / len(a))
    left = float(np.square((a - middle) @ weights + mean - t).sum(axis=1).mean())
    kept = np.maximum(deviation, FLOOR)
    scale = 1 / kept
    encode.weight.zero_()
    encode.weight[:count, :, 1, 1] = torch.from_numpy((weights * scale).T.astype(np.float32))
    encode.bias[:count] = torch.from_numpy((mean - middle @ weights) * scale)
    rest = min(encode.out_channels - count, channels)
    encode.weight[count : count + rest, :rest, 1, 1] = torch.eye(rest)
    decode.weight.zero_()
    decode.weight[:count, :count, 1, 1] = torch.diag(torch.from_numpy(kept / unit(deviation)))
    return left


def set_synthesis(layers: list[nn.Conv2d | nn.ConvTranspose2d], wanted: Hierarchy, span: tuple[float, float]) -> None:
    """Set the decoder's layers after the first one, from the coefficients of 8 x 8 pixels down to bands."""
    for layer, level in zip(layers[:3], (3, 2, 1), strict=True):
        inside, outside = (unit(wanted.deviations[k]) for k in (level, level - 1))
        basis = wanted.bases[level].reshape(len(outside), 2, 2, -1).transpose(3, 0, 1, 2)
        made = basis * inside[:, None, None, None] / outside[None, :, None, None]
        layer.weight[: len(inside), : len(outside)] = torch.from_numpy(np.ascontiguousarray(made))
        layer.weight[len(inside) :, : len(outside)] = 0
    last, count = layers[3], wanted.bases[0].shape[1]
    width = span[1] - span[0]
    last.weight.zero_()
    # the sigmoid's slope is 1/4 at its centre
    last.weight[:count, :, 1, 1] = torch.from_numpy((wanted.bases[0] * unit(wanted.deviations[0])).T * 4 / width)
    last.bias.copy_(torch.from_numpy((wanted.mean - (span[0] + span[1]) / 2) * 4 / width))
