"""Draws docs/images/sharpening* for docs/research/sharpening.md.

Usage: `python scripts/figures/make_sharpening_pictures.py [--results FILE]`.

sharpening.jpg: a synthetic scene (aerial_scene.py), degraded and sharpened again, with maps of error and uncertainty.
sharpening-spectra.png: some of its spectra. sharpening-robustness.png: influence of noise and of a shift by one pixel, from
sharpening.json, which `--results` derives from the output of `python benchmarks/sharpen.py CUBE.npz... --json FILE`.
Needs matplotlib (`pip install 'edgefuse[plots]'`).
"""

from __future__ import annotations

# to import the benchmark
# ruff: noqa: E402
import argparse
import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "benchmarks"))

import aerial_scene
import matplotlib as mpl
import numpy as np
import sharpen as benchmark

from edgefuse.sharpening.base import Options
from edgefuse.sharpening.sharpen import prepare, sharpen

mpl.use("Agg")
from matplotlib import pyplot as plt

OUT, MEANS = HERE.parents[1] / "docs/images", HERE / "sharpening.json"
RGB = 650.0, 550.0, 480.0  # nanometres
# names as in benchmarks/sharpen.py
METHODS = {"cubic": ("cubic", "#8a8a8a", "v"), "peer": ("regression", "#b03a2e", "s"), "ours": ("sharpen-edge", "#1b6ca8", "o")}
LEVELS = {"noise 25 dB": 25.0, "noise 35 dB": 35.0, "noise 45 dB": 45.0, "clean": 55.0}  # the last: position of "clean" on the axis


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--results", type=Path, metavar="FILE", help="output of benchmarks/sharpen.py --json, source of sharpening.json")
    args = p.parse_args()
    truth = aerial_scene.scene()
    low, image = benchmark.degraded(truth), benchmark.wide_bands(truth, 4)
    prepared = prepare(low, image, Options())
    ours, unsure = np.empty_like(truth), np.empty((*truth.shape[:2], 1), np.float32)
    sharpen(prepared, ours, unsure)
    made = {"cubic": benchmark.interpolated(low, truth.shape[:2]), "peer": benchmark.regression(low, image), "ours": ours}
    maps(truth, low, made, unsure[..., 0])
    spectra(truth, made)
    if args.results:
        MEANS.write_text(json.dumps(condensed(json.loads(args.results.read_text())), indent=1) + "\n")
    robustness(json.loads(MEANS.read_text()))


def composite(cube: np.ndarray) -> np.ndarray:
    """Return red, green and blue, 0..1, with gamma correction."""
    bands = [int(np.abs(aerial_scene.WAVELENGTHS - w).argmin()) for w in RGB]
    return np.clip(cube[..., bands] / 0.3, 0, 1) ** (1 / 1.8)


def error(truth: np.ndarray, made: np.ndarray) -> np.ndarray:
    """Return the root mean square error over the bands, in percent of reflectance."""
    return 100 * np.sqrt(np.square(made - truth).mean(2))


def maps(truth: np.ndarray, low: np.ndarray, made: dict[str, np.ndarray], unsure: np.ndarray) -> None:
    figure, axes = plt.subplots(2, 3, figsize=(11, 7.6), layout="constrained")
    psnr = {name: benchmark.scored(truth, cube, 0)["psnr"] for name, cube in made.items()}
    for at, cube, title in zip(axes[0], (low, made["ours"], truth), ("the cube, 4 x coarser", "sharpen-edge", "truth"), strict=True):
        at.imshow(composite(cube), interpolation="nearest")
        at.set_title(title)
    errors = [error(truth, made[name]) for name in ("peer", "ours")]
    worst = float(np.percentile(errors[0], 99))
    titles = f"error of the regression, {psnr['peer']:.1f} dB", f"error of sharpen-edge, {psnr['ours']:.1f} dB"
    for at, shown, title in zip(axes[1], errors, titles, strict=False):
        drawn = at.imshow(shown, cmap="magma", vmin=0, vmax=worst, interpolation="nearest")
        at.set_title(title)
    figure.colorbar(drawn, ax=axes[1, :2], shrink=0.8, label="rms over the bands, % of reflectance")
    claimed, true = (float(np.sqrt(np.square(e).mean())) for e in (100 * unsure, errors[1]))
    drawn = axes[1, 2].imshow(100 * unsure, cmap="viridis", interpolation="nearest")
    axes[1, 2].set_title(f"its uncertainty: rms {claimed:.2f}, true {true:.2f} %")
    figure.colorbar(drawn, ax=axes[1, 2], shrink=0.8)
    for at in axes.flat:
        at.set_xticks([])
        at.set_yticks([])
    figure.savefig(OUT / "sharpening.jpg", dpi=90, pil_kwargs={"quality": 88})


