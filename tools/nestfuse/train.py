"""Trains NestFuse as an autoencoder: `python -m tools.nestfuse.train --weight 100 --data coco128:DIR photos:DIR`.

The loss is the pixels' mean squared error plus `--weight` (the paper's lambda) times 1 - SSIM. The attention has no parameters and is used
only when two frames are fused. Each weight is a separate run, RUNS/nestfuse-WEIGHT. `--model nestfuse-small` halves the intermediate
channels of the run `--from` (halve_channels.py) and continues its training. tools/training_loop.py describes the files of a run and how to
resume it; plot_losses.py plots it.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tools import command_line, training_loop
from tools.data.pairs import split
from tools.data.photographs import Photograph, crops, load
from tools.mobilefuse.train import PUBLIC
from tools.nestfuse.halve_channels import halved
from tools.nestfuse.network import NAME, SMALL, NestFuse, firing
from tools.soft_metrics import ssim

SCORED, SCORED_SIZE = 8, 64  # number and side of the validation crops
WARM, CLIP = 400, 1.0  # steps until the full rate; limit of the gradient's norm, which prevents a single step from killing many channels


def losses(network: NestFuse, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean squared error, and 1 - SSIM, of frames (N, 1, H, W) in [0, 1] after encoding and decoding."""
    with torch.autocast("cpu", torch.bfloat16):
        y = network.decode(network.encode(x))
    y = y.float()
    return nn.functional.mse_loss(y, x), 1 - ssim(y, x)


def score(network: NestFuse, x: Tensor) -> dict[str, Any]:
    """Return both losses on fixed frames, the PSNR (dB, peak 1), and the number of active intermediate channels of each block."""
    with firing(network) as fired, torch.no_grad():
        made = [losses(network, part) for part in x.split(4)]
    pixel, structure = (float(torch.stack(v).mean()) for v in zip(*made, strict=True))
    alive = {"all": sum(int(f.sum()) for f in fired.values())} | {name: int(f.sum()) for name, f in fired.items()}
    figures = {"pixel_loss": round(pixel, 7), "ssim_loss": round(structure, 6), "psnr_db": round(-10 * float(np.log10(pixel)), 2)}
    return figures | {"alive": alive}


def run_name(args: argparse.Namespace) -> str:
    return f"{args.model}-{args.weight:g}"


def start(args: argparse.Namespace, x: Tensor) -> NestFuse:
    """Return a network initialised on frames x (N, 1, H, W), or that of `--from`, halved on these frames for nestfuse-small."""
    if args.origin is None:
        return NestFuse(2 if args.model == NAME else 4).settled(x)
    network = NestFuse()
    network.load_state_dict(torch.load(args.runs / args.origin / "last.pt", weights_only=True)["network"])
    return network if args.model == NAME else halved(network, torch.cat([x, x.flip(0)], 1))


def train(args: argparse.Namespace) -> dict[str, object]:
    training_loop.prepare(args)
    parts = split(load(args.data))

    def frames(photographs: list[Photograph], count: int, size: int, rng: np.random.Generator) -> Tensor:
        return torch.from_numpy(crops(photographs, count, size, rng)).contiguous(memory_format=torch.channels_last)

    def loss(rng: np.random.Generator) -> Tensor:
        pixel, structure = losses(network, frames(parts["train"], args.batch, args.size, rng))
        return pixel + args.weight * structure

    parts_of = ("train", "validation", "test")
    seen, held_out, test = (frames(parts[k], SCORED, SCORED_SIZE, np.random.default_rng(args.seed)) for k in parts_of)
    network = start(args, seen).to(memory_format=torch.channels_last)
    name = args.name or run_name(args)
    spent = training_loop.descend(args, name, network, loss, lambda: score(network, held_out), warm=WARM, fall=0.99, clip=CLIP)
    if spent is None:
        return {"stopped_at": args.stop_after}
    figures = score(network, test)
    result: dict[str, object] = {
        "model": args.model,
        "data": training_loop.named(args.data),
        "photographs": {k: len(v) for k, v in parts.items()},
        "weight": args.weight, "from": args.origin, **training_loop.settings(args, spent), "alive": figures.pop("alive"), "test": figures,
    }  # fmt: skip
    return training_loop.write_result(args.runs, name, result)


def parser() -> argparse.ArgumentParser:
    p = command_line.parser("tools.nestfuse.train", __doc__)
    p.add_argument("--model", choices=(NAME, SMALL), default=NAME)
    p.add_argument("--weight", type=float, default=100.0, help="weight (lambda) of the SSIM loss; the paper compares 1, 10, 100 and 1000")
    p.add_argument("--from", dest="origin", metavar="RUN", help="run of nestfuse to start from")
    p.add_argument("--name", help="name of this run (default: MODEL-WEIGHT)")
    p.add_argument("--data", nargs="+", default=PUBLIC, metavar="KIND:DIR", help="coco:DIR, coco128:DIR, voc:DIR or photos:DIR")
    p.add_argument("--size", type=int, default=48, help="side of a crop in pixels, a multiple of 8")
    training_loop.add_options(p, steps=4500, batch=4, rate=2e-4, every=100, threads=1)
    return p


def main() -> None:
    command_line.run("tools.nestfuse.train", parser(), train, keep_buffers=True)


if __name__ == "__main__":
    main()
