"""Zarr stores of formats 2 and 3 as xarray and zarr write them, read as cubes."""

from __future__ import annotations

import json
import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgefuse.cli.main import main
from edgefuse.errors import CubeError, MissingDependencyError
from edgefuse.hyperspectral import crs
from edgefuse.hyperspectral.api import read_efz
from edgefuse.hyperspectral.formats import open_cube, zarr_nodes
from tests.hyperspectral.cubes import samples

try:
    OLD = version("zarr").startswith("2.")
except PackageNotFoundError:
    OLD = False
FORMATS = [2] if OLD else [2, 3]
SHAPE = (7, 6, 5)  # rows, columns, bands
NANOMETRES = (400.0, 500.0, 600.0, 700.0, 800.0)
# a store of format 2, written by hand: what zarr 2 writes without a compressor
ARRAY = {
    "zarr_format": 2,
    "shape": [7, 6, 5],
    "chunks": [7, 6, 5],
    "dtype": "<i2",
    "order": "C",
    "fill_value": 0,
    "filters": None,
    "compressor": None,
}


def by_hand(folder: Path, **changes: Any) -> Path:
    folder.mkdir()
    (folder / ".zarray").write_text(json.dumps(ARRAY | changes))
    (folder / "0.0.0").write_bytes(samples(SHAPE, np.int16).tobytes())
    return folder


