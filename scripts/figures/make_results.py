"""The tables of docs/research/results.md, and results.json: `python scripts/figures/make_results.py --shared ../shared`.

Needs the referee and its data.
Fuses the referee's pairs with each of our models as a user would (`edgefuse run`), runs the referee, and prints Markdown; measures
flicker on a still demo street with noise, and speed with benchmarks/ifcnn.py. scripts/figures/make_pictures.py plots what is written.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import edgefuse
from edgefuse import zoo
from edgefuse.metrics.flicker import Flicker

SETS = {"tno": "tno", "msrs": "msrs_test"}
READINESS = (0.0, 0.5, 0.75, 1.0, 1.5)
ROOT = Path(__file__).resolve().parents[2]


def fused(shared: Path, model: str, name: str, scratch: Path, *options: str) -> Path:
    """The folder of fused pictures of one of the referee's sets."""
    out = scratch / "-".join([model, name, *options]).replace(".", "_")
    source = f"folder:{shared / 'data/fusion' / name}"
    command = [sys.executable, "-m", "edgefuse", "run", "--source", source, "--model", model, "--save", str(out), *options]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return out


def referee(shared: Path, *command: str) -> list[str]:
    done = subprocess.run([sys.executable, *command], cwd=shared / "referee", check=True, capture_output=True, text=True)
    return done.stdout.splitlines()


def ranks(shared: Path, model: str, name: str, scratch: Path, *options: str) -> dict[str, float]:
    """{method: mean rank} of the referee's table with `model` as "this"."""
    out = fused(shared, model, SETS[name], scratch, *options)
    return {line.split()[0]: float(line.split()[-1]) for line in referee(shared, "fusion.py", str(out), "--set", name)[1:]}


def targets(shared: Path, model: str, scratch: Path, *options: str) -> dict[str, float]:
    """kept, worst tenth and share below half of the referee's targets."""
    out = fused(shared, model, "targets", scratch, *options)
    words = next(line for line in referee(shared, "targets.py", str(out)) if line.startswith("this")).split()
    return {"kept": float(words[2]), "worst_tenth": float(words[5]), "below_half": float(words[8].rstrip("%")) / 100}


def flicker(model: str) -> dict[str, float]:
    """Levels of 255 that a still street with Gaussian sensor noise of deviation 3 changes by, from frame to frame, both inputs beside."""
    rng = np.random.default_rng(0)
    with edgefuse.open_source("demo?scene=day&frames=1") as source:
        pair = source.read()
    assert pair is not None
    still = np.ones(pair.infrared.data.shape, bool)
    meter = Flicker()
    with edgefuse.load(model, steady=True) as fuser:
        for k in range(12):
            frames = [
                replace(f, data=np.clip(f.data + rng.normal(0, 3, f.data.shape), 0, 255).round().astype(np.uint8), time_ns=k * 40_000_000)
                for f in (pair.visible, pair.infrared)
            ]
            noisy = replace(pair, visible=frames[0], infrared=frames[1])
            picture = fuser.fuse(noisy).data
            if k >= 4:
                meter.add(frames[0].data, frames[1].data, picture, still)
    figures = meter.figures
    return {"visible": figures.visible, "infrared": figures.infrared, "fused": figures.fused}


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--shared", type=Path, default=Path("../shared"), help="folder with referee/, data/ and peers/ (default: %(default)s)")
    shared = p.parse_args().shared.resolve()
    models = [c.name for c in zoo.cards() if c.task == "fusion"]
    command = [sys.executable, str(ROOT / "benchmarks/ifcnn.py"), "--peer", str(shared / "peers/ifcnn_max.onnx"), "--rounds", "9", "--json"]
    speed = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    results: dict[str, Any] = {"models": {}, "quality_speed": {}, "frontier": []}
    with tempfile.TemporaryDirectory() as scratch:
        for model in models:
            tables = {name: ranks(shared, model, name, Path(scratch)) for name in SETS}
            row = {f"{name}_rank": table["this"] for name, table in tables.items()} | targets(shared, model, Path(scratch))
            row |= {"first_on_tno": min(tables["tno"], key=lambda m: tables["tno"][m]) == "this", "flicker": flicker(model)}
            ratios = {k: f["end_to_end_640x480"]["ratio"] for k, f in speed["models"].items() if k.split()[0] == model}
            best = max(ratios, key=lambda k: ratios[k])
            results["models"][model] = row | {"fastest": best, "ratio": ratios[best]}
            results["quality_speed"][model] = {"ratio": ratios[best], "tno_rank": row["tno_rank"]}
            if model == zoo.DEFAULT_MODEL:
                results["quality_speed"]["IFCNN"] = {"ratio": 1.0, "tno_rank": tables["tno"]["IFCNN"]}
        for model, options in [("blend-classic", ()), *((zoo.DEFAULT_MODEL, ("--targets", str(r))) for r in READINESS)]:
            rank = ranks(shared, model, "tno", Path(scratch), *options)["this"]
            name = options[1] if options else "blend-classic"
            results["frontier"].append({"name": name, "tno_rank": rank} | targets(shared, model, Path(scratch), *options))
    (ROOT / "scripts/figures/results.json").write_text(json.dumps(results, indent=1) + "\n")
    print(
        "| model | rank TNO | rank MSRS | kept | worst tenth | below half | flicker fused (visible, infrared) | speed |\n"
        + "|---" * 8
        + "|"
    )
    for model, r in results["models"].items():
        f, how = r["flicker"], r["fastest"].partition(" ")[2] or "closed form"
        print(
            f"| {model} | {r['tno_rank']:.2f} | {r['msrs_rank']:.2f} | {r['kept']:.3f} | {r['worst_tenth']:.3f} | {r['below_half']:.1%} "
            f"| {f['fused']:.2f} ({f['visible']:.2f}, {f['infrared']:.2f}) | {r['ratio']:.1f}x ({how}) |"
        )


if __name__ == "__main__":
    main()
