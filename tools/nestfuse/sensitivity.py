"""Measures how much NestFuse's output depends on each part of the decoder: `python -m tools.nestfuse.sensitivity --run nestfuse`.

On real pairs, a row is the PSNR (dB, peak 1) of the output with one part removed relative to the complete output, and the part's
multiply-accumulates per pixel. Parts: a block's output (replaced by its mean over the frame), the enlarged input from the level below
(likewise), and all but a half or a quarter of a block's intermediate channels (those with the largest weights are kept).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from tools import training_loop
from tools.mobilefuse.train_edge import PUBLIC
from tools.nestfuse import nestfuse_graph
from tools.nestfuse.distil import crops, psnr
from tools.nestfuse.network import ATTENTIONS, CONTRAST, FILTERS, NAME, NestFuse, strongest

Hook = Callable[..., object]


def mean(x: Tensor) -> Tensor:
    return x.mean((2, 3), keepdim=True).expand_as(x)


def parts(network: NestFuse) -> Iterator[tuple[str, float, nn.Module, Hook, bool]]:
    """Yield (name, multiply-accumulates per pixel, module, hook, whether the hook runs before the module)."""
    for name, block in network.decoder.items():
        assert isinstance(block, nn.Sequential)
        level = int(name[0])
        shrunk, below = 4 ** (level - 1), FILTERS[level]
        into, out = block[0].weight, block[2].weight
        if name != "13":
            yield f"{name}: its output", (into.numel() + out.numel()) / shrunk, block, lambda _, __, y: mean(y), False

        def flattened(_: nn.Module, taken: tuple[Tensor], below: int = below) -> tuple[Tensor]:
            return (torch.cat([taken[0][:, :-below], mean(taken[0][:, -below:])], 1),)

        yield f"{name}: what comes from below", below * into[:, 0].numel() / shrunk, block, flattened, True
        for share in (2, 4):
            mask = torch.zeros(len(into))
            mask[strongest(block, len(into) // share)] = 1
            cost = (1 - 1 / share) * (into.numel() + out.numel()) / shrunk
            yield f"{name}: all but 1/{share} of its channels", cost, block[1], lambda _, __, y, m=mask: y * m[:, None, None], False


def measure(network: NestFuse, pairs: np.ndarray) -> list[dict[str, object]]:
    """Measure on pairs, uint8 (N, 2, H, W). Returns rows of part, psnr_db and macs_per_pixel; the least important parts come first."""
    frames = torch.from_numpy(pairs.astype(np.float32) / 255)
    with torch.no_grad():
        fused = [
            [network.fuse(a, b) for a, b in zip(network.encode(x[None, :1]), network.encode(x[None, 1:]), strict=True)] for x in frames
        ]
        whole = [network.decode(f).clamp(0, 1) for f in fused]
        rows: list[dict[str, object]] = []
        for name, cost, module, hook, before in parts(network):
            held = module.register_forward_pre_hook(hook) if before else module.register_forward_hook(hook)
            error = torch.stack([((network.decode(f).clamp(0, 1) - w) ** 2).mean() for f, w in zip(fused, whole, strict=True)])
            held.remove()
            rows.append({"part": name, "psnr_db": psnr(error.mean()), "macs_per_pixel": round(cost)})
    return sorted(rows, key=lambda row: -float(str(row["psnr_db"])))


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m tools.nestfuse.sensitivity", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--run", default=NAME, help="run of tools.nestfuse.train (default: %(default)s)")
    p.add_argument("--runs", type=Path, default=training_loop.ROOT / "runs", help="folder of runs (default: %(default)s)")
    p.add_argument("--pairs", nargs="+", type=Path, default=PUBLIC, metavar="DIR", help="folders with visible/ and infrared/")
    p.add_argument("--attention", choices=ATTENTIONS, default="average")
    p.add_argument("--contrast", type=float, default=CONTRAST)
    p.add_argument("--crops", type=int, default=8)
    p.add_argument("--size", type=int, default=96)
    p.add_argument("--seed", type=int, default=1)
    return p


def main() -> None:
    args = parser().parse_args()
    try:
        network = nestfuse_graph.load(args.runs / args.run / "last.pt", 2, args.attention, args.contrast)
        for row in measure(network, crops(args.pairs, args.crops, args.size, args.seed)):
            print(json.dumps(row))
    except (ValueError, OSError) as e:
        sys.exit(f"tools.nestfuse.sensitivity: {e}")


if __name__ == "__main__":
    main()
