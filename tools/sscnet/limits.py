"""Finds SSCNet's best possible result on one scene: `python -m tools.sscnet.limits --scene abu_airport_3 --steps 1000 [--places]`.

The network is initialised on that scene alone (linear_start.py, or cell_positions.py) and then overfitted to it, on a random square in
every step. The squares begin at any pixel: a scene has fewer cells of 8 x 8 pixels than the latent has channels, and with a fixed grid the
decoder would memorise them. Prints the PSNR of the scene's centre during training.
"""

from __future__ import annotations

import argparse
import json
import math
import sys

import numpy as np
import torch

from tools import resumable_training
from tools.data.cubes import load
from tools.sscnet import cell_positions, linear_start
from tools.sscnet.mixing import Source
from tools.sscnet.network import SPAN, SSCNet
from tools.sscnet.train import PUBLIC, psnr
from tools.sscnet.train_from_linear import paces

SIZE = 64


def overfit(args: argparse.Namespace) -> None:
    resumable_training.prepare(args)
    (scene,) = (s for s in load(args.data) if s.name == args.scene)
    top, left = ((n - SIZE) // 2 for n in scene.cube.shape[1:])

    def square(row: int, column: int) -> torch.Tensor:
        made = torch.from_numpy(np.ascontiguousarray(scene.cube[None, :, row : row + SIZE, column : column + SIZE]))
        return made.contiguous(memory_format=torch.channels_last)

    middle, rng = square(top, left), np.random.default_rng(args.seed)
    network = SSCNet(span=SPAN, places=args.places)
    crops = np.concatenate([Source([scene], [], SIZE).batch(8, np.random.default_rng(k)) for k in range(6)])
    (cell_positions if args.places else linear_start).begin(network, crops)
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(paces(network), lr=args.rate, weight_decay=0.0, betas=(0.9, 0.99))
    for step in range(args.steps + 1):
        if step % args.every == 0 or step == args.steps:
            with torch.no_grad():
                print(
                    json.dumps({"step": step, "psnr_db": round(psnr(middle.numpy(), network(middle).clamp(0, 1).numpy()), 2)}), flush=True
                )
        share = min(1.0, (step + 1) / resumable_training.WARM) * 0.5 * (1 + math.cos(math.pi * step / (args.steps + 1)))
        for group in optimiser.param_groups:
            group["lr"] = args.rate * share * group.get("share", 1.0)
        x = square(*(int(rng.integers(0, n - SIZE + 1)) for n in scene.cube.shape[1:]))
        with torch.autocast("cpu", torch.bfloat16):
            y = network(x)
        optimiser.zero_grad(set_to_none=True)
        (y.float() - x).square().mean().log().backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), resumable_training.CLIP)
        optimiser.step()


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m tools.sscnet.limits", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--scene", default="abu_airport_3", help="name of a scene in --data (default: %(default)s)")
    p.add_argument("--places", action="store_true", help="encode the pixels' places in the input")
    p.add_argument("--data", nargs="+", default=PUBLIC, metavar="KIND:DIR", help="as in tools.sscnet.train_from_linear")
    p.add_argument("--steps", type=int, default=1000)
    p.add_argument("--every", type=int, default=50, help="steps between two printed figures (default: %(default)s)")
    p.add_argument("--rate", type=float, default=5e-5, help="peak learning rate of AdamW (default: %(default)s)")
    p.add_argument("--nice", type=int, default=10)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--seed", type=int, default=0)
    return p


def main() -> None:
    try:
        overfit(parser().parse_args())
    except (ValueError, OSError) as e:
        sys.exit(f"tools.sscnet.limits: {e}")


if __name__ == "__main__":
    main()
