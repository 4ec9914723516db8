"""Unattended training: resumable, with a time limit, early stopping, the best network by validation, and a plot.

A run writes RUNS/NAME/last.pt (to resume from), best.pt (the best by validation), log.jsonl (a line per validation) and log.png. Started
again with the same options, it resumes; a finished run ends at once. The learning rate falls by a cosine over time and not over steps,
because the number of steps is not known in advance. It runs on a GPU if PyTorch finds one, in bfloat16 in either case.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tools.training_loop import ROOT

WARM = 50  # steps until the full learning rate
CLIP = 1.0  # limit of the gradient's norm


def add_options(p: argparse.ArgumentParser, hours: float, batch: int, size: int, rate: float, every: int) -> None:
    p.add_argument("--runs", type=Path, default=ROOT / "runs", help="folder for checkpoints and logs (default: %(default)s)")
    p.add_argument("--hours", type=float, default=hours, help="training time, over all parts of a resumed run (default: %(default)s)")
    p.add_argument("--nice", type=int, default=10, help="niceness of the process, 0 to 19 (default: %(default)s)")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--batch", type=int, default=batch, help="crops per step (default: %(default)s)")
    p.add_argument("--size", type=int, default=size, help="side of a crop in pixels (default: %(default)s)")
    p.add_argument("--rate", type=float, default=rate, help="peak learning rate of AdamW (default: %(default)s)")
    p.add_argument("--every", type=int, default=every, help="steps between validations and checkpoints (default: %(default)s)")
    p.add_argument("--patience", type=int, default=20, help="validations without an improvement until it stops (default: %(default)s)")
    p.add_argument("--seed", type=int, default=0)


def prepare(args: argparse.Namespace) -> torch.device:
    """Set niceness, threads and seed; return the device to train on."""
    os.nice(max(0, args.nice - os.nice(0)))
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def descend(
    args: argparse.Namespace, folder: Path, network: nn.Module, loss_of: Callable[[np.random.Generator], Tensor],
    validate: Callable[[], dict[str, Any]], key: str, groups: Sequence[dict[str, Any]],
) -> dict[str, Any]:  # fmt: skip
    """Train `network` and set it to the best weights by validation. Returns steps, hours, the step of the best, and why training ended.

    loss_of: returns a step's loss; all randomness comes from the generator. validate: returns figures; the one called `key` is maximised.
    groups: parameter groups of AdamW; a group's `share` multiplies the rate.
    """
    folder.mkdir(parents=True, exist_ok=True)
    optimiser = torch.optim.AdamW(list(groups), lr=args.rate, weight_decay=0.0, betas=(0.9, 0.99))
    state: dict[str, Any] = {"step": 0, "seconds": 0.0, "best": -math.inf, "best_step": 0}
    if (folder / "last.pt").exists():
        stored = torch.load(folder / "last.pt", weights_only=True, map_location="cpu")
        network.load_state_dict(stored.pop("network"))
        optimiser.load_state_dict(stored.pop("optimiser"))
        state = stored
        print(f"resumed {folder / 'last.pt'} at step {state['step']}", flush=True)
    limit, losses, ended = args.hours * 3600, [], "the hours were up"
    begun = time.monotonic() - state["seconds"]
    if state["step"] == 0:  # the initial weights may remain the best
        _checkpoint(folder, network, optimiser, state, begun, [0.0], validate, key)
    while (spent := time.monotonic() - begun) < limit:
        if state["step"] - state["best_step"] >= args.patience * args.every:
            ended = "validation no longer improved"
            break
        rate = args.rate * min(1.0, (state["step"] + 1) / WARM) * (0.02 + 0.49 * (1 + math.cos(math.pi * spent / limit)))
        for group in optimiser.param_groups:
            group["lr"] = rate * group.get("share", 1.0)
        loss = loss_of(np.random.default_rng((args.seed, state["step"])))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), CLIP)
        optimiser.step()
        losses.append(float(loss.detach()))
        state["step"] += 1
        if state["step"] % args.every == 0:
            _checkpoint(folder, network, optimiser, state, begun, losses, validate, key)
    if losses:
        _checkpoint(folder, network, optimiser, state, begun, losses, validate, key)
    plot(folder, key)
    if (folder / "best.pt").exists():
        network.load_state_dict(torch.load(folder / "best.pt", weights_only=True, map_location="cpu"))
    return {"steps": state["step"], "hours": round(state["seconds"] / 3600, 2), "best_step": state["best_step"], "ended": ended}


def plot(folder: Path, key: str) -> None:
    """Plot log.jsonl as log.png: the loss, and the figure that selects the best network."""
    from matplotlib.figure import Figure

    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    figure = Figure(figsize=(10, 4), layout="constrained")
    for axes, name in zip(figure.subplots(1, 2), ("loss", key), strict=True):
        # before the first step there is no loss
        seen = [line for line in lines if line["step"] or name != "loss"]
        axes.plot([line["step"] for line in seen], [line[name] for line in seen])
        axes.set(xlabel="step", ylabel=name)
        axes.grid(alpha=0.3)
    figure.savefig(folder / "log.png")


def _checkpoint(
    folder: Path, network: nn.Module, optimiser: torch.optim.Optimizer, state: dict[str, Any], begun: float, losses: list[float],
    validate: Callable[[], dict[str, Any]], key: str,
) -> None:  # fmt: skip
    figures = validate()
    state["seconds"] = time.monotonic() - begun
    line = {"step": state["step"], "seconds": round(state["seconds"]), "loss": round(float(np.mean(losses)), 6)} | figures
    losses.clear()
    with (folder / "log.jsonl").open("a") as log:
        log.write(json.dumps(line) + "\n")
    print(json.dumps(line), flush=True)
    if figures[key] > state["best"]:
        state["best"], state["best_step"] = figures[key], state["step"]
        _save(network.state_dict(), folder / "best.pt")
    _save(state | {"network": network.state_dict(), "optimiser": optimiser.state_dict()}, folder / "last.pt")


def _save(what: dict[str, Any], path: Path) -> None:
    torch.save(what, path.with_suffix(".tmp"))
    path.with_suffix(".tmp").replace(path)
