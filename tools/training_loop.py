"""Training loop: options, learning rate schedule, log, and checkpoints to resume from.

Deterministic by seed: each step's random numbers depend on the seed and the step's number, so a resumed run sees the same data. A run
writes RUNS/NAME/last.pt (checkpoint), log.jsonl (a line per validation) and, at the end, result.json.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tools.command_line import ROOT


def add_options(p: argparse.ArgumentParser, steps: int, batch: int, rate: float, every: int, threads: int) -> None:
    """Add the options that `descend` reads, and the batch size."""
    p.add_argument("--runs", type=Path, default=ROOT / "runs", help="folder for checkpoints and logs (default: %(default)s)")
    p.add_argument("--steps", type=int, default=steps)
    p.add_argument("--batch", type=int, default=batch, help="pairs per step (default: %(default)s)")
    p.add_argument("--rate", type=float, default=rate, help="peak learning rate (AdamW, cosine)")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--every", type=int, default=every, help="steps between validations and checkpoints")
    p.add_argument("--stop-after", type=int, metavar="STEP", help="end after the checkpoint at this step; the run can be resumed")
    p.add_argument("--threads", type=int, default=threads)


def prepare(args: argparse.Namespace) -> None:
    """Set the seed and the number of threads."""
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)


def settings(args: argparse.Namespace, seconds: float) -> dict[str, object]:
    """Return the options that decide a run's outcome, and how long it took, for result.json."""
    names = [name for name in ("steps", "batch", "size", "rate", "seed") if name in args]
    return {name: getattr(args, name) for name in names} | {"seconds": round(seconds)}


def share_of_rate(step: int, steps: int, warm: int, fall: float) -> float:
    """Return the learning rate's factor: a linear rise over `warm` steps times a cosine from 0.01 + `fall` to 0.01."""
    return min(1.0, (step + 1) / warm) * (0.01 + fall * 0.5 * (1 + math.cos(math.pi * step / steps)))


def descend(
    args: argparse.Namespace, name: str, network: nn.Module, loss_of: Callable[[np.random.Generator], Tensor],
    score: Callable[[], dict[str, Any]], warm: int, fall: float, begun: float | None = None, clip: float | None = None,
    groups: Sequence[dict[str, Any]] = (),
) -> float | None:  # fmt: skip
    """Train `network` with AdamW, from its last checkpoint on. Returns the seconds spent, or None if `--stop-after` ended it.

    loss_of: returns a step's loss; all randomness comes from the given generator. score: returns the validation's figures. warm, fall:
    as in `share_of_rate`. begun: start time (`time.monotonic`), by default now. clip: limit of the gradient's norm. groups: parameter
    groups of the optimiser; a group's `share` multiplies the rate.
    """
    begun = time.monotonic() if begun is None else begun
    folder = args.runs / name
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint, first = folder / "last.pt", 0
    optimiser = torch.optim.AdamW(list(groups) if groups else network.parameters(), lr=args.rate, weight_decay=1e-4)
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        first, begun = state["step"], time.monotonic() - state["seconds"]
        print(f"resumed {checkpoint} at step {first}", flush=True)
    running = 0.0
    for step in range(first, args.steps):
        for group in optimiser.param_groups:
            group["lr"] = args.rate * share_of_rate(step, args.steps, warm, fall) * group.get("share", 1.0)
        loss = loss_of(np.random.default_rng((args.seed, step)))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(network.parameters(), clip)
        optimiser.step()
        running += loss.item()
        if (step + 1) % args.every == 0 or step + 1 == args.steps:
            line = {"step": step + 1, "loss": round(running / args.every, 6), "seconds": round(time.monotonic() - begun)} | score()
            running = 0.0
            with (folder / "log.jsonl").open("a") as log:
                log.write(json.dumps(line) + "\n")
            print(json.dumps(line), flush=True)
            state = {"network": network.state_dict(), "optimiser": optimiser.state_dict(), "step": step + 1}
            torch.save(state | {"seconds": time.monotonic() - begun}, checkpoint.with_suffix(".tmp"))
            checkpoint.with_suffix(".tmp").replace(checkpoint)
            if args.stop_after is not None and step + 1 >= args.stop_after:
                return None
    return time.monotonic() - begun


def named(uris: list[str]) -> list[str]:
    """Shorten each KIND:PATH to KIND:FOLDER, because a card names the data and not its location."""
    return [f"{u.split(':')[0]}:{Path(u.split(':')[1]).name}" for u in uris]


def write_result(runs: Path, name: str, result: dict[str, object]) -> dict[str, object]:
    """Write RUNS/NAME/result.json and return `result`."""
    (runs / name).mkdir(parents=True, exist_ok=True)
    (runs / name / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    return result
