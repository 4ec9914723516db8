"""Train the kernel network of `sharpen-edge` end to end through the kriging: `python -m tools.kernel.train`.

Each step kriges a crop of 48 x 48 pixels from its 12 x 12 low-resolution ones, with covariances between single pixels. The loss is the
error in the middle of the crop. tools/training_loop.py describes the files of a run and how to resume it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from edgefuse.sharpening.kernel import MANY, fixed
from edgefuse.sharpening.kernel_network import FEATURES, MAX_LOG_SCALE
from tools import command_line, training_loop
from tools.data import sharpening
from tools.data.sharpening import RATIO, Pair
from tools.kernel.network import CHANNELS, MARGIN, KernelNetwork, parameters

_SIDE, _EDGE = 12, 2  # low-resolution pixels: side of a crop, and width of its border, which is scored only at the scene's border
_ROUND = 2e-3  # kernel.py's
_FIXED = 14.0, 60.0  # kernel.py's _SIMILARITY and _SOFT
_STEPS_PER_PAIR = 6  # one pair of the pool is replaced every so many steps, on average


def features(network: KernelNetwork, pair: Pair, rows: slice, columns: slice) -> tuple[Tensor, Tensor, Tensor]:
    """Return features of a window's n pixels: similarity and slopes, (n, FEATURES) each, and scale (n,), as in `WindowFeatures`."""
    seen = tuple(slice(s.start, s.stop + 2 * MARGIN) for s in (rows, columns))
    added = network(pair.planes[None, :, seen[0], seen[1]])[0].reshape(CHANNELS, -1).T
    z = pair.whitened[:FEATURES, rows, columns].reshape(min(FEATURES, len(pair.whitened)), -1).T
    soft = pad(z / torch.sqrt(1 + (z / _FIXED[1]) ** 2), (0, FEATURES - z.shape[1]))
    slopes = soft * fixed(len(pair.whitened)).features.slope + added[:, FEATURES:-1]
    return soft / _FIXED[0] + added[:, :FEATURES], slopes, torch.exp(added[:, -1].clamp(-MAX_LOG_SCALE, MAX_LOG_SCALE))


def similarity(f: Tensor, shape: tuple[int, int], near: Tensor) -> Tensor:
    """Return the stationary covariance of all pixels of a window, (n, n), without their scale. f: (n, FEATURES)."""
    half = f.square().sum(1)
    distance = torch.addmm(half[:, None] + (half + _ROUND), f, f.T, alpha=-2).clamp_min(_ROUND / 4)
    alone = 1 / (1 + distance.sqrt())
    y, x = (torch.exp(-(torch.arange(n)[:, None] - torch.arange(n)).abs() / (RATIO * near)) for n in shape)
    return (alone.reshape(*shape, *shape) * y[:, None, :, None] * x[None, :, None, :]).reshape(alone.shape)


def kriged(network: KernelNetwork, pair: Pair, top: int, left: int, size: tuple[int, int]) -> Tensor:
    """Predict the components (n, k) of a window's pixels. The window starts at low-resolution pixel (top, left); size: in low-resolution
    pixels."""
    height, width = pair.planes.shape[1] - 2 * MARGIN, pair.planes.shape[2] - 2 * MARGIN
    rows, columns = (slice(RATIO * a, RATIO * (a + n)) for a, n in zip((top, left), size, strict=True))
    shape = rows.stop - rows.start, columns.stop - columns.start
    down, across = (
        _within(*f(a, a + n, whole), part) for f, a, n, whole, part in
        ((pair.psf.rows, top, size[0], height, rows), (pair.psf.columns, left, size[1], width, columns))
    )  # fmt: skip
    f, slopes, scale = features(network, pair, rows, columns)
    count = len(f)
    covariance = scale[:, None] * scale * similarity(f, shape, network.near[int(len(pair.whitened) >= MANY)])
    observed = (across @ (down @ covariance.reshape(count, *shape)).transpose(1, 2)).transpose(1, 2).reshape(count, -1)
    gram = (down @ (across @ observed.reshape(*shape, -1)).reshape(shape[0], -1)).reshape(-1, observed.shape[1])
    low = (down @ (across @ slopes.reshape(*shape, -1)).reshape(shape[0], -1)).reshape(-1, FEATURES)
    gram, cross = (gram + low @ low.T).double(), (observed + slopes @ low.T).double()
    rest = pair.rest[top : top + size[0], left : left + size[1]].reshape(len(gram), -1).double()
    own, predicted = gram.diagonal().mean(), torch.empty((count, rest.shape[1]), dtype=torch.float64)
    for level in np.unique(pair.noise):
        chosen = torch.from_numpy(pair.noise == level)
        predicted[:, chosen] = cross @ torch.linalg.solve(gram + float(level) * own * torch.eye(len(gram)), rest[:, chosen])
    return predicted.float()


