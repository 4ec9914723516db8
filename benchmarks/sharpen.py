"""Quality and speed of `sharpen-edge`: `python benchmarks/sharpen.py CUBE.npz... [--bands 4,6] [--json F]`

Each cube is degraded by Wald's protocol (Gaussian blur as wide as a low-resolution pixel, then every 4th pixel), its bands are averaged to
4 or 6 wide ones, and it is sharpened again. Compared with cubic interpolation, and with linear regression whose residual is interpolated
(hypersharpening, Selva et al. 2015). Noise: so many dB below each band's power, on both inputs. Shift: the image is moved by a pixel along
both axes; it and the unshifted one are scored 8 pixels from the border. PSNR: mean over the bands, peak 1, counts / 10000. Times are
processor seconds.
"""

from __future__ import annotations

# BLAS reads its number of threads when it is loaded
# ruff: noqa: E402
import os

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import argparse
import json
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgefuse import zoo
from edgefuse.metrics.sharpening import SharpeningScore
from edgefuse.sharpening import kernel_network
from edgefuse.sharpening.base import Options
from edgefuse.sharpening.csakd import RANGES
from edgefuse.sharpening.kernel import MANY, Kernel
from edgefuse.sharpening.sharpen import prepare, sharpen
from edgefuse.util.arrays import Float32Array

RATIO = 4
CONDITIONS = {
    "clean": (None, 0), "noise 35 dB": (35.0, 0), "noise 25 dB": (25.0, 0), "noise 45 dB": (45.0, 0),
    "shifted": (None, 1), "shifted back": (None, -1),
}  # fmt: skip
# the scenes on which the kernel's constants were chosen; the others were only evaluated
CHOSEN_ON = "abu_airport_1", "abu_beach_3", "abu_urban_1", "abu_urban_4", "sandiego", "muufl_90", "abu_beach_4"


