"""Trains SSCNet from a linear transform: `python -m tools.sscnet.train_from_linear --hours 8 --nice 10`.

The network is initialised as principal components x a block transform (tools/sscnet/linear_start.py) and trained on real and mixed crops
(tools/sscnet/mixing.py). `--from RUN` continues from the final network of another run, such as a pruned one. tools/resumable_training.py
describes the files of a run; at the end it writes final.pt and result.json, as tools/sscnet/train.py does.

The loss is the mean over the crops of log(MSE + 1e-5): dark scenes, with small errors in reflectance, count as much as bright ones.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from edgefuse import zoo
from edgefuse.runtimes.golden import verify
from tools import resumable_training, training_loop
from tools.data.cubes import Scene, load
from tools.data.photographs import load as load_photographs
from tools.mobilefuse.train import PUBLIC as PHOTOGRAPHS
from tools.sscnet import cell_positions, linear_start
from tools.sscnet.mixing import MIXED, Source
from tools.sscnet.network import SPAN, WIDTHS, SSCNet, macs_per_pixel, parameters, read
from tools.sscnet.train import PUBLIC, psnr, score, whole

# not trained on: scenes for choosing the best network; an urban scene, EnMAP, and a sensor of visible light only
VALIDATION = ("abu_urban_1", "enmap_10", "enmap_11", "paviaU_sub50")
EPSILON = 1e-5
CROPS, CROP = 96, 64  # number and side of the crops for the initialisation


def parts(uris: list[str]) -> tuple[list[Scene], list[Scene], list[Scene]]:
    """Return (scenes for training, for validation, all). Validation scenes are the loader's own, or those named above."""
    scenes = load(uris)
    chosen = [s for s in scenes if s.part == "validation"] or [s for s in scenes if s.name in VALIDATION]
    return [s for s in scenes if s.part == "train" and s.name not in VALIDATION], chosen, scenes


def paces(network: SSCNet) -> list[dict[str, object]]:
    """Return parameter groups with each layer's learning rate divided by its number of inputs. The last layer, which contains the scale of
    the bands, has a small rate."""
    groups: list[dict[str, object]] = []
    layers = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.ConvTranspose2d)]
    for layer in layers:
        taps = 1 if layer.stride[0] > 1 else layer.kernel_size[0] ** 2
        share = 576 / (layer.in_channels * taps) * (0.1 if layer is layers[-1] else 1)
        groups.append({"params": [layer.weight], "share": share})
        groups.append({"params": [layer.bias], "share": 0.1 if layer is layers[-1] else 0.5})
    slopes = [m.weight for m in network.modules() if isinstance(m, torch.nn.PReLU)]
    return [*groups, {"params": slopes, "share": 1.0}]


def made(args: argparse.Namespace, learned: list[Scene], source: Source) -> SSCNet:
    """Return the network to train."""
    if args.origin:
        return read(args.runs / args.origin).train()
    network = SSCNet(latent=args.latent, widths=args.widths, span=SPAN, places=args.places)
    rng = np.random.default_rng(args.seed)
    # two thirds of the crops are real
    sources = [source, real := Source(learned, [], CROP), real] if args.size == CROP else [Source(learned, [], CROP)]
    crops = np.concatenate([sources[k % len(sources)].batch(8, rng) for k in range(CROPS // 8)])
    begin = cell_positions.begin if args.places else linear_start.begin
    print(f"what the start leaves of its transform: {begin(network, crops):.2f} dB", flush=True)
    return network


def train(args: argparse.Namespace) -> dict[str, object]:
    device = resumable_training.prepare(args)
    learned, chosen, scenes = parts(args.data)
    source = Source(learned, load_photographs(args.photographs) if args.photographs else [], args.size, args.mixed)
    network = made(args, learned, source).to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def loss(rng: np.random.Generator) -> Tensor:
        x = torch.from_numpy(source.batch(args.batch, rng)).to(device).contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16):
            y = network(x)
        return torch.log((y.float() - x).square().mean((1, 2, 3)) + EPSILON).mean()

    def validate() -> dict[str, object]:
        network.eval()
        each = {s.name: round(psnr(s.cube, np.clip(whole(network, s.cube), 0, 1)), 2) for s in chosen}
        network.train()
        return {"mean_db": round(float(np.mean(list(each.values()))), 3)} | each

    folder = args.runs / args.name
    summary = resumable_training.descend(args, folder, network, loss, validate, "mean_db", paces(network))
    network = network.to("cpu", memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    torch.save({"network": network.state_dict(), "shape": network.shape}, folder / "final.pt")
    result = training_loop.write_result(args.runs, args.name, {
        "model": "sscnet", "data": training_loop.named(args.data) + training_loop.named(args.photographs), "from": args.origin, **summary,
        "seconds": round(summary["hours"] * 3600), "batch": args.batch, "size": args.size, "rate": args.rate, "mixed": args.mixed,
        "seed": args.seed, "chosen_by": [s.name for s in chosen], "parameters": parameters(network),
        "macs_per_pixel": round(macs_per_pixel(network)), "test": score(network.eval(), scenes),
    })  # fmt: skip
    if args.export:
        export_verified(args)
    return result


def export_verified(args: argparse.Namespace) -> None:
    """Export the run's models under --export and verify them with their golden pairs. Raises ValueError if a runtime's output differs."""
    from tools.sscnet import export

    arguments = ["--run", args.name, "--runs", str(args.runs), "--models", str(args.export), "--data", *args.data]
    for folder in export.export(export.parser().parse_args(arguments)):
        for result in verify(zoo.read_card(folder)):
            print(f"{result.status} {result.file} {result.note}", flush=True)
            if result.status == "fail":
                raise ValueError(f"{result.file}: {result.note}")


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m tools.sscnet.train_from_linear", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--latent", type=int, default=1024, help="latent channels (default: %(default)s, 2.53 bpppc as float32)")
    p.add_argument("--widths", type=int, nargs=8, default=list(WIDTHS), help="channels of the encoder's four layers and the decoder's four")
    p.add_argument("--places", action="store_true", help="encode the pixels' places in the input (tools/sscnet/cell_positions.py)")
    p.add_argument("--data", nargs="+", default=PUBLIC, metavar="KIND:DIR", help="scenes:DIR or hyspecnet:DIR[:easy|hard]")
    p.add_argument("--photographs", nargs="*", default=PHOTOGRAPHS, metavar="KIND:DIR", help="photographs for the mixed crops' textures")
    p.add_argument("--mixed", type=float, default=MIXED, help="share of mixed crops (default: %(default)s)")
    p.add_argument("--name", default="sscnet", help="folder under --runs (default: %(default)s)")
    p.add_argument("--from", dest="origin", metavar="RUN", help="start from the final weights of this run")
    p.add_argument("--export", type=Path, metavar="DIR", help="write the models to this folder at the end and verify them")
    resumable_training.add_options(p, hours=8, batch=2, size=64, rate=5e-5, every=250)
    return p


def main() -> None:
    try:
        print(json.dumps(train(parser().parse_args()), indent=1))
    except (ValueError, OSError) as e:
        sys.exit(f"tools.sscnet.train_from_linear: {e}")


if __name__ == "__main__":
    main()
