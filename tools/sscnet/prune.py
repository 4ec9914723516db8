"""Prunes SSCNet: `python -m tools.sscnet.prune --from sscnet-1024 --ratio 0.41`.

Iterative structured magnitude pruning with fine-tuning, as in the paper (Kumar and Mozaffari, section 2.3, with fasterai; here with
torch-pruning, which tracks channels through transposed convolutions). Each round removes the channels with the smallest weights, the same
share of every layer, and trains again. The latent's channels, which determine the rate, and the output's bands are kept. Each round is its
own run under --runs, so an interrupted one is resumed.
"""

from __future__ import annotations

import argparse

import torch
import torch_pruning

from tools import command_line, training_loop
from tools.data.cubes import load
from tools.sscnet import train
from tools.sscnet.network import SPATIAL, SSCNet, macs_per_pixel, parameters, read


def prune(network: SSCNet, ratio: float) -> SSCNet:
    """Return a network with about the share `ratio` of each layer's channels removed, in multiples of 4. Also modifies `network`."""
    convolutions = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.ConvTranspose2d)]
    kept = [convolutions[4], convolutions[-1]]  # of the latent and of the output
    example = torch.zeros(1, convolutions[0].in_channels, 2 * SPATIAL, 2 * SPATIAL)
    importance = torch_pruning.importance.MagnitudeImportance(p=2)
    torch_pruning.pruner.MagnitudePruner(
        network, example, importance=importance, pruning_ratio=ratio, ignored_layers=kept, round_to=4
    ).step()
    pruned = SSCNet(**network.shape)
    pruned.load_state_dict(network.state_dict())
    return pruned


def run(args: argparse.Namespace) -> dict[str, object]:
    name = args.name or f"{args.origin}-pruned"
    origin, per_round = args.origin, 1 - (1 - args.ratio) ** (1 / args.rounds)
    whole = read(args.runs / origin)
    for k in range(1, args.rounds + 1):
        last = k == args.rounds
        begin, step = f"{name}-round{k}-begin", name if last else f"{name}-round{k}"
        if not (args.runs / begin / "final.pt").exists():
            pruned = prune(read(args.runs / origin), per_round)
            (args.runs / begin).mkdir(parents=True, exist_ok=True)
            torch.save({"network": pruned.state_dict(), "shape": pruned.shape}, args.runs / begin / "final.pt")
        if not (args.runs / step / "final.pt").exists():
            steps = args.steps if last else args.steps // 3
            result = train.train(argparse.Namespace(**vars(args) | {"origin": begin, "name": step, "steps": steps}))
            if "stopped_at" in result:
                return result
        origin = step
    network, scenes = read(args.runs / name), load(args.data)
    before, after = (train.score(n, scenes) for n in (whole, network))
    return training_loop.write_result(args.runs, f"{name}-compared", {
        "from": args.origin, "ratio": args.ratio, "rounds": args.rounds, "widths": list(network.shape["widths"]),
        "parameters": parameters(network), "size_share": round(parameters(network) / parameters(whole), 4),
        "macs_per_pixel": round(macs_per_pixel(network)), "macs_share": round(macs_per_pixel(network) / macs_per_pixel(whole), 4),
        "before": before, "after": after, "loss_db": round(before["mean_db"] - after["mean_db"], 3),
    })  # fmt: skip


def parser() -> argparse.ArgumentParser:
    p = command_line.parser("tools.sscnet.prune", __doc__)
    p.add_argument("--from", dest="origin", required=True, metavar="RUN", help="run under --runs to prune (its final.pt)")
    p.add_argument("--ratio", type=float, default=0.41, help="share of each layer's channels to remove in total (default: %(default)s)")
    p.add_argument("--rounds", type=int, default=3, help="pruning steps, each followed by training (default: %(default)s)")
    p.add_argument("--data", nargs="+", default=train.PUBLIC, metavar="KIND:DIR", help="scenes:DIR or hyspecnet:DIR[:easy|hard]")
    p.add_argument("--size", type=int, default=32, help="side of a crop in pixels, a multiple of 8")
    p.add_argument("--name", help="folder under --runs (default: RUN-pruned)")
    training_loop.add_options(p, steps=3000, batch=8, rate=5e-4, every=250, threads=1)
    return p


def main() -> None:
    command_line.run("tools.sscnet.prune", parser(), run)


if __name__ == "__main__":
    main()
