"""Reflectance by the dark and white references of a camera's capture folder, in the layouts of Specim and Headwall (made here)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import edgefuse
from edgefuse.cli.main import main
from edgefuse.errors import CubeError
from edgefuse.hyperspectral.cube import CubeInfo
from edgefuse.hyperspectral.formats import create_cube
from tests.hyperspectral.cubes import scene

SHAPE = (20, 16, 8)
REFLECTANCE = scene(SHAPE) / 20000.0
DARK = np.random.default_rng(1).uniform(90, 110, SHAPE[1:])
WHITE = np.random.default_rng(2).uniform(2000, 3000, SHAPE[1:])  # signal of a white panel at 1 ms


def envi(path: Path, samples: np.ndarray, tint: float | None = None) -> None:
    metadata = {} if tint is None else {"tint": f"{tint:g}"}
    with create_cube(path, CubeInfo(samples.shape, np.dtype(np.uint16), metadata=metadata), "envi") as sink:
        sink[:] = np.rint(samples)


def frames(mean: np.ndarray, count: int = 40) -> np.ndarray:
    return np.random.default_rng(3).normal(0, 3, (count, *mean.shape)) + mean


def specim(folder: Path, white_ms: float = 1.0, own_ms: float = 10.0) -> Path:
    folder.mkdir()
    envi(folder / "leaf.raw", REFLECTANCE * WHITE * own_ms + DARK, own_ms)
    envi(folder / "DARKREF_leaf.raw", frames(DARK), own_ms)
    envi(folder / "WHITEREF_leaf.raw", frames(WHITE * white_ms + 2 * DARK), white_ms)
    envi(folder / "WHITEDARKREF_leaf.raw", frames(2 * DARK), white_ms)
    return folder / "leaf.raw"


def test_specim_with_two_integration_times(tmp_path: Path) -> None:
    path = specim(tmp_path / "capture")
    with edgefuse.open_cube(path, references=True) as cube:
        assert cube.dtype == np.float32
        assert np.abs(cube[:] - REFLECTANCE).max() < 0.003
        assert np.array_equal(cube[3:9, 2:7, 1:4], cube[:][3:9, 2:7, 1:4])
        assert len(cube.files) == 5
    with edgefuse.open_cube(path) as cube:
        assert cube.dtype == np.uint16
    assert main(["compress", str(path), str(tmp_path / "a.efz"), "--references", "--max-error", "0.0001", "--window", "2:8,:"]) == 0
    assert np.abs(edgefuse.read_efz(tmp_path / "a.efz").data - REFLECTANCE[2:8]).max() < 0.0031


def test_headwall_without_times(tmp_path: Path) -> None:
    envi(tmp_path / "raw_0", REFLECTANCE * WHITE * 10 + DARK)
    envi(tmp_path / "darkReference", frames(DARK))
    envi(tmp_path / "whiteReference", frames(WHITE * 10 + DARK))
    with edgefuse.open_cube(tmp_path / "raw_0", references=True) as cube:
        assert np.abs(cube[:] - REFLECTANCE).max() < 0.003


def test_references_that_do_not_fit(tmp_path: Path) -> None:
    path = specim(tmp_path / "a")
    envi(path.with_name("DARKREF_leaf.raw"), frames(DARK)[:, :9])
    with pytest.raises(CubeError, match="has 9 columns and 8 bands"):
        edgefuse.open_cube(path, references=True)
    path.with_name("DARKREF_leaf.raw").unlink()
    with pytest.raises(CubeError, match="has no dark reference beside it"):
        edgefuse.open_cube(path, references=True)
    path = specim(tmp_path / "b")
    envi(path.with_name("WHITEREF_leaf.raw"), frames(DARK * 0.5))
    with pytest.raises(CubeError, match="is nowhere brighter"):
        edgefuse.open_cube(path, references=True)
