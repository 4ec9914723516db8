"""`edgefuse eval` with unusable input: one line, the exit code, and what is still measured."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.conftest import Run, one_line


def test_two_sets_of_pairs_are_refused(run: Run, tmp_path: Path) -> None:
    for folder in ("train/vi", "train/ir", "test/vi", "test/ir"):
        (tmp_path / folder).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / folder / "1N.png"), np.full((64, 64), 9, np.uint8))
    done = run("eval", "--source", "folder:.", "--reference", "average")
    assert done.returncode == 2
    assert one_line(done.stderr).endswith("choose one: 'folder:.?visible=train/vi&infrared=train/ir'")
    done = run("eval", "--source", "folder:.?visible=test/vi&infrared=test/ir", "--reference", "average", "--fused", "test/vi=V")
    assert done.returncode == 0, done.stderr


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
    # frames 0 and 3 are not consecutive
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


def test_the_picture_without_matplotlib(run: Run, tmp_path: Path) -> None:
    (tmp_path / "hidden" / "matplotlib").mkdir(parents=True)
    (tmp_path / "hidden" / "matplotlib" / "__init__.py").write_text("raise ImportError('hidden')")
    done = run("eval", "--source", "demo?frames=1", "--picture", "ranks.png", python_path=tmp_path / "hidden")
    assert done.returncode == 2
    assert one_line(done.stderr).endswith("needs matplotlib, which is not installed; run: pip install 'edgefuse[plots]'")
