"""Distils NestFuse into nestfuse-edge or nestfuse-small: `python -m tools.nestfuse.distil --model nestfuse-edge`.

The student learns the output of the teacher (a run of tools.nestfuse.train) for real pairs. The loss is the mean squared error of the fused
luma, of its differences between neighbouring pixels, and of how much of each frame's detail is kept per square. The teacher's output for
`--crops` random crops is computed once and stored in RUNS/TEACHER-teacher.npz. tools/training_loop.py describes the files of a run and
how to resume it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from tools import command_line, training_loop
from tools.data.photographs import IMAGES
from tools.data.targets import sensor
from tools.mobilefuse.train_edge import PUBLIC
from tools.nestfuse import nestfuse_graph
from tools.nestfuse.edge_network import EDGE, NestFuseEdge
from tools.nestfuse.halve_channels import halved
from tools.nestfuse.network import ATTENTIONS, CONTRAST, NAME, SMALL, NestFuse
from tools.soft_metrics import detail_kept

EDGES = 0.5  # weight of errors in differences between neighbouring pixels, which are smaller than errors in brightness but more visible
DETAIL, SQUARES = 1e-3, (3, 9)  # weight and square sizes of errors in the detail kept (soft_metrics); without them, details become too weak
HALVED_BY = 16  # number of crops for halving
HELD_OUT = 7  # every so many crops one is for validation


def load_pairs(folders: list[Path]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Load (visible luma, infrared), uint8, of all pairs in folders with visible/ and infrared/."""
    pairs = []
    for folder in folders:
        if not (folder / "visible").is_dir():
            raise ValueError(f"{folder}/visible: no such folder; give folders with visible/ and infrared/ inside")
        for path in sorted(p for p in (folder / "visible").iterdir() if p.suffix.lower() in IMAGES):
            frames = [cv2.imread(str(p), cv2.IMREAD_GRAYSCALE) for p in (path, folder / "infrared" / path.name)]
            if any(f is None for f in frames) or frames[0].shape != frames[1].shape:
                raise ValueError(f"{path}: expected a readable infrared frame of the same name and size")
            pairs.append((frames[0], frames[1]))
    return pairs


