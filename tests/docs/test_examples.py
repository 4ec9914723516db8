"""The examples in the README and the tutorials work as printed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.docs.examples import Example, examples
from tests.hyperspectral.cubes import scene

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
TUTORIALS = ("first-picture", "first-archive", "first-sharpened-cube")

pytestmark = pytest.mark.skipif(not (ROOT / "mkdocs.yml").exists(), reason="the documentation is not beside these tests")


def run(example: Example, folder: Path) -> str:
    """Run a block as a reader would and return its output."""
    program = folder / ".bin"
    program.mkdir(exist_ok=True)
    edgefuse = program / "edgefuse"
    edgefuse.write_text(f'#!/bin/sh\nexec {sys.executable} -m edgefuse "$@"\n')
    edgefuse.chmod(0o755)
    command = [sys.executable, "-c", example.code] if example.language == "python" else ["bash", "-euc", example.code]
    path = os.pathsep.join((str(program), os.environ["PATH"]))
    environment = {**os.environ, "PATH": path, "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"{example.code}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", TUTORIALS)
def test_a_tutorial_from_its_first_line_to_its_last(name: str, tmp_path: Path) -> None:
    steps = examples(ROOT / f"docs/tutorials/{name}.md", "sh", "python")
    assert len(steps) >= 3
    for step in steps:
        run(step, tmp_path)


def test_the_readme_s_python(tmp_path: Path, pairs_folder: Path) -> None:
    np.save(tmp_path / "scene.npy", scene((80, 80, 12)))
    one, stream, cubes = examples(README, "python")
    run(one, tmp_path)
    run(cubes, tmp_path)
    run(stream, tmp_path)
    assert len(list((tmp_path / "fused").glob("*.png"))) == 4


def test_the_readme_s_loop_survives_bad_frames(tmp_path: Path, pairs_folder: Path) -> None:
    stream = next(e for e in examples(README, "python") if "source.read()" in e.code)
    cut = pairs_folder / "visible/1.png"
    cut.write_bytes(cut.read_bytes()[:300])
    (pairs_folder / "infrared/2.png").unlink()
    shutil.copy(pairs_folder / "infrared/0.png", pairs_folder / "infrared/9.png")
    said = run(stream, tmp_path)
    assert {p.stem for p in (tmp_path / "fused").glob("*.png")} == {"0", "3"}
    assert "visible/1.png" in said
    assert len(said.splitlines()) == 3


def test_the_readme_is_read_in_a_minute() -> None:
    text = README.read_text()
    assert len(text.split()) < 800
    for wanted in ("pip install edgefuse", "./scripts/demo", "./scripts/test"):
        assert wanted in text
    shell = next(e.code for e in examples(README, "sh") if "edgefuse run" in e.code)
    assert len(shell.splitlines()) == 5
