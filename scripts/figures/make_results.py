"""Measures the tables of docs/research/results.md, and results.json: `python scripts/figures/make_results.py --shared ../shared`.

Writes them into the page, and the row on quality into README.md. Needs the referee and its data; three minutes of processor time, eight
minutes on two busy cores. Fuses the referee's pairs with `edgefuse run`, as a user would. Mean ranks are over the referee's ten metrics
(computed by `edgefuse.metrics`, equal to referee/fusion.py), with the interval of `edgefuse eval --bootstrap`; targets and naturalness are
computed by the referee. Flicker is measured on a still demo street with noise, and with --speed the speed by benchmarks/ifcnn.py. Models
that are not named keep their row of results.json. scripts/figures/make_pictures.py plots the results.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import edgefuse
from edgefuse import zoo
from edgefuse.metrics import fusion
from edgefuse.metrics.flicker import Flicker
from edgefuse.metrics.references import REFERENCES

SETS = {"tno": "tno", "msrs": "msrs_test"}
RANKED = [f"vifb_{name}" for name in ("ag", "ce", "ei", "en", "mi", "psnr", "rmse", "sf", "ssim", "sd")]  # the referee's ten
READINESS = (0.0, 0.5, 1.0, 1.5, 2.0)
MODELS = ("blend-classic", zoo.DEFAULT_MODEL)
SAMPLES = 1000
ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "scripts/figures/results.json"


def fused(shared: Path, model: str, name: str, scratch: Path, *options: str) -> Path:
    """Fuse one of the referee's data sets and return the folder of fused pictures."""
    out = scratch / "-".join([model, name, *options]).replace(".", "_")
    if out.exists():
        return out
    source = f"folder:{shared / 'data/fusion' / name}"
    command = [sys.executable, "-m", "edgefuse", "run", "--source", source, "--model", model, "--save", str(out), *options]
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    return out


def referee(shared: Path, *command: str) -> list[str]:
    done = subprocess.run([sys.executable, *command], cwd=shared / "referee", check=True, capture_output=True, text=True)
    return done.stdout.splitlines()


def measured(pair: Path, folders: dict[str, Path]) -> dict[str, list[float]]:
    """Return the metrics RANKED of one pair, for each method in `folders` and each reference."""
    visible = cv2.imread(str(pair), cv2.IMREAD_UNCHANGED)
    infrared = cv2.imread(str(pair.parents[1] / "infrared" / pair.name), cv2.IMREAD_GRAYSCALE)
    mode = cv2.IMREAD_COLOR if visible.ndim == 3 else cv2.IMREAD_GRAYSCALE
    grey = infrared if visible.ndim == 2 else cv2.cvtColor(infrared, cv2.COLOR_GRAY2BGR)
    pictures = {name: cv2.imread(str(folder / pair.name), mode) for name, folder in folders.items()}
    pictures |= {name: method(visible, grey) for name, method in REFERENCES.items()}
    return {n: [fusion.METRICS[m].function(visible, grey, picture) for m in RANKED] for n, picture in pictures.items()}


def ranks(shared: Path, name: str, ours: dict[str, Path]) -> dict[str, dict[str, Any]]:
    """Rank each of our models in its own table with the published methods and references: mean rank, interval, and the others' ranks."""
    root = shared / "data/fusion" / SETS[name]
    folders = {d.name: d for d in sorted((root / "published").glob("*"))} | ours
    pairs = sorted((root / "visible").glob("*.png"))
    with ProcessPoolExecutor(2) as pool:
        per_pair = list(pool.map(measured, pairs, [folders] * len(pairs)))
    values = {method: np.array([of_pair[method] for of_pair in per_pair]) for method in per_pair[0]}
    rows = {}
    for label in ours:
        table = {method: v for method, v in values.items() if method == label or method not in ours}
        means = {method: dict(zip(RANKED, v.mean(axis=0), strict=True)) for method, v in table.items()}
        placed = fusion.mean_rank(means)
        interval = fusion.intervals(table, RANKED, SAMPLES)[label]
        rows[label] = {"rank": placed[label], "first": min(placed, key=lambda m: placed[m]) == label}
        rows[label] |= {"low": interval.low, "high": interval.high, "share_first": interval.first}
        rows[label]["others"] = {method: rank for method, rank in placed.items() if method != label}
    return rows


