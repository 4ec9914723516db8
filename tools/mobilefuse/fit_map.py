"""Fit the seven constants of the closed-form map: `python -m tools.mobilefuse.fit_map --pairs roadscene msrs_train`.

Minimises the mean soft rank (tools/soft_metrics.py) of the blended crops among simple fusion methods, averaged over ten of VIFB's metrics,
by gradient descent (Adam). If RUNS/mobilefuse-edge/last.pt exists, the map is reduced where that network sees targets. The same seed gives
the same result. Prints the constants in the form of edgefuse/fusion/closed_form_map.py, and writes RUNS/fit_map/result.json.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from edgefuse.fusion import closed_form_map
from tools import training_loop
from tools.data.targets import full_crops, load
from tools.graph import load_target
from tools.mobilefuse.soft_blend import SoftClosedForm, blend, enlarged, reduced
from tools.mobilefuse.target_network import NAME, TargetNet
from tools.mobilefuse.train_edge import PUBLIC, SIZE
from tools.soft_metrics import NAMES, measure, picture, soft_rank

START = {
    "departure": (0.8, 0.8),
    "deviation": (1.2, 1.2),
    "bias": -4.0,
    "shares": (0.05, 0.95),
}  # same weights for both frames; infrared where they are equal
READINESS = -1.5  # offset of the mask: evidence 0..1 stands for logits -4..4, and logits -1..1 become 0..1 of the mask


@dataclass(frozen=True)
class Crops:
    """Crops to fit on.

    visible, infrared: float32 (N, 1, H, W) in [0, 255]. kept: factor of the map, (N, 1, H / 8, W / 8) in [0, 1]. rivals: metrics of the K
    methods to compare with, (K, 10, N).
    """

    visible: Tensor
    infrared: Tensor
    kept: Tensor
    rivals: Tensor

    def some(self, k: Tensor) -> Crops:
        """Return the crops with indices `k`."""
        return Crops(self.visible[k], self.infrared[k], self.kept[k], self.rivals[:, :, k])


def pyramid(visible: Tensor, infrared: Tensor, gain: float = 1.0, levels: int = 4) -> Tensor:
    """Fuse by Laplacian pyramids: the detail of larger magnitude, times `gain`, in each of `levels` bands; the mean of the bases.

    visible, infrared, result: (N, 1, H, W) in [0, 255].
    """
    details = []
    for _ in range(levels):
        bases = reduced(visible, 2), reduced(infrared, 2)
        v, i = visible - enlarged(bases[0], 2), infrared - enlarged(bases[1], 2)
        details.append(torch.where(v.abs() > i.abs(), v, i))
        visible, infrared = bases
    fused = (visible + infrared) / 2
    for detail in reversed(details):
        fused = enlarged(fused, 2) + gain * detail
    return fused.clamp(0, 255)


def rivals(visible: Tensor, infrared: Tensor) -> list[Tensor]:
    """Return the pictures of seven simple methods: average, maximum, three Laplacian pyramids (two sharpened), mean of maximum and
    pyramid, stretched average."""
    mean, largest = (visible + infrared) / 2, torch.maximum(visible, infrared)
    pyramids = [pyramid(visible, infrared, gain) for gain in (1.0, 1.15, 1.3)]
    mixed = (largest + pyramid(visible, infrared, 1.2)) / 2
    return [mean, largest, *pyramids, mixed, ((mean - 110) * 1.5 + 110).clamp(0, 255)]


@torch.no_grad()
def prepared(frames: np.ndarray, network: TargetNet | None) -> Crops:
    """Convert frames, uint8 (N, 2, H, W), to Crops, and measure the rivals. network: None leaves the map as it is."""
    batches = []
    for part in torch.from_numpy(frames).float().split(8):
        v, i = part[:, :1], part[:, 1:]
        kept = torch.ones_like(reduced(v, 8))
        if network is not None:
            evidence = enlarged(network(reduced(v, 4) / 255, reduced(i, 4) / 255), 2)
            kept = 1 - (4 * evidence + READINESS).clamp(0, 1)
        pictures = picture(v), picture(i)
        batches.append((v, i, kept, torch.stack([measure(*pictures, r) for r in rivals(v, i)])))
    v, i, kept, figures = zip(*batches, strict=True)
    return Crops(torch.cat(v), torch.cat(i), torch.cat(kept), torch.cat(figures, 2))


def ranks(form: SoftClosedForm, crops: Crops) -> Tensor:
    """Return the soft rank of the blended crops by each metric, (10, N); 0 is best."""
    v, i = crops.visible, crops.infrared
    fused = blend(v, i, form(reduced(v, 8), reduced(i, 8)) * crops.kept)
    return soft_rank(measure(picture(v), picture(i), fused), crops.rivals)


@torch.no_grad()
def score(form: SoftClosedForm, crops: Crops) -> dict[str, float]:
    """Return the mean soft rank ("loss"), and that by each metric."""
    each = torch.cat([ranks(form, crops.some(k)) for k in torch.arange(len(crops.visible)).split(8)], 1).mean(1)
    return {"loss": round(float(each.mean()), 3)} | {name: round(float(r), 2) for name, r in zip(NAMES, each, strict=True)}


def fit(args: argparse.Namespace) -> dict[str, object]:
    """Fit the constants, and return the content of result.json."""
    torch.set_num_threads(args.threads)
    begun = time.monotonic()
    parts = load(args.pairs)
    checkpoint = args.runs / NAME / "last.pt"
    network = load_target(checkpoint) if checkpoint.exists() else None
    train = prepared(full_crops(parts["train"], args.crops, SIZE, args.seed), network)
    held_out = prepared(full_crops(parts["validation"], max(1, args.crops // 5), SIZE, args.seed + 1), network)
    form = SoftClosedForm(**START)
    now = SoftClosedForm(closed_form_map.DEPARTURE, closed_form_map.DEVIATION, closed_form_map.BIAS, closed_form_map.SHARES)
    validation = {"before": score(form, held_out), "closed_form_map.py": score(now, held_out)}
    others = [p for name, p in form.named_parameters() if name != "bias"]
    # the bias is in levels and changes most, so it has a larger rate
    optimiser = torch.optim.Adam([{"params": others, "lr": args.rate}, {"params": [form.bias], "lr": 3 * args.rate}])
    peaks = [group["lr"] for group in optimiser.param_groups]
    running = 0.0
    for step in range(args.steps):
        for group, peak in zip(optimiser.param_groups, peaks, strict=True):
            group["lr"] = peak * (0.02 + 0.5 * (1 + math.cos(math.pi * step / args.steps)))
        rng = np.random.default_rng((args.seed, step))
        chosen = rng.choice(len(train.visible), min(args.batch, len(train.visible)), replace=False)
        loss = ranks(form, train.some(torch.from_numpy(chosen))).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        running += loss.item()
        if (step + 1) % args.every == 0:
            line = {"step": step + 1, "loss": round(running / args.every, 4), "seconds": round(time.monotonic() - begun)}
            running = 0.0
            print(json.dumps(line | form.constants()), flush=True)
    return training_loop.write_result(args.runs, "fit_map", {
        "data": [p.name for p in args.pairs], "pairs": {k: len(v) for k, v in parts.items()}, "target_network": network is not None,
        "crops": args.crops, "steps": args.steps, "batch": args.batch, "rate": args.rate, "seed": args.seed,
        "seconds": round(time.monotonic() - begun), "constants": form.constants(),
        "validation": validation | {"after": score(form, held_out)},
    })  # fmt: skip


def as_written(constants: dict[str, tuple[float, ...]]) -> str:
    """Return the constants as lines of closed_form_map.py."""
    (bias,) = constants["BIAS"]
    return f"DEPARTURE, DEVIATION, BIAS = {constants['DEPARTURE']}, {constants['DEVIATION']}, {bias}\nSHARES = {constants['SHARES']}"


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m tools.mobilefuse.fit_map", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--pairs", nargs="+", type=Path, default=PUBLIC, metavar="DIR", help="folders with visible/ and infrared/ inside")
    p.add_argument(
        "--runs",
        type=Path,
        default=training_loop.ROOT / "runs",
        help="folder that tools.mobilefuse.train_edge wrote to (default: %(default)s)",
    )
    p.add_argument("--crops", type=int, default=300, help="number of crops, at full resolution (default: %(default)s)")
    p.add_argument("--steps", type=int, default=250)
    p.add_argument("--batch", type=int, default=8)
    p.add_argument(
        "--rate", type=float, default=0.03, help="peak learning rate (Adam, cosine schedule); that of the bias is three times as high"
    )
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--every", type=int, default=50, help="steps between lines of output")
    p.add_argument("--threads", type=int, default=1)
    return p


def main() -> None:
    try:
        result = fit(parser().parse_args())
    except ValueError as e:
        sys.exit(f"tools.mobilefuse.fit_map: {e}")
    print(json.dumps(result["validation"], indent=1))
    print(as_written(result["constants"]))  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
