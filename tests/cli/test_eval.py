"""`edgefuse eval` as people use it: real subprocesses, real files."""

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
from edgefuse.metrics.people import detector
from edgefuse.metrics.references import REFERENCES, average
from edgefuse.metrics.targets import Targets, summary
from tests.conftest import Run, one_line
from tests.support.waiting import SECONDS, shown


@pytest.fixture
def fused_folder(pairs_folder: Path, tmp_path: Path) -> Path:
    """Averages of the pairs, made elsewhere: 0.png to 2.png in colour, 3.bmp."""
    folder = tmp_path / "out=1"
    folder.mkdir()
    for path in (pairs_folder / "visible").iterdir():
        pair = [cv2.imread(str(pairs_folder / d / path.name), flag) for d, flag in (("visible", 1), ("infrared", 0))]
        cv2.imwrite(str(folder / path.with_suffix(".bmp" if path.stem == "3" else ".png").name), average(*pair))
    return folder


@pytest.fixture
def masks_folder(pairs_folder: Path, tmp_path: Path) -> Path:
    """A target of 12 x 9 pixels in each pair."""
    folder = tmp_path / "masks"
    folder.mkdir()
    mask = np.zeros((80, 96), np.uint8)
    mask[40:52, 30:39] = 255
    for path in (pairs_folder / "visible").iterdir():
        cv2.imwrite(str(folder / path.name), mask)
    return folder


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
    # what was made elsewhere is the average: the same figures, and the places shared
    assert rows["Mine"]["metrics"] == rows["average"]["metrics"]
    assert rows["Mine"]["mean_rank"] == rows["average"]["mean_rank"]
    assert list(rows["Mine"]["metrics"]) == list(fusion.METRICS) == list(data["metrics"])
    assert data["metrics"]["rmse"] == {"unit": "levels", "better": "lower", "ranked": True}
    assert rows["mobilefuse"]["model"]["threads"] == 1
    assert "model" not in rows["Mine"]

    found, kept = [], []
    for k in range(4):
        visible, infrared = (
            cv2.imread(str(pairs_folder / "visible" / f"{k}.png")),
            cv2.imread(str(pairs_folder / "infrared" / f"{k}.png"), 0),
        )
        mask = cv2.imread(str(masks_folder / f"{k}.png"), 0)
        picture = REFERENCES["laplacian"](visible, infrared)
        found.append(fusion.vifb(visible, infrared, picture) | fusion.textbook(visible, infrared, picture))
        kept += Targets(visible, infrared, mask).kept(picture)
    expected = {name: np.mean([values[name] for values in found]) for name in found[0]}
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


@pytest.fixture
def boxes_folder(pairs_folder: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "boxes"
    folder.mkdir()
    for k in range(3):
        (folder / f"{k}.txt").write_text("0 0.25 0.5 0.25 1.0\n2 0.75 0.75 0.5 0.5\n7 0.5 0.5 1 1\n")
    return folder


@pytest.fixture
def pretended_detector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `node` that sees the same person, half of a car, in every picture of 512 x 512 x 3 bytes."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / ".data"))
    for name in detector._NEEDED:
        path = detector.home() / "node_modules" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    node = tmp_path / ".bin" / "node"
    node.parent.mkdir()
    seen = "[[64, 0, 192, 512, 0.9, 0], [256, 256, 300, 300, 0.8, 2]]"
    node.write_text(f'#!/bin/sh\nwhile [ "$(head -c 786432 | wc -c)" = 786432 ]; do echo "{seen}"; done\n')
    node.chmod(0o755)
    monkeypatch.setenv("PATH", f"{node.parent}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.usefixtures("boxes_folder", "pretended_detector")
def test_people(run: Run, pairs_folder: Path) -> None:
    args = (
        "eval",
        "--source",
        f"folder:{pairs_folder}",
        "--reference",
        "average",
        "--fused",
        f"{pairs_folder}/visible=V",
        "--people",
        "boxes",
    )
    done = run(*args)
    assert done.returncode == 0, done.stderr
    assert "average precision of a detector at an overlap of 0.5: 3 people and 3 cars in 3 of 4 pairs (no part of the rank)" in done.stdout
    data = json.loads(run(*args, "--json").stdout)
    assert data["people"] == {"pairs": 3, "boxes": {"person": 3, "car": 3}, "overlap": 0.5}
    assert data["methods"][0]["people"] == {"person": 1.0, "car": 0.0}
    other = json.loads(run(*args, "--json", "--people-classes", "car=2").stdout)
    assert other["methods"][1]["people"] == {"car": 0.0}
    none = run(*args, "--people-classes", "person=5")
    assert none.returncode == 3
    assert "boxes has no box of a person or car for these pairs (3 of 4 pairs have a file there" in one_line(none.stderr)


@pytest.mark.usefixtures("boxes_folder")
def test_people_without_the_detector_says_how_to_install_it(
    run: Run, pairs_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".bin").mkdir()
    (tmp_path / ".bin" / "node").write_text("#!/bin/sh\n")
    (tmp_path / ".bin" / "node").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / '.bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    done = run("eval", "--source", f"folder:{pairs_folder}", "--reference", "average", "--people", "boxes")
    assert done.returncode == 2
    assert f"is not installed; run: npm install --prefix {tmp_path}/data/edgefuse/people" in one_line(done.stderr)
    assert not (tmp_path / "data").exists()


def test_two_sets_of_pairs_are_refused(run: Run, tmp_path: Path) -> None:
    for folder in ("train/vi", "train/ir", "test/vi", "test/ir"):
        (tmp_path / folder).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / folder / "1N.png"), np.full((64, 64), 9, np.uint8))
    done = run("eval", "--source", "folder:.", "--reference", "average")
    assert done.returncode == 2
    assert one_line(done.stderr).endswith("choose one: 'folder:.?visible=train/vi&infrared=train/ir'")
    done = run("eval", "--source", "folder:.?visible=test/vi&infrared=test/ir", "--reference", "average", "--fused", "test/vi=V")
    assert done.returncode == 0, done.stderr


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


