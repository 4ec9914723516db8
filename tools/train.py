"""Train MobileFuse or one of its ablations: `python -m tools.train --model mobilefuse --data coco128:DIR photos:DIR`.

Deterministic by seed (each step draws its batch from the seed and the step's number, so a resumed run sees the same data).
Writes RUNS/NAME/last.pt (resumable checkpoint), log.jsonl (one line a validation) and, at the end, result.json.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tools.data.pairs import Batch, batch, split
from tools.data.photographs import Photograph, load
from tools.networks.mobilefuse import KINDS, MobileFuse

ROOT = Path(__file__).resolve().parents[1]
PUBLIC = [f"coco128:{ROOT.parent}/shared/data/natural/coco128", f"photos:{ROOT.parent}/shared/data/natural/bsds_train"]


QUANTUM = (0.25 / 255) ** 2  # differences well below 8 bit's step do not count


def tensors(b: Batch) -> dict[str, Tensor]:
    def to(x: np.ndarray) -> Tensor:
        return torch.from_numpy(x).contiguous(memory_format=torch.channels_last)

    return {"visible": to(b.visible), "infrared": to(b.infrared), "truth": to(b.truth), "mask": to(b.mask)}


def loss_of(network: MobileFuse, x: dict[str, Tensor]) -> Tensor:
    """MSE on the fused image (the paper's), or on the map for the blending-only ablation.

    With a blend, each pair's MSE is divided by what an undecided blend would get (half of the sources' difference). Without this,
    multi-lighting, whose sources differ by a hundred times as much, and bright scenes would be all that is learned.
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
    """PSNR in dB (peak 1) of the fused image against its truth, per kind of pair, on fixed pairs."""
    network.eval()
    b = batch(photographs, pairs, size, np.random.default_rng(seed))
    with torch.no_grad():
        fused = torch.cat([network(*v)[0] for v in zip(*(torch.from_numpy(a).split(8) for a in (b.visible, b.infrared)), strict=True)])
    network.train()
    mse = ((fused.numpy() - b.truth) ** 2).mean(axis=(1, 2, 3))
    psnr = -10 * np.log10(np.maximum(mse, 1e-10))
    return {"focus_psnr_db": round(float(psnr[b.focus].mean()), 2), "lighting_psnr_db": round(float(psnr[~b.focus].mean()), 2)}


def train(args: argparse.Namespace) -> dict[str, object]:
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    parts = split(load(args.data))
    folder = args.runs / args.model
    folder.mkdir(parents=True, exist_ok=True)
    network = MobileFuse(args.model).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(network.parameters(), lr=args.rate, weight_decay=1e-4)
    first, spent = 0, 0.0
    checkpoint = folder / "last.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        first, spent = state["step"], state["seconds"]
        print(f"resumed {checkpoint} at step {first}", flush=True)
    begun = time.monotonic() - spent
    running = 0.0
    for step in range(first, args.steps):
        warm = min(1.0, (step + 1) / 100)
        for group in optimiser.param_groups:
            group["lr"] = args.rate * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / args.steps)))
        rng = np.random.default_rng((args.seed, step))
        b = batch(parts["train"], args.batch, args.size, rng)
        loss = loss_of(network, tensors(b))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        running += loss.item()
        if (step + 1) % args.every == 0 or step + 1 == args.steps:
            line = {"step": step + 1, "loss": round(running / args.every, 6), "seconds": round(time.monotonic() - begun)}
            line |= score(network, parts["validation"], args.seed)
            running = 0.0
            with (folder / "log.jsonl").open("a") as log:
                log.write(json.dumps(line) + "\n")
            print(json.dumps(line), flush=True)
            state = {"network": network.state_dict(), "optimiser": optimiser.state_dict(), "step": step + 1}
            state["seconds"] = time.monotonic() - begun
            torch.save(state, checkpoint.with_suffix(".tmp"))
            checkpoint.with_suffix(".tmp").replace(checkpoint)
            if args.stop_after is not None and step + 1 >= args.stop_after:
                return {"stopped_at": step + 1}
    masked = sum(p.foreground is not None for p in parts["train"])
    result: dict[str, object] = {
        "model": args.model,
        "data": [u.split(":")[0] + ":" + Path(u.split(":")[1]).name for u in args.data],
        "photographs": {k: len(v) for k, v in parts.items()} | {"train_with_mask": masked},
        "steps": args.steps, "batch": args.batch, "size": args.size, "rate": args.rate, "seed": args.seed,
        "seconds": round(time.monotonic() - begun),
        "test": score(network, parts["test"], args.seed),
    }  # fmt: skip
    (folder / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    return result


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m tools.train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", choices=KINDS, default="mobilefuse")
    p.add_argument("--data", nargs="+", default=PUBLIC, metavar="KIND:DIR", help="coco128:DIR, voc:DIR (masks) or photos:DIR (none)")
    p.add_argument("--runs", type=Path, default=ROOT / "runs", help="folder for checkpoints and logs (default: %(default)s)")
    p.add_argument("--steps", type=int, default=1600)
    p.add_argument("--batch", type=int, default=16, help="pairs a step, half multi-focus, half multi-lighting")
    p.add_argument("--size", type=int, default=96, help="crop, pixels")
    p.add_argument("--rate", type=float, default=3e-3, help="peak learning rate (AdamW, cosine)")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--every", type=int, default=200, help="steps between validations and checkpoints")
    p.add_argument("--stop-after", type=int, metavar="STEP", help="end after this step's checkpoint, to go on another time")
    p.add_argument("--threads", type=int, default=2)
    return p


def main() -> None:
    args = parser().parse_args()
    # glibc hands large buffers back to the kernel after every layer; keeping them is worth a third of the time
    if os.environ.get("MALLOC_MMAP_MAX_") is None and sys.platform == "linux":
        os.environ |= {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "100000000000", "MALLOC_TOP_PAD_": "500000000"}
        os.execv(sys.executable, [sys.executable, "-m", "tools.train", *sys.argv[1:]])
    try:
        print(json.dumps(train(args), indent=1))
    except ValueError as e:
        sys.exit(f"tools.train: {e}")


if __name__ == "__main__":
    main()
