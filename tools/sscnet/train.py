"""Trains SSCNet from random weights: `python -m tools.sscnet.train [--latent 1024] [--data scenes:DIR hyspecnet:DIR]`.

The loss is the MSE, as published. tools/training_loop.py describes the files of a run and how to resume it. `--from RUN` fine-tunes the
final network of another run (a pruned one has its own widths, see prune.py).
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from tools import command_line, training_loop
from tools.data.cubes import Scene, batch, load
from tools.sscnet.network import SPATIAL, SSCNet, begin_with_spectra, macs_per_pixel, parameters

PUBLIC = [f"scenes:{training_loop.ROOT.parent}/shared/data/hsi"]


def whole(network: torch.nn.Module, cube: np.ndarray) -> np.ndarray:
    """Run the network on a whole scene, float32 (bands, H, W), padded by reflection to multiples of 8."""
    pad = [(0, 0), *((0, -n % SPATIAL) for n in cube.shape[1:])]
    given = torch.from_numpy(np.pad(cube, pad, mode="symmetric"))[None].to(next(network.parameters()).device)
    with torch.no_grad():
        out = network(given)[0].float().cpu().numpy()
    return out[:, : cube.shape[1], : cube.shape[2]]


def psnr(truth: np.ndarray, decoded: np.ndarray) -> float:
    """Return the PSNR in dB over the whole cube, peak 1."""
    return float(-10 * np.log10(max(np.mean((truth.astype(np.float64) - decoded) ** 2), 1e-12)))


def score(network: torch.nn.Module, scenes: list[Scene]) -> dict[str, float]:
    """Return the PSNR in dB of each held-out scene and their mean, with float latents."""
    network.eval()
    each = {s.name: round(psnr(s.cube, whole(network, s.cube)), 2) for s in scenes if s.part == "test"}
    network.train()
    return {"mean_db": round(float(np.mean(list(each.values()))), 2)} | each


def paces(network: torch.nn.Module) -> list[dict[str, object]]:
    """Return parameter groups with each layer's learning rate divided by its number of inputs (Yang et al., Tensor Programs V, table 3).
    With the same rate for all, wide layers would diverge before narrow ones learn."""
    groups: list[dict[str, object]] = []
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            taps = 1 if layer.stride[0] > 1 else layer.kernel_size[0] ** 2
            groups.append({"params": [layer.weight], "share": 576 / (layer.in_channels * taps)})
            groups.append({"params": [layer.bias]})
        elif isinstance(layer, torch.nn.PReLU):
            groups.append({"params": [layer.weight]})
    return groups


def train(args: argparse.Namespace) -> dict[str, object]:
    training_loop.prepare(args)
    scenes = load(args.data)
    learned = [s for s in scenes if s.part == "train"]
    if args.origin:
        start = torch.load(args.runs / args.origin / "final.pt", weights_only=True)
        network = SSCNet(**start["shape"])
        network.load_state_dict(start["network"])
    else:
        network = SSCNet(latent=args.latent)
        begin_with_spectra(network, np.concatenate([s.cube[:, ::3, ::3].reshape(s.cube.shape[0], -1).T for s in learned]))
    network = network.to(memory_format=torch.channels_last)

    def loss(rng: np.random.Generator) -> Tensor:
        x = torch.from_numpy(batch(learned, args.batch, args.size, rng)).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            y = network(x)
        return mse_loss(y.float(), x)

    name = args.name or f"sscnet-{args.latent}"
    spent = training_loop.descend(
        args, name, network, loss, lambda: score(network, scenes), warm=100, fall=0.99, clip=1.0, groups=paces(network)
    )
    if spent is None:
        return {"stopped_at": args.stop_after}
    torch.save({"network": network.state_dict(), "shape": network.shape}, args.runs / name / "final.pt")
    return training_loop.write_result(args.runs, name, {
        "model": "sscnet", "data": training_loop.named(args.data), "from": args.origin,
        **training_loop.settings(args, spent), "parameters": parameters(network),
        "macs_per_pixel": round(macs_per_pixel(network)), "test": score(network, scenes),
    })  # fmt: skip


def parser() -> argparse.ArgumentParser:
    p = command_line.parser("tools.sscnet.train", __doc__)
    p.add_argument("--latent", type=int, default=1024, help="latent channels (default: %(default)s, 2.53 bpppc as float32)")
    p.add_argument("--data", nargs="+", default=PUBLIC, metavar="KIND:DIR", help="scenes:DIR or hyspecnet:DIR[:easy|hard]")
    p.add_argument("--size", type=int, default=32, help="side of a crop in pixels, a multiple of 8")
    p.add_argument("--name", help="folder under --runs (default: sscnet-LATENT)")
    p.add_argument("--from", dest="origin", metavar="RUN", help="start from the final weights of this run")
    training_loop.add_options(p, steps=9000, batch=8, rate=1e-3, every=250, threads=1)
    return p


def main() -> None:
    command_line.run("tools.sscnet.train", parser(), train)


if __name__ == "__main__":
    main()
