"""`edgefuse eval --people`: a detector on the fused pictures, with a fake `node`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.conftest import Run, one_line
from tests.support.people import fake_packages, write_script


@pytest.fixture
def boxes_folder(pairs_folder: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "boxes"
    folder.mkdir()
    for k in range(3):
        (folder / f"{k}.txt").write_text("0 0.25 0.5 0.25 1.0\n2 0.75 0.75 0.5 0.5\n7 0.5 0.5 1 1\n")
    return folder


@pytest.fixture
def pretended_detector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a `node` script that reports the same person and half of a car for every picture of 512 x 512 x 3 bytes."""
    seen = "[[64, 0, 192, 512, 0.9, 0], [256, 256, 300, 300, 0.8, 2]]"
    node = fake_packages(tmp_path / ".data", tmp_path / ".bin", monkeypatch)
    write_script(node, f'while [ "$(head -c 786432 | wc -c)" = 786432 ]; do echo "{seen}"; done')


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