def loaded(path: Path) -> Float32Array:
    cube = np.load(path)["cube"].astype(np.float32)
    cube = np.clip(cube if cube.max() <= 2 else cube / 10000, 0, 1)
    return np.ascontiguousarray(cube[: cube.shape[0] // RATIO * RATIO, : cube.shape[1] // RATIO * RATIO])


def degraded(cube: Float32Array) -> Float32Array:
    sigma = RATIO / 2.355
    size = 2 * int(np.ceil(3 * sigma)) + 1
    bands = [cv2.GaussianBlur(band, (size, size), sigma, borderType=cv2.BORDER_REFLECT_101) for band in np.moveaxis(cube, 2, 0)]
    return np.ascontiguousarray(np.stack(bands, 2)[RATIO // 2 :: RATIO, RATIO // 2 :: RATIO])


def wide_bands(cube: Float32Array, count: int) -> Float32Array:
    n = cube.shape[2]
    return np.stack([cube[..., int(a * n) : max(int(a * n) + 1, int(b * n))].mean(2) for a, b in RANGES[:count]], 2)


def interpolated(low: Float32Array, shape: tuple[int, int]) -> Float32Array:
    y, x = ((np.mgrid[: shape[0], : shape[1]].astype(np.float32) - RATIO // 2) / RATIO).astype(np.float32)
    return np.stack([cv2.remap(band, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101) for band in np.moveaxis(low, 2, 0)], 2)


def with_one(image: Float32Array) -> Float32Array:
    """Reshape (h, w, b) to (h w, b + 1) with a column of ones."""
    return np.concatenate([image.reshape(-1, image.shape[2]), np.ones((image[..., 0].size, 1), np.float32)], 1)


def regression(low: Float32Array, image: Float32Array) -> Float32Array:
    seen = with_one(degraded(image))
    weights = np.linalg.lstsq(seen, low.reshape(-1, low.shape[2]), rcond=None)[0]
    rest = (low - (seen @ weights).reshape(low.shape)).astype(np.float32)
    return (with_one(image) @ weights).reshape(*image.shape[:2], -1) + interpolated(rest, image.shape[:2])


def noise_floor(truth: Float32Array, image: Float32Array) -> float:
    """Return the highest PSNR (dB) that any method can reach: limited by the noise in the residual of a regression of the truth itself,
    estimated from second differences along both axes (Immerkaer 1996, with medians). Its variance at low resolution is a sixteenth."""
    known = with_one(image)
    flat = truth.reshape(len(known), -1)
    left = (flat - known @ np.linalg.lstsq(known, flat, rcond=None)[0]).reshape(truth.shape)
    for _ in range(2):
        left = np.moveaxis(left[:-2] - 2 * left[1:-1] + left[2:], 1, 0)
    deviations = np.median(np.abs(left), (0, 1)) / (6 * 0.6745)
    return float(np.mean(-20 * np.log10(np.maximum(deviations, 1e-6))))


def scored(truth: Float32Array, made: Float32Array, edge: int) -> dict[str, float]:
    inner = slice(edge, -edge or None)
    score = SharpeningScore(truth.shape[2], 1.0, RATIO)
    score.add(truth[inner, inner], made[inner, inner])
    figures = score.result()
    return {"psnr": figures.psnr_db, "sam": figures.sam_degrees, "ergas": figures.ergas, "rmse": figures.rmse}


def measured(truth: Float32Array, bands: int, noise: float | None, shift: int, coarse: bool, kernel: Kernel | None) -> dict[str, Any]:
    low, image = degraded(truth), wide_bands(truth, bands)
    if noise is not None:
        rng = np.random.default_rng(0)
        low, image = (
            (x + rng.normal(size=x.shape) * np.sqrt(np.square(x, dtype=np.float64).mean((0, 1))) * 10 ** (-noise / 20)).astype(np.float32)
            for x in (low, image)
        )
    moved = np.roll(image, (shift, shift), (0, 1))
    began = time.process_time()
    scene = prepare(low, moved, Options(threads=1, coarse=coarse), kernel)
    made, unsure = np.empty(truth.shape, np.float32), np.zeros((*truth.shape[:2], 1), np.float32)
    sharpen(scene, made)
    elapsed = time.process_time() - began
    if not shift and noise is None:
        sharpen(scene, np.empty_like(made), unsure)
    edge = 8 * bool(shift)
    beside: dict[str, Any] = {}
    if not shift and noise is None:
        beside = {"noise_floor": noise_floor(truth, image)}
    if shift:
        made, unmoved = np.roll(made, (-shift, -shift), (0, 1)), np.empty_like(made)
        sharpen(prepare(low, image, Options(threads=1, coarse=coarse), kernel), unmoved)
        beside = {"unshifted": scored(truth, unmoved, edge)}
    return beside | {
        "ours": scored(truth, made, edge), "peer": scored(truth, regression(low, image), edge),
        "shift": [scene.pair.psf.dy, scene.pair.psf.dx],
        "cubic": scored(truth, interpolated(low, image.shape[:2]), edge),
        "claimed_rmse": float(np.sqrt(np.square(unsure).mean())),
        "s_per_megapixel": elapsed / truth[..., 0].size * 1e6,
    }  # fmt: skip


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("cubes", type=Path, nargs="+", metavar="CUBE.npz", help="files with an array `cube`, rows x columns x bands")
    p.add_argument(
        "--bands", type=lambda s: [int(b) for b in s.split(",")], default=[4, 6], metavar="B,B", help="numbers of bands of the image"
    )
    p.add_argument("--conditions", type=lambda s: s.split(","), default=list(CONDITIONS), metavar="NAME,NAME", help=", ".join(CONDITIONS))
    p.add_argument("--coarse", action="store_true", help="as --coarse of `edgefuse sharpen`")
    p.add_argument(
        "--kernel", action="append", default=[], metavar="FOLDER=NAME,NAME",
        help="use the kernel in this model folder for these scenes and images of less than 6 bands: one trained without these scenes",
    )  # fmt: skip
    p.add_argument("--json", type=Path, metavar="FILE")
    args = p.parse_args()
    own = {}
    for folder, names in (k.split("=") for k in args.kernel):
        own |= dict.fromkeys(names.split(","), kernel_network.from_card(zoo.read_card(Path(folder)), MANY - 1))
    figures: dict[str, dict[str, Any]] = {}
    for bands in args.bands:
        for condition in args.conditions:
            rows = figures[f"{bands} bands, {condition}"] = {}
            for path in args.cubes:
                truth = loaded(path)
                rows[path.stem] = measured(truth, bands, *CONDITIONS[condition], args.coarse, own.get(path.stem) if bands < MANY else None)
            for group, names in (("chosen on", [n for n in rows if n in CHOSEN_ON]), ("held out", [n for n in rows if n not in CHOSEN_ON])):
                if names:
                    print_table(f"{bands} bands, {condition}, {group}", {n: rows[n] for n in names})
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n")


def print_table(title: str, rows: dict[str, Any]) -> None:
    gains = {n: r["ours"]["psnr"] - r["peer"]["psnr"] for n, r in rows.items()}
    angles = [r["ours"]["sam"] - r["peer"]["sam"] for r in rows.values()]
    worst = min(gains, key=lambda n: gains[n])
    print(
        f"{title}: {np.mean([r['ours']['psnr'] for r in rows.values()]):.2f} dB, gain {np.mean(list(gains.values())):+.2f} dB (worst "
        f"{gains[worst]:+.2f} {worst}), angle {np.mean(angles):+.2f} degrees"
    )
    print("    " + ", ".join(f"{n} {g:+.2f}" for n, g in gains.items()), flush=True)
    if below := {n: r["noise_floor"] - r["ours"]["psnr"] for n, r in rows.items() if "noise_floor" in r}:
        print("    below the truth's noise: " + ", ".join(f"{n} {d:.2f} dB" for n, d in below.items()), flush=True)
    if lost := {n: r["ours"]["psnr"] - r["unshifted"]["psnr"] for n, r in rows.items() if "unshifted" in r}:
        print(
            f"    to unshifted {np.mean(list(lost.values())):+.2f} dB: " + ", ".join(f"{n} {d:+.2f}" for n, d in lost.items()), flush=True
        )


if __name__ == "__main__":
    main()