def crops(folders: list[Path], count: int, size: int, seed: int, varied: float = 0.0) -> np.ndarray:
    """Draw crops, uint8 (count, 2, size, size), equally many from each folder; every fourth one from a pair at half size.

    varied: share of crops in which each frame simulates another camera, some inverted or exchanged: the teacher is defined for any two
    brightnesses, and the pairs alone contain few combinations.
    """
    pools, made = [load_pairs([f]) for f in folders], []
    for k in range(count):
        rng = np.random.default_rng((seed, k))
        pool = pools[k % len(pools)]
        pair = np.stack(pool[int(rng.integers(len(pool)))])
        if rng.random() < 0.25 and min(pair.shape[1:]) >= 2 * size:
            pair = np.stack([cv2.resize(f, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for f in pair])
        y, x = (int(rng.integers(n - size + 1)) for n in pair.shape[1:])
        pair = pair[:, y : y + size, x : x + size][:, :, :: -1 if rng.random() < 0.5 else 1]
        if rng.random() < varied:
            frames = [255 - f if rng.random() < 0.25 else f for f in pair]
            pair = np.stack([sensor(f, rng) for f in (frames if rng.random() < 0.7 else frames[::-1])])
        made.append(pair)
    return np.stack(made)


def taught(teacher: NestFuse, pairs: np.ndarray, kept: Path) -> np.ndarray:
    """Return the teacher's output for `pairs`, uint16 (N, size, size); the file `kept` caches it."""
    if kept.exists():
        with np.load(kept) as arrays:
            if np.array_equal(arrays["pairs"], pairs) and str(arrays["how"]) == (how := f"{teacher.attention} {teacher.contrast:g}"):
                return arrays["fused"]
    made = []
    with torch.no_grad():
        for k, pair in enumerate(pairs):
            v, i = (torch.from_numpy(np.ascontiguousarray(f, np.float32) / 255)[None, None] for f in pair)
            made.append(np.round(teacher(v, i)[0, 0].float().numpy() * 65535).astype(np.uint16))
            if k % 50 == 49:
                print(f"teacher: {k + 1} of {len(pairs)} crops", file=sys.stderr, flush=True)
    fused, how = np.stack(made), f"{teacher.attention} {teacher.contrast:g}"
    np.savez(kept, pairs=pairs, fused=fused, how=np.array(how))
    return fused


def psnr(mse: Tensor) -> float:
    return round(-10 * float(torch.log10(mse.clamp_min(1e-10))), 2)


def student(args: argparse.Namespace, teacher: NestFuse, frames: Tensor) -> NestFuse | NestFuseEdge:
    """Return the student: new, from `--from`, or for nestfuse-small the teacher, halved on `frames` (N, 2, H, W)."""
    if args.model == EDGE:
        network = NestFuseEdge(args.attention, args.contrast)
        if args.origin:
            network.load_state_dict(torch.load(args.runs / args.origin / "last.pt", weights_only=True)["network"])
        return network
    return (
        nestfuse_graph.load(args.runs / args.origin / "last.pt", 4, args.attention, args.contrast)
        if args.origin
        else halved(teacher, frames)
    )


def train(args: argparse.Namespace) -> dict[str, object]:
    training_loop.prepare(args)
    teacher = nestfuse_graph.load(args.runs / args.teacher / "last.pt", 2, args.attention, args.contrast)
    pairs = crops(args.pairs, args.crops, args.size, args.seed, args.varied)
    args.runs.mkdir(parents=True, exist_ok=True)
    truth = torch.from_numpy(taught(teacher, pairs, args.runs / f"{args.teacher}-teacher.npz").astype(np.float32) / 65535)[:, None]
    frames = torch.from_numpy(pairs.astype(np.float32) / 255)
    test = torch.arange(len(pairs)) % HELD_OUT == 0
    learned = torch.nonzero(~test)[:, 0]
    network = student(args, teacher, frames[learned[:HALVED_BY]]).train().to(memory_format=torch.channels_last)

    def drawn(x: Tensor) -> Tensor:
        visible, infrared = x[:, :1], x[:, 1:]
        if isinstance(network, NestFuseEdge):
            return network.draw(visible, infrared)
        with torch.autocast("cpu", torch.bfloat16):
            both = zip(network.encode(visible), network.encode(infrared), strict=True)
            return network.decode([network.fuse(a, b) for a, b in both]).float()

    def loss(rng: np.random.Generator) -> Tensor:
        few = learned[torch.from_numpy(rng.integers(len(learned), size=args.batch))]
        x, y = frames[few], truth[few]
        made = drawn(x)
        error = made - y
        steps = error[..., 1:] - error[..., :-1], error[..., 1:, :] - error[..., :-1, :]
        details = (detail_kept(x[:, k : k + 1], made, n) - detail_kept(x[:, k : k + 1], y, n) for k in range(2) for n in SQUARES)
        return (error**2).mean() + EDGES * sum((d**2).mean() for d in steps) + DETAIL * sum((d**2).mean() for d in details)

    def score() -> dict[str, float]:
        network.eval()
        with torch.no_grad():
            made = torch.cat([drawn(x) for x in frames[test].split(8)]).clamp(0, 1)
        network.train()
        errors = ((made - truth[test]) ** 2).mean((1, 2, 3))
        return {"psnr_db": psnr(errors.mean()), "lowest_psnr_db": psnr(errors.max())}

    name = args.name or args.model
    spent = training_loop.descend(args, name, network, loss, score, warm=50, fall=0.99, clip=1.0)
    if spent is None:
        return {"stopped_at": args.stop_after}
    result: dict[str, object] = {
        "model": args.model, "teacher": args.teacher, "attention": args.attention, "contrast": args.contrast,
        "pairs": [f.name for f in args.pairs], "crops": args.crops, "varied": args.varied, "from": args.origin,
        **training_loop.settings(args, spent), "test": score(),
    }  # fmt: skip
    return training_loop.write_result(args.runs, name, result)


def parser() -> argparse.ArgumentParser:
    p = command_line.parser("tools.nestfuse.distil", __doc__)
    p.add_argument("--model", choices=(EDGE, SMALL), default=EDGE)
    p.add_argument("--teacher", default=NAME, metavar="RUN", help="run of tools.nestfuse.train (default: %(default)s)")
    p.add_argument(
        "--from", dest="origin", metavar="RUN", help="run to continue from (default: a new network, for nestfuse-small the halved teacher)"
    )
    p.add_argument("--name", help="name of this run (default: MODEL)")
    p.add_argument("--pairs", nargs="+", type=Path, default=PUBLIC, metavar="DIR", help="folders with visible/ and infrared/")
    p.add_argument("--attention", choices=ATTENTIONS, default="average")
    p.add_argument("--contrast", type=float, default=CONTRAST, help="contrast of the spatial attention (default: %(default)s)")
    p.add_argument("--crops", type=int, default=240)
    p.add_argument("--varied", type=float, default=0.6, help="share of crops that simulate other cameras (default: %(default)s)")
    p.add_argument("--size", type=int, default=128, help="side of a crop in pixels, a multiple of 8")
    training_loop.add_options(p, steps=2000, batch=8, rate=2e-3, every=200, threads=1)
    return p


def main() -> None:
    command_line.run("tools.nestfuse.distil", parser(), train, keep_buffers=True)


if __name__ == "__main__":
    main()
