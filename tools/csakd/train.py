"""Trains CSAKD's teacher and student together: `python -m tools.csakd.train [--data scenes:DIR aviris:DIR]`.

Both learn the truth (BEBA and spectral angle losses), and the student also the teacher's response. Each network accepts images of 4 and of
6 bands. tools/training_loop.py describes the files of a run and how to resume it; final.pt contains both networks. `--from RUN` continues
from the final networks of another run, with a fixed teacher.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from torch import Tensor, nn

from edgefuse.hyperspectral.spectral_axis import resampled
from edgefuse.sharpening.csakd import bounded, network_inputs
from tools import command_line, training_loop
from tools.csakd.losses import RESPONSE_WEIGHT, response, teaches
from tools.csakd.network import BANDS, CSAKD, WIDTHS, begin, macs_per_pixel, network_of, paces, parameters, read
from tools.data.wald import Scene, batch, load, wide_bands

PUBLIC = [f"scenes:{training_loop.ROOT.parent}/shared/data/hsi"]


def sharpened(network: CSAKD, scene: Scene, bands: int) -> np.ndarray:
    """Sharpen a whole scene with an image of `bands` bands, as the runtime does: float32 (H, W, B)."""
    cube, image = (torch.from_numpy(x)[None] for x in network_inputs(scene.start, wide_bands(scene.truth, bands), BANDS))
    with torch.no_grad():
        detail = network.detail(cube, image)[0].numpy().transpose(1, 2, 0)
    return scene.start + bounded(resampled(detail, scene.truth.shape[2]), scene.start)


def psnr(truth: np.ndarray, made: np.ndarray) -> float:
    """Return the PSNR in dB, peak 1, averaged over the bands."""
    mse = np.square(truth.astype(np.float64) - made).mean((0, 1))
    return float(np.mean(-10 * np.log10(np.maximum(mse, 1e-12))))


def score(networks: nn.ModuleDict, scenes: list[Scene]) -> dict[str, float]:
    """Return both networks' mean PSNR in dB over the held-out scenes, with 4 and 6 bands, and the student's smallest gain over cubic."""
    held = [s for s in scenes if s.part == "test"]
    cubic = [psnr(s.truth, s.start) for s in held]
    made = {"cubic_db": float(np.mean(cubic))}
    for kind, network in networks.items():
        network.eval()
        for bands in (4, 6):
            each = [psnr(s.truth, sharpened(network, s, bands)) for s in held]
            made[f"{kind}_{bands}_db"] = float(np.mean(each))
            made[f"{kind}_{bands}_least_gain_db"] = min(a - b for a, b in zip(each, cubic, strict=True))
        network.train()
    return {k: round(v, 2) for k, v in made.items()}


def train(args: argparse.Namespace) -> dict[str, object]:
    training_loop.prepare(args)
    scenes = load(args.data)
    learned = [s for s in scenes if s.part == "train"]
    if args.origin:
        networks = nn.ModuleDict({kind: read(args.runs / args.origin, kind).train() for kind in WIDTHS})
        networks["teacher"].requires_grad_(False)
    else:
        networks = nn.ModuleDict({kind: network_of(kind) for kind in WIDTHS})
        examples = [batch(learned, 64, args.size, np.random.default_rng(args.seed + k)) for k in range(2)]
        for network in networks.values():
            begin(network, *(np.concatenate(x)[..., ::3, ::3] for x in zip(*examples, strict=True)))
    networks = networks.to(memory_format=torch.channels_last)

    def loss(rng: np.random.Generator) -> Tensor:
        cube, image, truth = (
            torch.from_numpy(x).contiguous(memory_format=torch.channels_last) for x in batch(learned, args.batch, args.size, rng)
        )
        begun = {kind: network.heads(cube, image) for kind, network in networks.items()}
        with torch.autocast("cpu", torch.bfloat16):
            details = {kind: network.detail_from_heads(*begun[kind]) for kind, network in networks.items()}
        teacher, student = (cube + details[kind].float() for kind in ("teacher", "student"))
        own = teaches(student, truth, cube) + (0 if args.origin else teaches(teacher, truth, cube))
        return own + RESPONSE_WEIGHT * response(student, teacher, cube)

    name = args.name or "csakd"
    groups = [group for kind in (["student"] if args.origin else WIDTHS) for group in paces(networks[kind])]
    spent = training_loop.descend(args, name, networks, loss, lambda: score(networks, scenes), warm=100, fall=0.99, clip=1.0, groups=groups)
    if spent is None:
        return {"stopped_at": args.stop_after}
    torch.save({kind: {"network": n.state_dict(), "shape": n.shape} for kind, n in networks.items()}, args.runs / name / "final.pt")
    sizes = {kind: {"parameters": parameters(n), "macs_per_pixel": macs_per_pixel(n)} for kind, n in networks.items()}
    return training_loop.write_result(args.runs, name, {
        "model": "csakd", "data": training_loop.named(args.data), "from": args.origin,
        **training_loop.settings(args, spent), "networks": sizes,
        "test": score(networks, scenes),
    })  # fmt: skip


def parser() -> argparse.ArgumentParser:
    p = command_line.parser("tools.csakd.train", __doc__)
    p.add_argument("--data", nargs="+", default=PUBLIC, metavar="KIND:DIR", help="scenes:DIR or aviris:DIR")
    p.add_argument("--size", type=int, default=48, help="side of a crop in pixels of the image, a multiple of 4")
    p.add_argument("--name", help="folder under --runs (default: csakd)")
    p.add_argument("--from", dest="origin", metavar="RUN", help="start from the final networks of this run and train only the student")
    training_loop.add_options(p, steps=4000, batch=4, rate=1e-3, every=250, threads=1)
    return p


def main() -> None:
    command_line.run("tools.csakd.train", parser(), train)


if __name__ == "__main__":
    main()
