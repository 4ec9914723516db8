"""Cloud-optimised GeoTIFF, ground control points and RPC, as rasterio reads and writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgefuse.cli.main import main
from edgefuse.errors import OutputError
from edgefuse.hyperspectral import ground_control
from edgefuse.hyperspectral.compress import compress_file, decompress_file, decompress_window
from edgefuse.hyperspectral.cube import CubeInfo
from edgefuse.hyperspectral.formats import create_cube, geotiff_cog, open_cube
from edgefuse.hyperspectral.quality import Quality
from tests.hyperspectral.cubes import described, samples

rasterio = pytest.importorskip("rasterio")
pytestmark = pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
SHAPE = (300, 280, 3)


def rpc() -> Any:
    terms = [[1.0 + n, *(k / 1024 for k in range(1, 20))] for n in range(4)]
    return rasterio.rpc.RPC(
        height_off=500.0, height_scale=500.0, lat_off=48.125, lat_scale=0.25, line_den_coeff=terms[0], line_num_coeff=terms[1],
        line_off=150.5, line_scale=150.0, long_off=11.5, long_scale=0.25, samp_den_coeff=terms[2], samp_num_coeff=terms[3],
        samp_off=140.25, samp_scale=140.0,
    )  # fmt: skip


def compressed(folder: Path, info: CubeInfo) -> Path:
    with create_cube(folder / "a.npy", info) as sink:
        sink[:] = samples(info.shape, info.dtype)
    compress_file(folder / "a.npy", folder / "a.efz", Quality())
    return folder / "a.efz"


def test_decompress_writes_a_cloud_optimised_geotiff(tmp_path: Path) -> None:
    info = described(SHAPE, np.int16).like(nodata=-9999)
    path = compressed(tmp_path, info)
    assert main(["decompress", str(path), str(tmp_path / "a.tif"), "--format", "cog"]) == 0
    with rasterio.open(tmp_path / "a.tif") as file:
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert (file.profile["compress"], file.profile["tiled"], file.block_shapes[0]) == ("deflate", True, (256, 256))
        assert file.overviews(1)
        assert np.array_equal(file.read().transpose(1, 2, 0), samples(SHAPE, np.int16))
        assert (file.nodata, file.crs.to_epsg()) == (-9999, 32633)
    with open_cube(tmp_path / "a.tif") as source:
        assert source.info.like(metadata={}) == info.like(metadata={})
        assert source.info.metadata.items() >= info.metadata.items()
        assert source.unkept == ()
    assert {p.name for p in tmp_path.iterdir()} == {"a.npy", "a.npy.json", "a.efz", "a.tif"}


def test_a_copy_that_differs_does_not_appear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(geotiff_cog, "_STRIP_BYTES", 1)
    original = geotiff_cog.CogSink._opened

    def other(self: Any, path: Path) -> Any:
        return original(self, self.part) if path == self.part else rasterio.open(tmp_path / "other.tif")

    with rasterio.open(tmp_path / "other.tif", "w", driver="GTiff", height=20, width=10, count=2, dtype="uint16") as file:
        file.write(np.ones((2, 20, 10), np.uint16))
    monkeypatch.setattr(geotiff_cog.CogSink, "_opened", other)
    with (
        pytest.raises(OutputError, match="does not read back"),
        create_cube(tmp_path / "a.tif", CubeInfo((20, 10, 2), np.dtype("u2")), "cog") as sink,
    ):
        sink[:] = 7
    assert [p.name for p in tmp_path.iterdir()] == ["other.tif"]


@pytest.mark.parametrize("form", ["tiff", "cog"])
def test_rpc_and_points_survive_efz_and_tiff(tmp_path: Path, form: str) -> None:
    points = [rasterio.control.GroundControlPoint(r, c, 11 + c / 1000, 48 - r / 1000, 12.5) for r, c in ((0, 0), (0.5, 5), (6, 0), (6, 5))]
    made = {"driver": "GTiff", "height": 6, "width": 5, "count": 3, "dtype": "int16"}
    with rasterio.open(tmp_path / "a.tif", "w", **made) as file:
        file.write(samples((3, 6, 5), np.int16))
        file.gcps = points, rasterio.crs.CRS.from_epsg(4258)
        file.rpcs = rpc()
    with open_cube(tmp_path / "a.tif") as source:
        assert source.unkept == ()
    compress_file(tmp_path / "a.tif", tmp_path / "a.efz", Quality())
    decompress_file(tmp_path / "a.efz", tmp_path / "b.tif", form)
    with rasterio.open(tmp_path / "b.tif") as file:
        found, system = file.gcps
        assert [(p.row, p.col, p.x, p.y, p.z) for p in found] == [(p.row, p.col, p.x, p.y, p.z) for p in points]
        assert system.to_epsg() == 4258
        assert file.rpcs.to_gdal() | {"ERR_BIAS": "", "ERR_RAND": ""} == rpc().to_gdal() | {"ERR_BIAS": "", "ERR_RAND": ""}
    # ENVI has a field for RPC, which GDAL reads
    decompress_file(tmp_path / "a.efz", tmp_path / "b.img")
    with rasterio.open(tmp_path / "b.img") as file:
        assert file.rpcs.line_off == 150.5
        assert file.rpcs.samp_num_coeff == rpc().samp_num_coeff
    with open_cube(tmp_path / "b.img") as source, create_cube(tmp_path / "c.tif", source.info) as sink:
        sink[:] = source[:]
    with rasterio.open(tmp_path / "c.tif") as file:
        assert len(file.gcps[0]) == 4
        assert file.rpcs.long_off == 11.5
    # the window's pixels are counted from its corner
    decompress_window(tmp_path / "a.efz", tmp_path / "d.tif", None, (slice(2, 6), slice(1, 5)))
    with rasterio.open(tmp_path / "d.tif") as file:
        assert (file.rpcs.line_off, file.rpcs.samp_off) == (148.5, 139.25)
        assert (file.gcps[0][1].row, file.gcps[0][1].col) == (-1.5, 4)


@pytest.mark.parametrize("text", ["", "1, 2, 3", ", ".join(["x"] * 93), ", ".join(["nan"] * 90)])
def test_other_texts_are_no_coefficients(text: str) -> None:
    assert ground_control.rpc_tags(text) is None


@pytest.mark.parametrize("text", ["", "EPSG:4326", "EPSG:4326; 1 2 3", "EPSG:4326; 1 2 3 4 inf", "no; 1 2 x 4 5"])
def test_other_texts_are_no_points(text: str) -> None:
    assert ground_control.points(text) is None
