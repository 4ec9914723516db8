"""EMIT's geometry lookup table: cubes on the map's grid, in the layout of EMIT's L1B and L2A granules (made here)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import edgefuse
from edgefuse.cli.main import main
from edgefuse.errors import CubeError
from tests.hyperspectral.formats.test_netcdf import SHAPE, cube, emit

h5py = pytest.importorskip("h5py")

TRANSFORM = (-120.5, 0.000542, 0.0, 35.25, 0.0, -0.000542)  # GDAL's order


def granule(path: Path, grid: tuple[int, int] = (9, 12), seed: int = 0) -> np.ndarray:
    """Write a granule; return the orthorectified cube that it must give, computed pixel by pixel."""
    emit(path)
    rng = np.random.default_rng(seed)
    glt_x, glt_y = rng.integers(0, SHAPE[1] + 1, grid), rng.integers(0, SHAPE[0] + 1, grid)
    glt_x[glt_y == 0] = 0
    glt_y[glt_x == 0] = 0
    with h5py.File(path, "a") as f:
        del f["location/glt_x"]
        for name, table in (("glt_x", glt_x), ("glt_y", glt_y)):
            f.create_dataset(f"location/{name}", data=table.astype("i4"), chunks=(4, 5), compression="gzip")
        f["location/lon"] = np.zeros(SHAPE[:2])
        f.attrs["geotransform"], f.attrs["spatial_ref"] = np.array(TRANSFORM), "EPSG:4326"
    expected = np.full((*grid, SHAPE[2]), -9999, "f4")
    for row, column in np.ndindex(grid):
        if glt_x[row, column]:
            expected[row, column] = cube()[glt_y[row, column] - 1, glt_x[row, column] - 1]
    return expected


def test_a_granule_on_its_map(tmp_path: Path) -> None:
    expected = granule(tmp_path / "EMIT.nc")
    assert (expected == -9999).any()
    with edgefuse.open_cube(tmp_path / "EMIT.nc", orthorectify=True) as source:
        assert source.form == "netCDF, orthorectified"
        assert np.array_equal(source[:], expected)
        assert np.array_equal(source[3:7, 2:11, 1:4], expected[3:7, 2:11, 1:4])
        assert source.info.nodata == -9999
        assert source.info.georeference is not None
        assert source.info.georeference.crs == "EPSG:4326"
        assert source.info.georeference.transform == (0.000542, 0.0, -120.5, 0.0, -0.000542, 35.25)
        assert source.unkept == ("other datasets: location/lon",)
    with edgefuse.open_cube(tmp_path / "EMIT.nc") as source:
        assert source.shape == SHAPE
        assert "location/glt_x, location/glt_y" in source.unkept[0]


def test_it_is_compressed_on_its_map(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected = granule(tmp_path / "EMIT.nc")
    part = ["--orthorectify", "--window", "2:8,:10", "--bands", "1:3"]
    assert main(["compress", str(tmp_path / "EMIT.nc"), str(tmp_path / "a.efz"), *part]) == 0
    assert main(["info", str(tmp_path / "EMIT.nc"), "--orthorectify"]) == 0
    assert "9 rows x 12 columns" in capsys.readouterr().out
    back = edgefuse.read_efz(tmp_path / "a.efz")
    assert np.array_equal(back.data, expected[2:8, :10, 1:3])
    assert back.info.georeference is not None
    assert back.info.georeference.transform[5] == pytest.approx(35.25 - 2 * 0.000542)


def test_rows_are_read_in_strips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = granule(tmp_path / "EMIT.nc", (20, 20), 1)
    monkeypatch.setattr("edgefuse.hyperspectral.formats.orthorectified._STRIP_BYTES", 1)
    with edgefuse.open_cube(tmp_path / "EMIT.nc", orthorectify=True) as source:
        assert np.array_equal(source[:], expected)


def test_tables_that_are_none(tmp_path: Path) -> None:
    granule(tmp_path / "EMIT.nc")
    with h5py.File(tmp_path / "EMIT.nc", "a") as f:
        f["location/glt_y"][3, 3] = f["location/glt_x"][3, 3] = SHAPE[0] + SHAPE[1]
    with (
        edgefuse.open_cube(tmp_path / "EMIT.nc", orthorectify=True) as source,
        pytest.raises(CubeError, match="leads out of its"),
    ):
        source[:]
    with h5py.File(tmp_path / "EMIT.nc", "a") as f:
        del f["location/glt_y"]
        f["location/glt_y"] = h5py.ExternalLink("other.h5", "glt_y")
    with pytest.raises(CubeError, match="has no table"):
        edgefuse.open_cube(tmp_path / "EMIT.nc", orthorectify=True)
    np.save(tmp_path / "a.npy", cube())
    with pytest.raises(CubeError, match="has no table"):
        edgefuse.open_cube(tmp_path / "a.npy", orthorectify=True)
