"""`edgefuse compress --window --bands --wavelengths`: a part of a cube, with its metadata."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import edgefuse
from edgefuse.cli.main import main
from edgefuse.hyperspectral.formats import create_cube
from tests.hyperspectral.cubes import described, scene

SHAPE = (30, 24, 6)


def test_a_part_with_its_metadata(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with create_cube(tmp_path / "a.npy", described(SHAPE)) as sink:
        sink[:] = scene(SHAPE)
    (tmp_path / "nm.txt").write_text("# nanometres\n400.5, 410; 420\n430 440 450\n")
    part = [str(tmp_path / "a.npy"), str(tmp_path / "a.efz"), "--window", "10:25,:8", "--bands", "2:5"]
    assert main(["compress", *part, "--wavelengths", str(tmp_path / "nm.txt")]) == 0
    back = edgefuse.read_efz(tmp_path / "a.efz")
    assert np.array_equal(back.data, scene(SHAPE)[10:25, :8, 2:5])
    assert back.info.wavelengths == (420.0, 430.0, 440.0)
    assert back.info.band_names == ("band 2", "band 3", "band 4")
    assert back.info.georeference is not None
    assert back.info.georeference.transform[5] == described(SHAPE).georeference.transform[5] - 300  # type: ignore[union-attr]
    (tmp_path / "bad.txt").write_text("400 nm")
    (tmp_path / "few.txt").write_text("400 500")
    for wrong, words in (
        ("bad.txt", "no list of wavelengths"),
        ("few.txt", "has 2 wavelengths, and the cube 6 bands"),
        ("none.txt", "cannot read"),
    ):
        assert main(["compress", str(tmp_path / "a.npy"), str(tmp_path / "b.efz"), "--wavelengths", str(tmp_path / wrong)]) == 2
        assert words in capsys.readouterr().err
    assert main(["compress", str(tmp_path / "a.npy"), str(tmp_path / "b.efz"), "--bands", "7:9"]) == 2
    assert "the window is empty" in capsys.readouterr().err
    assert not (tmp_path / "b.efz").exists()
