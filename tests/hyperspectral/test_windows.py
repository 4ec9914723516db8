"""Windows of an .efz file: right samples and metadata, from the tiles that they touch alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import edgefuse
from edgefuse.cli.main import main
from edgefuse.errors import CubeError
from edgefuse.hyperspectral import efz
from edgefuse.hyperspectral.codec import spectral_edge
from edgefuse.hyperspectral.codec.base import Target
from edgefuse.hyperspectral.efz_source import EfzSource
from edgefuse.hyperspectral.formats import open_cube
from tests.hyperspectral.cubes import UTM, described, scene

SHAPE = (50, 60, 6)


def small_tiles(path: Path, **target: float) -> Path:
    info = described(SHAPE)
    about = {k: v for k, v in info.as_json().items() if k not in ("shape", "dtype")}
    with path.open("wb") as stream:
        spectral_edge.encode_to(stream, scene(SHAPE), Target(**(target or {"max_error": 0})), about=about, side=16)  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize("target", [{"max_error": 0}, {"psnr": 45.0}])
def test_a_window_is_the_part_of_the_whole(tmp_path: Path, target: dict[str, float]) -> None:
    path = small_tiles(tmp_path / "a.efz", **target)
    whole = edgefuse.decompress(path)
    with edgefuse.open_cube(path) as source:
        assert source.shape == SHAPE
        for key in (np.s_[3:9, 40:47, 1:3], np.s_[10:40, 10:40], np.s_[49, 59], np.s_[::7, ::9, 2], np.s_[5:5], np.s_[...]):
            assert np.array_equal(source[key], whole[key])


def test_only_the_tiles_of_a_window_are_read(tmp_path: Path) -> None:
    path = small_tiles(tmp_path / "a.efz")
    with EfzSource(path) as source:
        source[20:28, 20:28]
        one = source.bytes_read
        source[21:25, 21:25]
        assert source.bytes_read == one
        source[:]
        assert one < source.bytes_read / 6


def test_a_damaged_tile_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    path = small_tiles(tmp_path / "a.efz")
    data = bytearray(path.read_bytes())
    with path.open("rb") as stream:
        offsets = efz.offsets(stream)
    assert offsets
    data[offsets[1] + 40] ^= 1
    path.write_bytes(data)
    with open_cube(path) as source:
        assert np.array_equal(source[:8, :8], scene(SHAPE)[:8, :8])
        with pytest.raises(CubeError, match="tile 1 is damaged"):
            source[:8]
    path.write_bytes(data[:-3])
    with pytest.raises(CubeError, match="index is damaged"):
        open_cube(path)


def test_decompress_a_window(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = small_tiles(tmp_path / "a.efz")
    assert main(["decompress", str(path), str(tmp_path / "b.npy"), "--window", "10:30,20:45", "--bands", "2:5"]) == 0
    with open_cube(tmp_path / "b.npy") as source:
        assert np.array_equal(source[:], scene(SHAPE)[10:30, 20:45, 2:5])
        info = source.info
    assert info.wavelengths == described(SHAPE).wavelengths[2:5]  # type: ignore[index]
    assert info.georeference is not None
    assert info.georeference.transform == (30.0, 0.0, UTM.transform[2] + 600, 0.0, -30.0, UTM.transform[5] - 300)
    for wrong in (["--window", "10:30"], ["--window", "30:10,0:5"], ["--bands", "9:"], ["--bands", "x"]):
        assert main(["decompress", str(path), str(tmp_path / "c.npy"), *wrong]) == 2
        assert not (tmp_path / "c.npy").exists()
    assert "the window is empty" in capsys.readouterr().err