def natural(shared: Path, model: str, scratch: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """Return {data set: {method: figures}} from the referee's natural.py; our model is "this"."""
    tables: dict[str, dict[str, dict[str, Any]]] = {}
    for name, folder in (("targets", "targets"), ("msrs", "msrs_test")):
        lines = referee(shared, "natural.py", str(fused(shared, model, folder, scratch)), "--set", name)
        for words in map(str.split, lines):
            figures: dict[str, Any] = {"halo": [float(w) for w in words[2:5]]}
            for key in ("blackened", "day", "seen"):
                if key in words:
                    word = words[words.index(key) + 1]
                    figures[key] = float(word.rstrip("%")) / (100 if word.endswith("%") else 1)
            tables.setdefault(name, {})[words[0]] = figures
    return tables


def targets(shared: Path, model: str, scratch: Path, *options: str) -> dict[str, float]:
    """Return the referee's figures on targets: kept, worst tenth, and share below half."""
    out = fused(shared, model, "targets", scratch, *options)
    words = next(line for line in referee(shared, "targets.py", str(out)) if line.startswith("this")).split()
    return {"kept": float(words[2]), "worst_tenth": float(words[5]), "below_half": float(words[8].rstrip("%")) / 100}


def flicker(model: str) -> dict[str, float]:
    """Measure flicker, in levels of 255, on a still street with Gaussian sensor noise of standard deviation 3; also of both inputs."""
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


def speeds(shared: Path, models: list[str]) -> dict[str, dict[str, Any]]:
    """Return the end-to-end figures of benchmarks/ifcnn.py by model, runtime and precision."""
    command = [sys.executable, str(ROOT / "benchmarks/ifcnn.py"), "--peer", str(shared / "peers/ifcnn_max.onnx"), "--json"]
    command += ["--rounds", "25", "--model", *models]
    done = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return {name: f["end_to_end_640x480"] for name, f in done["models"].items()}


def measure(shared: Path, scratch: Path, models: list[str], results: dict[str, Any]) -> None:
    """Measure `models`, and the frontier, and store the figures in `results`."""
    git = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, check=True, capture_output=True, text=True)
    results["commit"] = git.stdout.strip()
    frontier = {str(r): ("--targets", str(r)) for r in READINESS}
    ours = {model: fused(shared, model, "tno", scratch) for model in models}
    ours |= {name: fused(shared, zoo.DEFAULT_MODEL, "tno", scratch, *options) for name, options in frontier.items()}
    ranked = {"tno": ranks(shared, "tno", ours)}
    ranked["msrs"] = ranks(shared, "msrs", {model: fused(shared, model, "msrs_test", scratch) for model in models})
    for model in models:
        row = results["models"].setdefault(model, {})
        row |= {f"{name}_rank": table[model]["rank"] for name, table in ranked.items()} | targets(shared, model, scratch)
        row |= {"first_on_tno": ranked["tno"][model]["first"], "flicker": flicker(model), "natural": natural(shared, model, scratch)}
        row["ranks"] = {name: table[model] for name, table in ranked.items()}
        results["quality_speed"].setdefault(model, {})["tno_rank"] = row["tno_rank"]
    if zoo.DEFAULT_MODEL in models:
        results["quality_speed"]["IFCNN"]["tno_rank"] = ranked["tno"][zoo.DEFAULT_MODEL]["others"]["IFCNN"]
    classic = results["models"]["blend-classic"]
    results["frontier"] = [
        {"name": "blend-classic", "tno_rank": classic["tno_rank"]} | {k: classic[k] for k in ("kept", "worst_tenth", "below_half")}
    ]
    for name, options in frontier.items():
        kept = targets(shared, zoo.DEFAULT_MODEL, scratch, *options)
        results["frontier"].append({"name": name, "tno_rank": ranked["tno"][name]["rank"]} | kept)


def tables(results: dict[str, Any]) -> tuple[str, str]:
    """Return the tables of results.md: ranks, targets and speed, and natural appearance."""
    head = "model | rank TNO | rank MSRS | kept | worst tenth | below half | flicker fused (visible, infrared) | speed"
    lines = [f"| {head} |", "|---" * 8 + "|"]
    for model, r in results["models"].items():
        f, how = r["flicker"], r["fastest"].partition(" ")[2] or "closed form"
        shown = [f"{r[f'{name}_rank']:.2f}{between(r, name)}" for name in SETS]
        lines.append(
            f"| {model} | {shown[0]} | {shown[1]} | {r['kept']:.3f} | {r['worst_tenth']:.3f} | {r['below_half']:.1%} "
            f"| {f['fused']:.2f} ({f['visible']:.2f}, {f['infrared']:.2f}) | {r['ratio']:.1f}x ({how}) |"
        )
    first = "\n".join(lines)
    lines = ["| method | halo 3, 6, 12 (targets) | seen | halo 3, 6, 12 (MSRS) | blackened | day |", "|---" * 6 + "|"]
    for model in (m for m in results["models"] if "natural" in results["models"][m]):
        for name in ("this",) if model != zoo.DEFAULT_MODEL else ("this", "average", "laplacian"):
            still, day = (results["models"][model]["natural"][s][name] for s in ("targets", "msrs"))
            halos = [", ".join(f"{h:.3f}" for h in s["halo"]) for s in (still, day)]
            label = model if name == "this" else name
            lines.append(f"| {label} | {halos[0]} | {still['seen']:.3f} | {halos[1]} | {day['blackened']:.1%} | {day['day']:.3f} |")
    return first, "\n".join(lines)


