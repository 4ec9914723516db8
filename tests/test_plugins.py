"""Another package's source, sink, runtime and model through entry points: CONTRIBUTING.md's example, installed as pip does."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from edgefuse import zoo
from tests.conftest import Run, one_line

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder as pip would install it: the modules of CONTRIBUTING.md, a model folder, and a dist-info with entry points."""
    text = (ROOT / "CONTRIBUTING.md").read_text() if (ROOT / "CONTRIBUTING.md").is_file() else ""
    if not text:
        pytest.skip("CONTRIBUTING.md is not beside these tests; they run in a checkout")
    site = tmp_path / "site"
    module = re.search(r"```python\n# myfuse\.py\n(.*?)```", text, re.DOTALL)
    points = re.search(r"```toml\n(\[project\.entry-points.*?)```", text, re.DOTALL)
    assert module
    assert points
    site.mkdir()
    (site / "myfuse.py").write_text(module[1])
    shutil.copytree(zoo.find("mobilefuse").folder, site / "models" / "mine")
    card = site / "models" / "mine" / "card.toml"
    mine = card.read_text().replace('name = "mobilefuse"', 'name = "mine"', 1).replace('runtime = "numpy"', 'runtime = "constant"')
    card.write_text(mine)
    info = site / "myfuse-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: myfuse\nVersion: 1.0\n")
    entry_points = re.sub(r'\[project\.entry-points\."(.*?)"\]', r"[\1]", points[1]).replace('"', "")
    (info / "entry_points.txt").write_text(entry_points)
    return site


def test_source_sink_runtime_and_model_of_another_package(run: Run, site: Path, tmp_path: Path) -> None:
    done = run(
        "run", "--source", "ramp?frames=3", "--model", "mine", "--runtime", "constant", "--precision", "fp32",
        "--sink", "means:means.txt", "--json", python_path=site,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert data["frames"] == {"in": 3, "fused": 3, "dropped": 0}
    assert data["model"]["runtime"] == "constant"
    assert data["model"]["name"] == "mine"
    assert (tmp_path / "means.txt").read_text().splitlines() == ["ramp_0 128.0", "ramp_1 128.0", "ramp_2 128.0"]
    assert "mine" in {row["name"] for row in json.loads(run("models", "--json", python_path=site).stdout)}


def test_codec_of_another_package(run: Run, site: Path, tmp_path: Path) -> None:
    cube = np.random.default_rng(0).integers(0, 1000, (70, 40, 5)).astype(np.uint16)
    np.save(tmp_path / "cube.npy", cube)
    done = run("compress", "cube.npy", "cube.efz", "--model", "store", python_path=site)
    assert done.returncode == 0, done.stderr
    done = run("decompress", "cube.efz", "again.npy", python_path=site)
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "again.npy"), cube)
    without = run("decompress", "cube.efz", "other.npy")
    assert "its codec 'store' is unknown" in one_line(without.stderr)


def test_broken_plugin_says_whose_it_is(run: Run, site: Path) -> None:
    (site / "myfuse.py").write_text("raise RuntimeError('no such camera')\n")
    done = run("run", "--source", "ramp", python_path=site)
    assert done.returncode == 2
    line = one_line(done.stderr)
    assert "package myfuse" in line
    assert "no such camera" in line