def by_xarray(folder: Path, form: int, dtype: str = "float32") -> Any:
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("zarr")
    cube = samples(SHAPE, dtype)
    coordinates = {
        "wavelength": ("wavelength", np.array(NANOMETRES) / 1000, {"units": "micrometers"}), "fwhm": ("wavelength", np.full(5, 0.01)),
        "y": 4e6 - 10.0 * np.arange(7), "x": 5e5 + 10.0 * np.arange(6), "band_name": ("wavelength", np.array(list("abcde"))),
    }  # fmt: skip
    array = xarray.DataArray(cube.transpose(2, 0, 1), dims=("wavelength", "y", "x"), coords=coordinates, attrs={"units": "1"})
    dataset = array.to_dataset(name="reflectance").assign_attrs(title="a scene")
    dataset["spatial_ref"] = ((), 0, {"crs_wkt": crs.wkt("EPSG:32633"), "GeoTransform": "499995 10 0 4000005 0 -10"})
    dataset["view_angle"] = (("y", "x"), np.zeros((7, 6)))
    dataset = dataset.set_coords("spatial_ref")
    dataset.reflectance.encoding = {"_FillValue": -9999, "grid_mapping": "spatial_ref", "chunks": (2, 4, 6)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset.to_zarr(folder, consolidated=True, **({"zarr_version": 2} if OLD else {"zarr_format": form}))
    return cube


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("dtype", ["float32", "int16"])
def test_a_store_of_xarray_comes_back_with_its_meaning(tmp_path: Path, form: int, dtype: str) -> None:
    cube = by_xarray(tmp_path / "s.zarr", form, dtype)
    with open_cube(tmp_path / "s.zarr") as source:
        assert (source.form, source.dtype) == (f"Zarr {form}", np.dtype(dtype))
        np.testing.assert_array_equal(source[:], cube)
        np.testing.assert_array_equal(source[2:7, 1, ::2], cube[2:7, 1, ::2])
        info = source.info
        assert source.unkept == ("other arrays: view_angle",)
    assert info.wavelengths == pytest.approx(NANOMETRES)
    assert info.fwhm == pytest.approx((10.0,) * 5)
    assert (info.band_names, info.nodata) == (tuple("abcde"), -9999)
    assert info.metadata == {"title": "a scene", "units": "1"}
    assert info.georeference is not None
    assert info.georeference.transform == (10.0, 0.0, 499995.0, 0.0, -10.0, 4000005.0)
    assert crs.same(info.georeference.crs, "EPSG:32633") or not crs.parsed("EPSG:32633")


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMATS)
def test_compress_and_info_take_a_store(tmp_path: Path, form: int, capsys: pytest.CaptureFixture[str]) -> None:
    cube = by_xarray(tmp_path / "s.zarr", form)
    assert main(["compress", str(tmp_path / "s.zarr"), str(tmp_path / "s.efz")]) == 0
    found = read_efz(tmp_path / "s.efz")
    np.testing.assert_array_equal(found.data, cube)
    assert found.info.wavelengths == pytest.approx(NANOMETRES)
    capsys.readouterr()
    assert main(["info", str(tmp_path / "s.zarr"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["format"] == f"Zarr {form}"


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["zlib", "gzip", "bz2", "lz4", "zstd", "blosc"])
def test_chunks_of_each_packing_are_read_and_bombs_are_refused(tmp_path: Path, codec: str) -> None:
    numcodecs = pytest.importorskip("numcodecs")
    pytest.importorskip("zarr")
    made = numcodecs.get_codec({"id": codec})
    folder = by_hand(tmp_path / "s", compressor=made.get_config())
    (folder / "0.0.0").write_bytes(made.encode(samples(SHAPE, np.int16)))
    with open_cube(folder) as source:
        np.testing.assert_array_equal(source[:], samples(SHAPE, np.int16))
    (folder / "0.0.0").write_bytes(made.encode(np.zeros(1 << 20, np.int16)))
    with open_cube(folder) as source, pytest.raises(CubeError, match="unpacks to more than its size"):
        source[0, 0, 0]


@pytest.mark.slow
def test_arrays_without_names(tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    with open_cube(by_hand(tmp_path / "s")) as source:
        np.testing.assert_array_equal(source[:], samples(SHAPE, np.int16))
        assert source.info.nodata is None  # Zarr's default of the fill value says nothing
    with open_cube(by_hand(tmp_path / "t", fill_value=-1), axes=(2, 0, 1)) as source:
        np.testing.assert_array_equal(source[:], samples(SHAPE, np.int16).transpose(1, 2, 0))
        assert source.info.nodata == -1
    (tmp_path / "t/0.0.0").write_bytes(b"short")
    with open_cube(tmp_path / "t") as source, pytest.raises(CubeError, match="may be incomplete"):
        source[:]


@pytest.mark.slow
def test_windows_along_the_same_rows_unpack_them_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("zarr")
    with open_cube(by_hand(tmp_path / "s")) as source:
        reads: list[Any] = []
        samples_of = source._samples  # type: ignore[attr-defined]
        monkeypatch.setattr(source, "_samples", lambda window: reads.append(window) or samples_of(window))
        for rows in (slice(0, 4), slice(4, 7)):
            for column in range(6):
                np.testing.assert_array_equal(source[rows, column : column + 1], samples(SHAPE, np.int16)[rows, column : column + 1])
        assert len(reads) == 4  # the first window of the rows, then all of them


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"filters": [{"id": "pickle"}]}, "codec 'pickle', which is not read"),
        ({"compressor": {"id": "lzma"}}, "codec 'lzma', which is not read"),
        ({"chunks": [1 << 20, 1 << 12, 5]}, "too large to read in windows"),
        ({"chunks": [7, 6]}, "too large to read in windows"),
        ({"shape": [7, 6, -5]}, "metadata can't be read"),
        ({"shape": [7, 6]}, "arrays with three axes: none"),
        ({"dtype": "|O", "filters": [{"id": "vlen-utf8"}]}, "arrays with three axes: none"),
    ],
)
def test_hostile_metadata_is_refused(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    pytest.importorskip("zarr")
    with pytest.raises(CubeError, match=says):
        open_cube(by_hand(tmp_path / "s", **changes))


def test_a_store_is_told_by_its_metadata_file(tmp_path: Path) -> None:
    folder = by_hand(tmp_path / "no-suffix")
    assert zarr_nodes.is_store(folder)
    (node,) = zarr_nodes.nodes(folder)
    assert (node.name, node.shape, node.form, node.key) == ("", (7, 6, 5), 2, ("", "."))
    (folder / ".zarray").rename(folder / "another")
    assert not zarr_nodes.is_store(folder)


def test_nodes_of_format_3_with_shards(tmp_path: Path) -> None:
    inner = [{"name": "bytes"}, {"name": "numcodecs.pickle"}]
    shard = {"name": "sharding_indexed", "configuration": {"chunk_shape": [1, 6, 5], "codecs": inner, "index_codecs": [{"name": "crc32c"}]}}
    array = {
        "zarr_format": 3, "node_type": "array", "shape": [7, 6, 5], "data_type": "int16", "codecs": [shard], "fill_value": 0,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [7, 6, 5]}}, "dimension_names": ["y", None, "band"],
    }  # fmt: skip
    (tmp_path / "group").mkdir()
    (tmp_path / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group"}')
    (tmp_path / "group/zarr.json").write_text(json.dumps(array))
    (node,) = zarr_nodes.nodes(tmp_path)
    assert (node.name, node.chunks, node.dims) == ("group", (1, 6, 5), ("y", "", "band"))
    assert node.codecs == ("sharding_indexed", "bytes", "pickle", "crc32c")
    with pytest.raises(CubeError, match="pickle"):
        zarr_nodes.CheckedChunks(tmp_path, node)


def test_a_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "zarr", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'edgefuse\[zarr\]'"):
        open_cube(by_hand(tmp_path / "s"))