def test_the_picture_without_matplotlib(run: Run, tmp_path: Path) -> None:
    (tmp_path / "hidden" / "matplotlib").mkdir(parents=True)
    (tmp_path / "hidden" / "matplotlib" / "__init__.py").write_text("raise ImportError('hidden')")
    done = run("eval", "--source", "demo?frames=1", "--picture", "ranks.png", python_path=tmp_path / "hidden")
    assert done.returncode == 2
    assert one_line(done.stderr).endswith("needs matplotlib, which is not installed; run: pip install 'edgefuse[plots]'")


def test_lost_pairs_are_counted_and_said(run: Run, pairs_folder: Path, tmp_path: Path) -> None:
    (pairs_folder / "infrared" / "1.png").write_bytes(b"")
    cv2.imwrite(str(pairs_folder / "infrared" / "2.png"), np.zeros((10, 12), np.uint8))
    done = run("eval", "--source", f"folder:{pairs_folder}", "--reference", "average", "--report", "report.json", "--flicker")
    assert done.returncode == 2
    line = one_line(done.stderr)
    assert line.startswith("edgefuse: 2 of 4 pairs of folder:")
    assert line.endswith("1.png is empty (and 1 more; --report lists them)")
    assert "average" in done.stdout
    data = json.loads((tmp_path / "report.json").read_text())
    assert data["pairs"] == {"in": 4, "measured": 2, "lost": 2}
    assert [lost["cause"] for lost in data["lost_pairs"]] == ["unreadable", "size"]
    # 0 and 3 do not follow each other
    assert data["methods"][0]["flicker"]["fused"] is None


