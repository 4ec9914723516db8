"""The example notebooks run as they are, cell by cell, without a Jupyter server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "docs/examples"
pytestmark = pytest.mark.skipif(not NOTEBOOKS.is_dir(), reason="the documentation is not beside these tests")


def cells(name: str) -> list[str]:
    notebook = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text())
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def run(name: str, folder: Path, checks: str) -> list[str]:
    """Run a notebook's cells in one process, then `checks` on what they left, and return the lines that were printed."""
    (folder / "cells.py").write_text("\n\n".join([*cells(name), checks]))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))}
    command = [sys.executable, "-W", "error::DeprecationWarning:__main__", "cells.py"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


@pytest.mark.slow
def test_spectral_python(tmp_path: Path) -> None:
    pytest.importorskip("spectral", reason="needs Spectral Python")
    pytest.importorskip("rasterio", reason="needs edgefuse[geotiff]")
    checks = """
assert isinstance(mapped, np.memmap) and isinstance(array, np.memmap)
assert (mapped == cube).all() and (array == cube).all() and (band == cube[..., red]).all()
assert (spectrum == cube[80, 60]).all()
assert np.allclose(image.bands.centers, wavelengths)
assert lossless["quality"]["max_error"] == 0 < near["quality"]["max_error"] <= 5
assert ndvi.min() < 0 < ndvi.max()
assert same > 0.99
"""
    assert len(run("spectral-python", tmp_path, checks)) == 5


def test_notebooks_are_stored_without_outputs() -> None:
    for file in NOTEBOOKS.glob("*.ipynb"):
        for cell in json.loads(file.read_text())["cells"]:
            assert cell.get("outputs", []) == [], f"{file.name}: clear its outputs"