def _within(first: int, weights: np.ndarray, part: slice) -> Tensor:
    """Cut weights (n, pixels), which start at pixel `first`, to the pixels of `part`, and normalise each row to a sum of 1."""
    whole = np.zeros((len(weights), max(part.stop, first + weights.shape[1])), np.float32)
    whole[:, first : first + weights.shape[1]] = weights
    kept = whole[:, part]
    return torch.from_numpy(kept / kept.sum(1, keepdims=True))


def loss_of(network: KernelNetwork, pair: Pair, rng: np.random.Generator) -> Tensor:
    """Return the loss on a random crop: per band sqrt(1 + MSE / MSE of the fixed kernel), averaged over the bands, minus 1."""
    h, w = pair.rest.shape[:2]
    size = min(_SIDE, h), min(_SIDE, w)
    top, left = (int(rng.integers(0, n - s + 1)) for n, s in zip((h, w), size, strict=True))
    predicted = kriged(network, pair, top, left, size).reshape(size[0] * RATIO, size[1] * RATIO, -1)
    inner = tuple(
        slice(0 if a == 0 else _EDGE * RATIO, (s if a + s == n else s - _EDGE) * RATIO)
        for a, s, n in zip((top, left), size, (h, w), strict=True)
    )
    truth = pair.truth[RATIO * top : RATIO * (top + size[0]), RATIO * left : RATIO * (left + size[1])]
    error = ((truth - predicted)[inner].reshape(-1, predicted.shape[2]) @ pair.components.T).square().mean(0)
    return torch.sqrt(1 + error / pair.error).mean() - 1


def train(args: argparse.Namespace) -> dict[str, object]:
    training_loop.prepare(args)
    known = sharpening.read(args.data)
    if unknown := set(args.without) - set(known):
        raise ValueError(f"{args.data} has no {', '.join(sorted(unknown))} to hold out")
    held_out = [known.pop(name) for name in args.without]
    if not known:
        raise ValueError(f"{args.data} has no scenes NAME.npz to learn from")
    scenes = list(known.values())
    network = KernelNetwork(args.width)
    if args.origin:
        network.load_state_dict(torch.load(args.runs / args.origin / "final.pt", weights_only=True)["network"])
    pool: list[Pair] = []

    def loss(rng: np.random.Generator) -> Tensor:
        while len(pool) < args.pairs:
            pool.append(sharpening.random_pair(scenes, rng, args.most))
        if rng.random() < 1 / _STEPS_PER_PAIR:
            pool[rng.integers(len(pool))] = sharpening.random_pair(scenes, rng, args.most)
        return torch.stack([loss_of(network, pool[rng.integers(len(pool))], rng) for _ in range(args.batch)]).mean()

    # the same crops at each validation
    validation = {
        name: [sharpening.random_pair(part, np.random.default_rng((args.seed, 1, n)), args.most) for n in range(args.asked)]
        for name, part in (("asked", scenes), ("held_out", held_out)) if part
    }  # fmt: skip

    def score() -> dict[str, object]:
        with torch.no_grad():
            each = {k: [float(loss_of(network, p, np.random.default_rng(n))) for p in v for n in range(2)] for k, v in validation.items()}
        return {k: round(float(np.mean(v)), 5) for k, v in each.items()} | {"near": [round(n, 3) for n in network.near.tolist()]}

    print(json.dumps({"parameters": parameters(network)} | score()), flush=True)
    spent = training_loop.descend(args, args.name, network, loss, score, warm=50, fall=0.99, clip=1.0)
    if spent is None:
        return {"stopped_at": args.stop_after}
    torch.save({"network": network.state_dict(), "width": network.width}, args.runs / args.name / "final.pt")
    return training_loop.write_result(args.runs, args.name, {
        "model": "sharpen-kernel", "data": training_loop.named([f"scenes:{args.data}"]), "scenes": list(known), "from": args.origin,
        "most_bands": args.most, **training_loop.settings(args, spent), "parameters": parameters(network), **score(),
    })  # fmt: skip


def parser() -> argparse.ArgumentParser:
    p = command_line.parser("tools.kernel.train", __doc__)
    p.add_argument("--data", type=Path, default=training_loop.ROOT.parent / "shared/data/hsi", metavar="DIR")
    p.add_argument(
        "--without", type=lambda s: s.split(","), default=[], metavar="NAME,NAME", help="scenes to hold out: for validation only"
    )
    p.add_argument("--width", type=int, default=24, help="channels")
    p.add_argument("--pairs", type=int, default=48, help="pairs in the pool")
    p.add_argument("--asked", type=int, default=24, help="pairs for each validation")
    p.add_argument("--most", type=int, default=8, help="largest number of bands of an image")
    p.add_argument("--from", dest="origin", metavar="RUN", help="start from the final weights of this run")
    p.add_argument("--name", default="sharpen-kernel", help="folder under --runs")
    training_loop.add_options(p, steps=5000, batch=1, rate=3e-3, every=250, threads=1)
    return p


def main() -> None:
    command_line.run("tools.kernel.train", parser(), train)


if __name__ == "__main__":
    main()
