"""Derives nestfuse-small from nestfuse: removes half of each block's intermediate channels, selected on real frames.

After Hassibi and Stork's optimal brain surgeon, block by block from the first: the 1 x 1 convolution after the channels is fitted by least
squares, from its inputs in the halved network, to its outputs in the whole network. The channel whose removal the others compensate best is
removed, and so on until half are left.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from tools.nestfuse.network import NestFuse, is_block

RIDGE = 1e-4  # ridge as a share of a channel's mean square, against huge weights for nearly dependent channels


def halved(network: NestFuse, pairs: Tensor) -> NestFuse:
    """Return nestfuse-small, fitted to the activations of `network` while it fuses `pairs`, float32 (N, 2, H, W) in [0, 1]."""
    small, work = NestFuse(2 * network.share, network.attention, network.contrast), copy.deepcopy(network)
    stay = {name: torch.tensor([]) for name, part in network.named_modules() if is_block(part)}
    for name in stay:
        made, wanted = work.get_submodule(name), network.get_submodule(name)
        stay[name], weights = without_half(*moments(network, work, made, wanted, pairs))
        with torch.no_grad():
            made[2].weight.copy_(weights[:, :-1, None, None])
            made[2].bias.copy_(weights[:, -1])
    state = work.state_dict()
    for name, best in stay.items():
        state |= {f"{name}.0.{k}": state[f"{name}.0.{k}"][best] for k in ("weight", "bias")}
        state[f"{name}.2.weight"] = state[f"{name}.2.weight"][:, best]
    small.load_state_dict(state)
    return small


def moments(network: NestFuse, work: NestFuse, made: nn.Module, wanted: nn.Module, pairs: Tensor) -> tuple[Tensor, Tensor]:
    """Return second moments of a block's channels in `work` (plus a constant 1), and their moments with its outputs in `network`.

    float64 (channels + 1, channels + 1) and (outputs, channels + 1), summed over pixels, in the encoder of both frames.
    """
    seen: list[list[Tensor]] = [[], []]
    flat = [lambda _, __, y, k=k: seen[k].append(y.transpose(0, 1).flatten(1).double()) for k in range(2)]
    hooks = [made[1].register_forward_hook(flat[0]), wanted[2].register_forward_hook(flat[1])]
    square = cross = torch.zeros(())
    for pair in pairs:
        with torch.no_grad():
            for each in (network, work):
                each(pair[None, :1], pair[None, 1:])
        channels, drawn = (torch.cat(x, 1) for x in seen)
        channels = torch.cat([channels, torch.ones_like(channels[:1])])
        square, cross = square + channels @ channels.T, cross + drawn @ channels.T
        for x in seen:
            x.clear()
    for hook in hooks:
        hook.remove()
    return square, cross


def without_half(square: Tensor, cross: Tensor) -> tuple[Tensor, Tensor]:
    """Return the remaining channels, in order, and weights float32 (outputs, channels + 1), zero for removed ones; the last is the bias."""
    count = len(square) - 1
    inverse = torch.linalg.inv(square + (RIDGE * square.diagonal()[:-1].mean() + 1e-9) * torch.eye(count + 1))
    weights = cross @ inverse
    stay = torch.ones(count, dtype=torch.bool)
    for _ in range(count // 2):
        loss = weights[:, :-1].square().sum(0) / inverse.diagonal()[:-1]
        k = int(torch.where(stay, loss, torch.inf).argmin())
        weights -= torch.outer(weights[:, k], inverse[k] / inverse[k, k])
        inverse -= torch.outer(inverse[:, k], inverse[k] / inverse[k, k])
        stay[k] = False
        weights[:, k] = 0
        inverse[k, k] = 1  # removed; 1 avoids a division by zero
    return torch.nonzero(stay)[:, 0], weights.float()