def note(results: dict[str, Any]) -> str:
    """Return the sentences of results.md on the default's ranks and targets."""
    row, classic, most = results["models"][zoo.DEFAULT_MODEL], results["models"]["blend-classic"], results["frontier"][-1]
    said = [
        f"on {name.upper()} its mean rank is {rank['rank']:.1f} ({rank['low']:.1f} to {rank['high']:.1f}) among "
        f"{len(rank['others']) + 1}; in {100 * rank['share_first']:.0f} % of the samples no other is before it"
        for name, rank in row["ranks"].items()
    ]
    return (
        f"- {said[0][0].upper()}{said[0][1:]};\n  {said[1]}.\n  It keeps {row['kept']:.3f} of the masked targets' contrast, "
        f"{most['kept']:.3f} with `--targets {most['name']}`; `blend-classic` keeps {classic['kept']:.3f}.\n"
        f"  The rows with an interval are of commit {results['commit']}."
    )


def readme(results: dict[str, Any]) -> str:
    """Return the README's row on quality."""
    row = results["models"][zoo.DEFAULT_MODEL]
    tno = row["ranks"]["tno"]
    place = 1 + sum(rank < tno["rank"] for rank in tno["others"].values())
    return (
        f"| quality | mean rank {tno['rank']:.1f} on TNO (95 % interval {tno['low']:.1f} to {tno['high']:.1f}), place {place} of "
        f"{len(tno['others']) + 1}; {row['kept']:.2f} of warm targets' contrast kept (development figures: these pairs were evaluated "
        "between versions) |"
    )


def write(results: dict[str, Any]) -> None:
    """Replace the tables and the sentences in docs/research/results.md, and the row in README.md."""
    ranked, looks = tables(results)
    blocks = {r"\| model \| rank TNO.*?\n\n": ranked, r"\| method \| halo 3.*?\n\n": looks, r"- On TNO.*?\n(?=- )": note(results)}
    page, front = ROOT / "docs/research/results.md", ROOT / "README.md"
    text = page.read_text()
    for pattern, new in blocks.items():
        end = "\n" if pattern.startswith("-") else "\n\n"
        text, count = re.subn(pattern, lambda _, made=new + end: made, text, flags=re.DOTALL)
        assert count == 1, f"{page}: {pattern} is there {count} times"
    page.write_text(text)
    front.write_text(re.sub(r"^\| quality \|.*$", lambda _: readme(results), front.read_text(), flags=re.MULTILINE))


def between(row: dict[str, Any], name: str) -> str:
    """Format the interval of a mean rank; empty if it was not measured."""
    rank = row.get("ranks", {}).get(name)
    return f" ({rank['low']:.1f} to {rank['high']:.1f})" if rank else ""


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--shared", type=Path, default=Path("../shared"), help="folder with referee/, data/ and peers/ (default: %(default)s)")
    p.add_argument("--models", nargs="+", default=list(MODELS), help="models to measure again (default: %(default)s)")
    p.add_argument("--speed", action="store_true", help="also measure their speed again: a minute on an idle machine")
    p.add_argument("--speed-only", action="store_true", help="measure only the speed")
    p.add_argument("--tables", action="store_true", help="only write the tables from results.json")
    args = p.parse_args()
    shared, results = args.shared.resolve(), json.loads(RESULTS.read_text())
    if not args.tables:
        if not args.speed_only:
            with tempfile.TemporaryDirectory() as scratch:
                measure(shared, Path(scratch), args.models, results)
        if args.speed or args.speed_only:
            speed = speeds(shared, args.models)
            for model in args.models:
                row = results["models"][model]
                ratios = {k: f["ratio"] for k, f in speed.items() if k.split()[0] == model}
                best = max(ratios, key=lambda k: ratios[k])
                row |= {"fastest": best, "ratio": ratios[best]}
                results["quality_speed"][model]["ratio"] = ratios[best]
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    write(results)
    print("\n\n".join([*tables(results), note(results)]))


if __name__ == "__main__":
    main()
