"""Train the network of MobileFuse-edge: `python -m tools.mobilefuse.train_edge --pairs roadscene msrs_train`.

Learns from pseudo-labels (tools/data/targets.py) where warm targets are in the infrared frame. The loss is the cross-entropy between the
widened map and the widened targets; targets have a larger weight, and doubtful regions are ignored. Crops are computed once and depend on
the seed. tools/training_loop.py describes what a run writes (to RUNS/mobilefuse-edge) and how it resumes.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tools import command_line, training_loop
from tools.data.targets import Crops, crops, load
from tools.mobilefuse.target_network import NAME, TargetNet

PUBLIC = [training_loop.ROOT.parent / "shared/data/fusion" / name for name in ("roadscene", "msrs_train")]
SIZE = (192, 256)  # height and width of a crop, pixels
TARGET_WEIGHT = 2.5  # weight of targets in the loss; the rest has 1


def tensors(c: Crops) -> tuple[Tensor, Tensor]:
    """Convert crops to (pairs in [0, 1], labels), float32."""
    return torch.from_numpy(c.pairs).float() / 255, torch.from_numpy(c.labels).float()


def widened(network: TargetNet, pairs: Tensor) -> Tensor:
    """Return logits at the labels' size, an eighth of the frame's, enlarged as the fuser does."""
    logits = network.logits(pairs[:, :1], pairs[:, 1:])
    return torch.nn.functional.interpolate(logits, scale_factor=2, mode="bilinear", align_corners=False)


def score(network: TargetNet, pairs: Tensor, labels: Tensor) -> dict[str, float]:
    """Return recall and precision of cells with a map above one half; doubtful cells are ignored."""
    network.eval()
    with torch.no_grad():
        detected = torch.cat([widened(network, p) for p in pairs.split(32)]) > 0
    network.train()
    target = labels[:, :1] > 0
    counted = target | (labels[:, 1:] == 0)
    hits = float((detected & target).sum())
    recall, precision = hits / max(1.0, float(target.sum())), hits / max(1.0, float((detected & counted).sum()))
    return {"target_recall": round(recall, 3), "target_precision": round(precision, 3)}


def train(args: argparse.Namespace) -> dict[str, object]:
    """Train the network, and return the content of result.json."""
    training_loop.prepare(args)
    begun = time.monotonic()
    parts = load(args.pairs)
    pairs, labels = tensors(crops(parts["train"], args.crops, SIZE, args.seed, args.swap))
    held_out = tensors(crops(parts["validation"], max(1, args.crops // 10), SIZE, args.seed + 1, 0.0))
    network = TargetNet()
    with torch.no_grad():
        # targets are rare, so start with a low probability
        network.body[-1][0].bias.fill_(-3.0)

    def loss(rng: np.random.Generator) -> Tensor:
        chosen = torch.from_numpy(rng.choice(len(pairs), min(args.batch, len(pairs)), replace=False))
        x, y = pairs[chosen], labels[chosen]
        if rng.random() < 0.5:
            x, y = x.flip(3), y.flip(3)
        target, doubtful = y[:, :1], y[:, 1:] * (1 - y[:, :1])
        weight = (1 + (TARGET_WEIGHT - 1) * target) * (1 - doubtful)
        return torch.nn.functional.binary_cross_entropy_with_logits(widened(network, x), target, weight)

    spent = training_loop.descend(args, NAME, network, loss, lambda: score(network, *held_out), warm=50, fall=1.0, begun=begun)
    if spent is None:
        return {"stopped_at": args.stop_after}
    result: dict[str, object] = {
        "model": NAME, "data": [p.name for p in args.pairs], "pairs": {k: len(v) for k, v in parts.items()}, "crops": args.crops,
        "swap": args.swap, **training_loop.settings(args, spent), "test": score(network, *held_out),
    }  # fmt: skip
    return training_loop.write_result(args.runs, NAME, result)


def parser() -> argparse.ArgumentParser:
    p = command_line.parser("tools.mobilefuse.train_edge", __doc__)
    p.add_argument("--pairs", nargs="+", type=Path, default=PUBLIC, metavar="DIR", help="folders with visible/ and infrared/ inside")
    p.add_argument("--crops", type=int, default=8000, help="number of crops, at a quarter of the size (default: %(default)s)")
    p.add_argument("--swap", type=float, default=0.15, help="share of crops whose frames are exchanged (default: %(default)s)")
    training_loop.add_options(p, steps=6000, batch=24, rate=5e-3, every=500, threads=1)
    return p


def main() -> None:
    command_line.run("tools.mobilefuse.train_edge", parser(), train)


if __name__ == "__main__":
    main()
