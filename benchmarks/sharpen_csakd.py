"""Quality and speed of `csakd-student` compared with cubic interpolation and `sharpen-edge`.

    python benchmarks/sharpen_csakd.py CUBE.npz...

Wald's protocol, as in benchmarks/sharpen.py. Give scenes that the student was not trained on (`edgefuse models show csakd-student` names
its training scenes). PSNR: mean over the bands, peak 1. Times are processor seconds on one thread, interleaved; the ratio is the median
over the scenes, with its range. Registration and statistics, with which both begin, are not part of the ratio and are reported separately.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from sharpen import CONDITIONS, RATIO, Floats, degraded, interpolated, loaded, scored, wide_bands

from edgefuse.sharpening.base import Options, sharpener

MODELS = "csakd-student", "sharpen-edge"


def seen(truth: Floats, bands: int, noise: float | None, shift: int) -> tuple[Floats, Floats]:
    """Simulate the two cameras: noise in dB below each band's power; the image is moved by `shift` pixels along both axes."""
    both = degraded(truth), wide_bands(truth, bands)
    if noise is not None:
        rng, share = np.random.default_rng(0), 10 ** (-noise / 20)
        powers = [np.sqrt(np.square(x, dtype=np.float64).mean((0, 1))) for x in both]
        low, image = ((x + share * p * rng.normal(size=x.shape)).astype(np.float32) for x, p in zip(both, powers, strict=True))
        both = low, image
    return both[0], np.roll(both[1], (shift, shift), (0, 1))


def measured(truth: Floats, bands: int, condition: str, rounds: int) -> dict[str, Any]:
    noise, shift = CONDITIONS[condition]
    low, image = seen(truth, bands, noise, shift)
    edge = 8 * bool(shift)
    found: dict[str, Any] = {"cubic": scored(truth, interpolated(low, image.shape[:2]), edge)}
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in MODELS}
    for _ in range(rounds):
        for name in MODELS:
            kind, made = sharpener(name), np.empty(truth.shape, np.float32)
            began = time.process_time()
            scene = kind.prepare(low, image, Options(threads=1))
            middle = time.process_time()
            scene.sharpen(made)
            taken[name].append((middle - began, time.process_time() - middle))
            found[name] = scored(truth, np.roll(made, (-shift, -shift), (0, 1)), edge)
    pixels = truth[..., 0].size / 1e6
    for name, times in taken.items():
        prepared, sharpened = (float(np.median(t)) for t in zip(*times, strict=True))
        found[name] |= {"prepare_s": prepared, "s_per_megapixel": sharpened / pixels}
    found["ratio"] = found["csakd-student"]["s_per_megapixel"] / found["sharpen-edge"]["s_per_megapixel"]
    return found


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("cubes", type=Path, nargs="+", metavar="CUBE.npz", help="files with an array `cube`, rows x columns x bands")
    p.add_argument(
        "--bands", type=lambda s: [int(b) for b in s.split(",")], default=[4, 6], metavar="B,B", help="numbers of bands of the image"
    )
    p.add_argument("--conditions", type=lambda s: s.split(","), default=["clean"], metavar="NAME,NAME", help=", ".join(CONDITIONS))
    p.add_argument("--rounds", type=int, default=3, help="repetitions of each timing (default: %(default)s)")
    p.add_argument("--json", type=Path, metavar="FILE")
    args = p.parse_args()
    every: dict[str, dict[str, Any]] = {}
    for bands, condition in product(args.bands, args.conditions):
        rows = {path.stem: measured(loaded(path), bands, condition, args.rounds) for path in args.cubes}
        every[f"{bands} bands, {condition}"] = rows
        print(f"{bands} bands, {condition}, ratio {RATIO}, {len(rows)} scenes")
        for name in ("cubic", *MODELS):
            print("  " + name + mean_of(rows, lambda r: r[name]))  # noqa: B023
        gains = {n: r["csakd-student"]["psnr"] - r["cubic"]["psnr"] for n, r in rows.items()}
        ratios = [r["ratio"] for r in rows.values()]
        print("  student above cubic: " + ", ".join(f"{n} {g:+.2f}" for n, g in gains.items()))
        print(
            f"  sharpen-edge is {np.median(ratios):.2f} times as fast as the student ({min(ratios):.2f} to {max(ratios):.2f})", flush=True
        )
    if args.json:
        args.json.write_text(json.dumps(every, indent=1) + "\n")


def mean_of(rows: dict[str, Any], part: Callable[[Any], dict[str, float]]) -> str:
    def mean(key: str) -> float:
        return float(np.mean([part(r)[key] for r in rows.values()]))

    told = f": {mean('psnr'):.2f} dB, {mean('sam'):.2f} degrees, ERGAS {mean('ergas'):.2f}"
    if "s_per_megapixel" in part(next(iter(rows.values()))):
        told += f"; {mean('s_per_megapixel'):.1f} processor seconds a megapixel, {mean('prepare_s'):.2f} s before"
    return told


if __name__ == "__main__":
    main()
