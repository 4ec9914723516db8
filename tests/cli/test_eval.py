"""`edgefuse eval` from the command line: real processes and files; figures, table and picture."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgefuse.metrics import fusion
from edgefuse.metrics.flicker import Flicker
from edgefuse.metrics.natural import Natural
from edgefuse.metrics.references import REFERENCES
from edgefuse.metrics.targets import Targets, summary
from tests.conftest import Run
from tests.support.waiting import SECONDS, shown


def test_models_pictures_and_references_side_by_side(
    run: Run, pairs_folder: Path, fused_folder: Path, masks_folder: Path, tmp_path: Path
) -> None:
    done = run(
        "eval", "--source", f"folder:{pairs_folder}", "--model", "mobilefuse", "mobilefuse-blending-only", "--fused", "out=1=Mine",
        "--reference", "average", "laplacian", "--metrics", "all", "--masks", "masks", "--flicker", "--json", "--report", "report.json",
        "--threads", 1,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    data = json.loads(done.stdout)
    assert json.loads((tmp_path / "report.json").read_text()) == data
    assert data["pairs"] == {"in": 4, "measured": 4, "lost": 0}
    rows = {row["name"]: row for row in data["methods"]}
    assert {name: row["kind"] for name, row in rows.items()} == {
        "mobilefuse": "model", "mobilefuse-blending-only": "model", "Mine": "fused", "average": "reference", "laplacian": "reference",
    }  # fmt: skip
    assert [row["mean_rank"] for row in data["methods"]] == sorted(row["mean_rank"] for row in data["methods"])
    # the folder holds the average, so both rows have the same figures and share their ranks
    assert rows["Mine"]["metrics"] == rows["average"]["metrics"]
    assert rows["Mine"]["mean_rank"] == rows["average"]["mean_rank"]
    assert list(rows["Mine"]["metrics"]) == list(fusion.METRICS) == list(data["metrics"])
    assert data["metrics"]["rmse"] == {"unit": "levels", "better": "lower", "ranked": True}
    assert rows["mobilefuse"]["model"]["threads"] == 1
    assert "model" not in rows["Mine"]

    printed, kept = [], []
    for k in range(4):
        visible, infrared = (
            cv2.imread(str(pairs_folder / "visible" / f"{k}.png")),
            cv2.imread(str(pairs_folder / "infrared" / f"{k}.png"), 0),
        )
        mask = cv2.imread(str(masks_folder / f"{k}.png"), 0)
        picture = REFERENCES["laplacian"](visible, infrared)
        printed.append(fusion.vifb(visible, infrared, picture) | fusion.textbook(visible, infrared, picture))
        kept += Targets(visible, infrared, mask).kept(picture)
    expected = {name: np.mean([values[name] for values in printed]) for name in printed[0]}
    assert rows["laplacian"]["metrics"] == pytest.approx(expected)
    assert rows["laplacian"]["targets_kept"]["mean"] == pytest.approx(summary(kept).mean)
    assert rows["laplacian"]["targets_kept"]["targets"] == 4
    flicker = rows["average"]["flicker"]
    assert 0 < flicker["fused"] <= 4.5
    assert flicker["threshold"] == 4
    assert flicker["unit"] == "levels"


def test_the_table_says_units_and_directions(run: Run, pairs_folder: Path, masks_folder: Path) -> None:
    done = run("eval", "--source", f"folder:{pairs_folder}", "--reference", "maximum", "average", "--masks", "masks", "--flicker", 9)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("model  mobilefuse-edge fp32 on ")
    assert lines[1].startswith("4 pairs of folder:")
    at = lines.index("VIFB's metrics (vifb_*)")
    assert lines[at + 1].split() == ["rank", "ag", "ce", "ei", "en", "mi", "psnr", "qabf", "qcb", "qcv", "rmse", "sf", "ssim", "sd"]
    assert lines[at + 2].split()[:5] == ["mean", "levels", "bits", "levels", "bits"]
    assert lines[at + 3].split() == ["low" if name in ("rank", "ce", "qcv", "rmse") else "high" for name in lines[at + 1].split()]
    assert {line.split()[0] for line in lines[at + 4 : at + 7]} == {"mobilefuse-edge", "maximum", "average"}
    assert any("contrast kept of 4 targets" in line for line in lines)
    assert any("of pixels that are still" in line for line in lines)


def test_ranks_come_with_an_interval_over_the_pairs(run: Run, pairs_folder: Path, fused_folder: Path) -> None:
    args = ("eval", "--source", f"folder:{pairs_folder}", "--fused", "out=1=Mine", "--reference", "average", "laplacian", "maximum")
    data = json.loads(run(*args, "--json").stdout)
    assert data["bootstrap"] == {"samples": 1000, "level": 0.95, "seed": 0}
    rows = {row["name"]: row for row in data["methods"]}
    values = {name: [] for name in rows}
    for k in range(4):
        pair = [cv2.imread(str(pairs_folder / d / f"{k}.png"), flag) for d, flag in (("visible", 1), ("infrared", 0))]
        for name in values:
            values[name].append(list(fusion.vifb(*pair, REFERENCES[name.replace("Mine", "average")](*pair)).values()))
    expected = fusion.intervals({name: np.array(of) for name, of in values.items()}, fusion.names("vifb"))
    for name, row in rows.items():
        interval = row["mean_rank_interval"]
        assert (interval["low"], interval["high"], interval["first"]) == (expected[name].low, expected[name].high, expected[name].first)
    assert rows["Mine"]["mean_rank_interval"] == rows["average"]["mean_rank_interval"]
    lines = run(*args, "--bootstrap", 50).stdout.splitlines()
    at = lines.index("mean rank with its 95% confidence interval over the pairs (50 bootstrap samples)")
    assert lines[at + 1].split() == ["rank", "from", "to", "first"]
    assert len(lines[at + 4].split()) == 5
    off = run(*args, "--bootstrap", 0, "--json")
    assert "bootstrap" not in json.loads(off.stdout)
    assert "mean_rank_interval" not in off.stdout
    assert "confidence" not in run(*args, "--frames", 1).stdout


def test_halo_blackened_day_and_step(run: Run, pairs_folder: Path, masks_folder: Path) -> None:
    args = ("eval", "--source", f"folder:{pairs_folder}", "--reference", "laplacian", "average", "--masks", "masks", "--flicker")
    data = json.loads(run(*args, "--day", "[12]", "--json").stdout)
    assert data["day_pairs"] == 2
    assert data["layout"] == "plain (visible with infrared)"
    row = next(row for row in data["methods"] if row["name"] == "laplacian")
    halo, day, seen, step = [], [], [], Flicker()
    for k in range(4):
        visible, infrared = (cv2.imread(str(pairs_folder / d / f"{k}.png"), f) for d, f in (("visible", 1), ("infrared", 0)))
        fused, natural = REFERENCES["laplacian"](visible, infrared), Natural(visible, infrared)
        halo.append(natural.halo(fused))
        seen += Targets(visible, infrared, cv2.imread(str(masks_folder / f"{k}.png"), 0)).seen(fused)
        step.add(visible, infrared, fused)
        if k in (1, 2):
            day.append((natural.blackened(fused), natural.day(fused)))
    assert list(row["natural"]["halo"]) == ["3", "6", "12"]
    assert list(row["natural"]["halo"].values()) == pytest.approx(list(np.mean(halo, axis=0)))
    assert (row["natural"]["blackened"], row["natural"]["day"]) == pytest.approx(tuple(np.mean(day, axis=0)))
    assert row["targets_seen"]["mean"] == pytest.approx(np.mean(seen))
    assert row["flicker"]["step"] == step.figures.step
    text = run(*args).stdout
    for words in ("halo 12", "blackened", "of the 4 pairs by day", "seen worst tenth", "step"):
        assert words in text
    dark = run(*args, "--day", "night*")
    assert "natural picture (no part of the rank)" in dark.stdout.splitlines()
    assert not any("blackened" in line.split() for line in dark.stdout.splitlines())


def test_only_pictures_of_others_need_no_model(run: Run, pairs_folder: Path, fused_folder: Path) -> None:
    done = run("eval", "--source", f"folder:{pairs_folder}", "--fused", "out=1=Mine", "--frames", 2, "--json")
    data = json.loads(done.stdout)
    assert data["pairs"]["measured"] == 2
    assert [row["name"] for row in data["methods"]] == ["Mine"]
    assert data["methods"][0]["mean_rank"] == 1


def test_sixteen_bits_grey_and_a_colour_picture_of_another_method(run: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    visible = rng.integers(0, 65536, (50, 61), np.uint16)
    infrared = rng.integers(29000, 30000, (50, 61)).astype(np.uint16)
    for folder, data in (
        ("visible", visible),
        ("infrared", infrared),
        ("fused", np.repeat(visible[..., None] >> 8, 3, 2).astype(np.uint8)),
    ):
        (tmp_path / folder).mkdir()
        cv2.imwrite(str(tmp_path / folder / "a.png"), data)
    done = run("eval", "--source", "folder:.", "--fused", "fused=V", "--reference", "average", "--metrics", "textbook", "--json")
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row["metrics"] for row in json.loads(done.stdout)["methods"]}
    assert rows["V"]["vif"] > 0.9
    assert rows["average"]["psnr"] > rows["V"]["psnr"]


def test_equal_pictures_have_an_infinite_psnr_in_valid_json(run: Run, tmp_path: Path) -> None:
    for folder in ("visible", "infrared"):
        (tmp_path / folder).mkdir()
        cv2.imwrite(str(tmp_path / folder / "a.png"), np.full((50, 50), 9, np.uint8))
    args = ("eval", "--source", "folder:.", "--fused", "visible=Same", "--metrics", "all")
    assert json.loads(run(*args, "--json").stdout)["methods"][0]["metrics"]["psnr"] == "inf"
    assert "inf" in run(*args).stdout


def test_the_picture(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs matplotlib, for the picture of the table")
    args = ("--source", "demo?frames=2&size=64x64", "--reference", "average", "maximum", "--picture", "ranks.png")
    done = run("eval", *args)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    picture = cv2.imread(str(tmp_path / "ranks.png"))
    assert picture.shape[1] > 1000
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 50
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ranks.png"]


def test_ctrl_c_is_one_line_and_a_real_terminal_sees_the_bar(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "edgefuse", "eval", "--source", "demo?frames=0&size=64x64", "--report", "report.json"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    assert "s a pair" in shown(ours, "evaluating 3")
    process.send_signal(signal.SIGINT)
    assert process.wait(SECONDS) == 130
    assert shown(ours, "interrupted\r\n").endswith("\r\x1b[Kedgefuse: interrupted\r\n")
    os.close(ours)
    assert list(tmp_path.iterdir()) == []