def test_nothing_left_to_measure(run: Run, pairs_folder: Path) -> None:
    for k in range(4):
        (pairs_folder / "infrared" / f"{k}.png").write_bytes(b"")
    done = run("eval", "--source", f"folder:{pairs_folder}", "--reference", "average")
    assert done.returncode == 2
    assert "could be measured: " in one_line(done.stderr)
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--source", "folder:nowhere"], "nowhere: no such folder"),
        (["--source", ""], "--source = '': expected a non-empty string"),
        ([], "--source"),
        (["--source", "webcam:0"], "unknown source 'webcam'"),
        (["--source", "demo?size=64x64", "--model", "gpt"], "unknown model 'gpt'; choose from blend-classic, mobilefuse"),
        (["--source", "demo?size=64x64", "--model", ""], "expected a non-empty string"),
        (["--source", "demo?size=64x64", "--runtime", "cuda"], "unknown runtime 'cuda'"),
        (["--source", "demo?size=64x64", "--threads", "0"], "--threads = 0: expected a whole number from 1"),
        (["--source", "demo?size=64x64", "--frames", "0"], "--frames = 0: expected a whole number from 1"),
        (["--source", "demo?size=64x64", "--metrics", "lpips"], "invalid choice: 'lpips'"),
        (["--source", "demo?size=64x64", "--reference", "median"], "invalid choice: 'median'"),
        (["--source", "demo?size=64x64", "--flicker", "300"], "flicker threshold 300: expected 0 to 254"),
        (["--source", "demo?size=64x64", "--fused", "pictures"], "--fused pictures: expected DIR=NAME"),
        (["--source", "demo?size=64x64", "--fused", "=x"], "expected DIR=NAME"),
        (["--source", "demo?size=64x64", "--fused", "pictures="], "expected DIR=NAME"),
        (["--source", "demo?size=64x64", "--fused", "none=x"], "none: no such folder"),
        (["--source", "demo?size=64x64", "--fused", "pictures=x", "pictures=x"], "two methods are called 'x'"),
        (["--source", "demo?size=64x64", "--fused", "pictures=average", "--reference", "average"], "two methods are called 'average'"),
        (["--source", "demo?size=64x64", "--model", "mobilefuse", "--model", "mobilefuse"], "two methods are called 'mobilefuse'"),
        (
            ["--source", "demo?size=64x64", "--fused", "pictures=x"],
            "pictures has no file for pair demo_00000; add demo_00000.png to x's pictures",
        ),
        (["--source", "demo?size=64x64", "--masks", "none"], "cannot list none"),
        (["--source", "demo?size=64x64", "--masks", "pictures", "--frames", "1"], "add demo_00000.png to the masks, or leave these out"),
        (["--source", "demo?size=64x64", "--bootstrap", "-1"], "--bootstrap = -1: expected a whole number from 0 to 100000"),
        (["--source", "demo", "--people", "none"], "cannot list none: No such file or directory; give the folder with boxes"),
        (["--source", "demo", "--people", "pictures"], "pictures has no .txt file; give the folder with boxes, PAIR.txt in YOLO's form"),
        (["--source", "demo", "--people-classes", "dog=1"], "--people-classes dog=1: expected the boxes' numbers for person and car"),
        (["--source", "demo", "--picture", "a.svg"], "--picture a.svg: expected a name ending in .png"),
        (["--source", "demo?size=64x64", "--report", ""], "expected a file's name"),
        (["--source", "demo?size=64x64", "--report", "pictures"], "a folder is there, not a file"),
        (["--source", "demo?size=64x64", "--fused", "pictures=x", "--report", "pictures/r.json"], "reads from; choose another place"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(run: Run, tmp_path: Path, args: list[str], words: str) -> None:
    (tmp_path / "pictures").mkdir()
    done = run("eval", *args)
    assert done.returncode == 2
    assert words in one_line(done.stderr)
    assert done.stdout == ""


def test_unfit_pictures_are_named(run: Run, pairs_folder: Path, fused_folder: Path) -> None:
    def said() -> str:
        done = run("eval", "--source", f"folder:{pairs_folder}", "--fused", "out=1=Mine")
        assert done.returncode == 2
        return one_line(done.stderr)

    cv2.imwrite(str(fused_folder / "2.jpg"), np.zeros((80, 96), np.uint8))
    assert "has 2 files for pair 2 (2.jpg, 2.png); keep one" in said()
    (fused_folder / "2.jpg").unlink()
    cv2.imwrite(str(fused_folder / "1.png"), np.zeros((80, 95), np.uint8))
    assert "1.png is 95x80 uint8; pair 1 needs 96x80 uint8" in said()
    cv2.imwrite(str(fused_folder / "1.png"), np.zeros((80, 96), np.uint16))
    assert "1.png is 96x80 uint16; pair 1 needs 96x80 uint8" in said()
    (fused_folder / "1.png").write_bytes((fused_folder / "0.png").read_bytes()[:-9])
    assert "1.png is truncated; repair or replace it" in said()
    (fused_folder / "0.png").unlink()
    assert "has no file for pair 0; add 0.png to Mine's pictures" in said()


def test_pairs_too_small_for_a_metric(run: Run, tmp_path: Path) -> None:
    for folder in ("visible", "infrared"):
        (tmp_path / folder).mkdir()
        cv2.imwrite(str(tmp_path / folder / "a.png"), np.zeros((20, 20), np.uint8))
    done = run("eval", "--source", "folder:.", "--metrics", "textbook", "--fused", "visible=V")
    assert done.returncode == 2
    assert "a: the pictures are 20x20; metrics need 41x41" in one_line(done.stderr)


def test_figures_that_can_t_be_trusted_end_with_3(run: Run, pairs_folder: Path, masks_folder: Path) -> None:
    done = run("eval", "--source", f"folder:{pairs_folder}", "--reference", "average", "--flicker", "--frames", 1)
    assert done.returncode == 3
    assert "no pixel is still within 4 levels from one pair to the next" in one_line(done.stderr)
    assert "average" in done.stdout
    for path in masks_folder.iterdir():
        cv2.imwrite(str(path), np.zeros((80, 96), np.uint8))
    done = run("eval", "--source", f"folder:{pairs_folder}", "--reference", "average", "--masks", "masks")
    assert done.returncode == 3
    assert "has a target of 30 pixels or more" in one_line(done.stderr)


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
