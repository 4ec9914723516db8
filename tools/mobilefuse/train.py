"""Train MobileFuse or one of its ablations: `python -m tools.mobilefuse.train --model mobilefuse --data coco128:DIR photos:DIR`.

Half of the pairs of each step are multi-focus, half are multi-lighting. tools/training_loop.py describes what a run writes and how it
resumes.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from torch import Tensor

from tools import command_line, training_loop
from tools.data.pairs import Batch, batch, split
from tools.data.photographs import Photograph, load
from tools.mobilefuse.network import KINDS, MobileFuse

PUBLIC = [
    f"coco128:{training_loop.ROOT.parent}/shared/data/natural/coco128",
    f"photos:{training_loop.ROOT.parent}/shared/data/natural/bsds_train",
]
QUANTUM = (0.25 / 255) ** 2  # squared error that is negligible in 8 bits


def tensors(b: Batch) -> dict[str, Tensor]:
    """Convert a batch to tensors by name: visible, infrared, truth, mask."""

    def to(x: np.ndarray) -> Tensor:
        return torch.from_numpy(x).contiguous(memory_format=torch.channels_last)

    return {"visible": to(b.visible), "infrared": to(b.infrared), "truth": to(b.truth), "mask": to(b.mask)}


def loss_of(network: MobileFuse, x: dict[str, Tensor]) -> Tensor:
    """Return the loss: MSE of the fused image (the paper's), or of the map for the blending-only ablation.

    With a blend, each pair's MSE is divided by that of the average of both inputs. Otherwise multi-lighting pairs, whose inputs differ a
    hundred times more, and bright scenes would dominate.
    """
    with torch.autocast("cpu", torch.bfloat16):
        fused, blending_map = network(x["visible"], x["infrared"])
    if network.kind == "mobilefuse-blending-only":
        return torch.nn.functional.mse_loss(blending_map.float(), x["mask"])
    if network.kind == "mobilefuse-generative-only":
        return torch.nn.functional.mse_loss(fused.float(), x["truth"])
    undecided = ((x["visible"] - x["infrared"]) ** 2).mean(dim=(1, 2, 3)) / 4
    return (((fused.float() - x["truth"]) ** 2).mean(dim=(1, 2, 3)) / (undecided + QUANTUM)).mean()


def score(network: MobileFuse, photographs: list[Photograph], seed: int, pairs: int = 96, size: int = 128) -> dict[str, float]:
    """Return the PSNR in dB (peak 1) of fused images against the ground truth, for each kind of pair; the same pairs for the same seed."""
    network.eval()
    b = batch(photographs, pairs, size, np.random.default_rng(seed))
    with torch.no_grad():
        fused = torch.cat([network(*v)[0] for v in zip(*(torch.from_numpy(a).split(8) for a in (b.visible, b.infrared)), strict=True)])
    network.train()
    mse = ((fused.numpy() - b.truth) ** 2).mean(axis=(1, 2, 3))
    psnr = -10 * np.log10(np.maximum(mse, 1e-10))
    return {"focus_psnr_db": round(float(psnr[b.focus].mean()), 2), "lighting_psnr_db": round(float(psnr[~b.focus].mean()), 2)}


def train(args: argparse.Namespace) -> dict[str, object]:
    """Train the network, and return the content of result.json."""
    training_loop.prepare(args)
    parts = split(load(args.data))
    network = MobileFuse(args.model).to(memory_format=torch.channels_last)

    def loss(rng: np.random.Generator) -> Tensor:
        return loss_of(network, tensors(batch(parts["train"], args.batch, args.size, rng)))

    spent = training_loop.descend(
        args, args.model, network, loss, lambda: score(network, parts["validation"], args.seed), warm=100, fall=0.99
    )
    if spent is None:
        return {"stopped_at": args.stop_after}
    masked = sum(p.foreground is not None for p in parts["train"])
    result: dict[str, object] = {
        "model": args.model,
        "data": training_loop.named(args.data),
        "photographs": {k: len(v) for k, v in parts.items()} | {"train_with_mask": masked},
        **training_loop.settings(args, spent),
        "test": score(network, parts["test"], args.seed),
    }  # fmt: skip
    return training_loop.write_result(args.runs, args.model, result)


def parser() -> argparse.ArgumentParser:
    p = command_line.parser("tools.mobilefuse.train", __doc__)
    p.add_argument("--model", choices=KINDS, default="mobilefuse")
    p.add_argument("--data", nargs="+", default=PUBLIC, metavar="KIND:DIR", help="coco128:DIR, voc:DIR (masks) or photos:DIR (none)")
    p.add_argument("--size", type=int, default=96, help="side of a crop, pixels")
    training_loop.add_options(p, steps=1600, batch=16, rate=3e-3, every=200, threads=2)
    return p


def main() -> None:
    command_line.run("tools.mobilefuse.train", parser(), train, keep_buffers=True)


if __name__ == "__main__":
    main()
