"""Plots the losses of runs: `python -m tools.nestfuse.plot_losses nestfuse-1 nestfuse-10 nestfuse-100 nestfuse-1000 --out losses.png`.

Reads RUNS/NAME/log.jsonl (a line per validation); needs matplotlib (`pip install 'edgefuse[plots]'`).
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from edgefuse.errors import MissingDependencyError
from tools.training_loop import ROOT

PLOTTED = {"pixel_loss": "mean squared error (peak 1)", "ssim_loss": "1 - SSIM", "psnr_db": "PSNR (dB, peak 1)"}


def read(runs: Path, names: list[str]) -> dict[str, list[dict[str, float]]]:
    return {name: [json.loads(line) for line in (runs / name / "log.jsonl").read_text().splitlines()] for name in names}


def plot(logs: dict[str, list[dict[str, float]]], out: Path) -> None:
    try:
        from matplotlib.figure import Figure
    except ImportError as e:
        raise MissingDependencyError("matplotlib", "plots", "'edgefuse[plots]'") from e
    keys = [k for k in PLOTTED if any(k in line for lines in logs.values() for line in lines)]
    if not keys:
        raise ValueError(f"no {', '.join(PLOTTED)} in these logs")
    figure = Figure(figsize=(5 * len(keys), 4), layout="constrained")
    for k, key in enumerate(keys):
        axes = figure.add_subplot(1, len(keys), k + 1)
        for name, lines in logs.items():
            axes.plot([line["step"] for line in lines], [line[key] for line in lines], label=name)
        axes.set(xlabel="step", ylabel=PLOTTED[key], yscale="linear" if key == "psnr_db" else "log")
    axes.legend()
    figure.savefig(out)


def main() -> None:
    p = argparse.ArgumentParser(
        prog="python -m tools.nestfuse.plot_losses", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("names", nargs="+", metavar="RUN")
    p.add_argument("--runs", type=Path, default=ROOT / "runs", help="folder of runs (default: %(default)s)")
    p.add_argument("--out", type=Path, required=True, metavar="FILE", help="file to write: PNG, SVG or PDF")
    args = p.parse_args()
    try:
        plot(read(args.runs, args.names), args.out)
    except (ValueError, OSError, MissingDependencyError) as e:
        sys.exit(f"tools.nestfuse.plot_losses: {e}")


if __name__ == "__main__":
    main()