def spectra(truth: np.ndarray, made: dict[str, np.ndarray]) -> None:
    """Choose three mixed pixels of different brightness, among those with the largest error of cubic interpolation."""
    lost = error(truth, made["cubic"])
    worst = np.argwhere(lost >= np.percentile(lost, 97))
    by_level = worst[np.argsort([truth[y, x].mean() for y, x in worst])]
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained", sharex=True)
    for at, (y, x) in zip(axes, by_level[[len(by_level) // 8, len(by_level) // 2, -len(by_level) // 8]], strict=True):
        at.plot(aerial_scene.WAVELENGTHS, 100 * truth[y, x], color="black", linewidth=2.5, label="truth")
        for name in ("cubic", "ours"):
            label, colour, _ = METHODS[name]
            at.plot(aerial_scene.WAVELENGTHS, 100 * made[name][y, x], color=colour, linewidth=1.4, label=label)
        at.set_title(f"row {y}, column {x}", fontsize=10)
        at.set_xlabel("wavelength, nm")
        at.grid(alpha=0.3)
    axes[0].set_ylabel("reflectance, %")
    axes[2].legend(loc="lower right")
    figure.savefig(OUT / "sharpening-spectra.png", dpi=90)


def condensed(measured: dict[str, Any]) -> dict[str, Any]:
    """Return the number of scenes, and each method's means over them for each condition."""
    return {
        condition: {"scenes": len(rows)}
        | {
            name: {k: round(float(np.mean([row[name][k] for row in rows.values()])), 3) for k in ("psnr", "sam")}
            for name in METHODS
            if all(name in row for row in rows.values())
        }
        for condition, rows in measured.items()
    }


def robustness(means: dict[str, Any]) -> None:
    """Plot the PSNR against noise on both inputs, and with the image shifted by a pixel, for 4 bands."""
    figure, (noise, shift) = plt.subplots(
        1, 2, figsize=(9.5, 3.9), layout="constrained", sharey=True, gridspec_kw={"width_ratios": (3, 1.3)}
    )
    there = {c: means[f"4 bands, {c}"] for c in (*LEVELS, "shifted") if f"4 bands, {c}" in means}
    for name, (label, colour, mark) in METHODS.items():
        points = [(level, there[c][name]["psnr"]) for c, level in LEVELS.items() if c in there]
        noise.plot(*zip(*points, strict=True), mark + "-", color=colour, label=label, markersize=5)
        if "shifted" in there:
            shift.plot((0, 1), [there[c][name]["psnr"] for c in ("clean", "shifted")], mark + "-", color=colour, markersize=5)
    noise.set_xticks(list(LEVELS.values()), ["25 dB", "35 dB", "45 dB", "none"])
    noise.set_xlabel("noise on cube and image, below each band's power")
    noise.set_ylabel(f"PSNR, dB (mean of {there['clean']['scenes']} scenes)")
    noise.legend()
    shift.set_xticks((0, 1), ["in place", "shifted\nby a pixel"])
    shift.set_xlim(-0.4, 1.4)
    shift.set_xlabel("image (the regression's: in place)")
    for at in (noise, shift):
        at.grid(alpha=0.3)
    figure.savefig(OUT / "sharpening-robustness.png", dpi=90)


if __name__ == "__main__":
    main()
