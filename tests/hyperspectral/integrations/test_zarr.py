"""Zarr: stores of formats 2 and 3 whose chunks are .efz files, with Dask's threads, processes and cluster."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgefuse.errors import SettingsError
from tests.hyperspectral.cubes import mixed

try:
    OLD = version("zarr").startswith("2.")
except PackageNotFoundError:
    OLD = False
pytestmark = pytest.mark.slow  # importing zarr takes seconds
FORMAT_3 = pytest.mark.skipif(OLD, reason="zarr 2 has no format 3")
numcodecs: Any = None
zarr: Any = None


@pytest.fixture(autouse=True, scope="module")
def _imported() -> None:
    """Import zarr for the tests, but not where none of them is run."""
    global numcodecs, zarr
    numcodecs = pytest.importorskip("numcodecs", reason="needs edgefuse[zarr]")
    zarr = pytest.importorskip("zarr", reason="needs edgefuse[zarr]")


def cube(dtype: str = "int16", seed: int = 1) -> Any:
    return mixed((16, 12, 5), dtype, seed)


def test_numcodecs_finds_it_by_its_name() -> None:
    codec = numcodecs.get_codec({"id": "edgefuse", "max_error": 1, "bands_axis": 0})
    assert codec.get_config() == {"id": "edgefuse", "max_error": 1, "bands_axis": 0}
    assert numcodecs.get_codec(codec.get_config()) == codec
    out = np.empty(cube().shape, np.int16)
    codec.decode(codec.encode(cube()), out)
    assert np.abs(out.astype(int) - cube()).max() <= 1


def opened(folder: Path, chunks: tuple[int, ...], **options: Any) -> Any:
    """Make an array of format 2."""
    form = {"zarr_version": 2} if OLD else {"zarr_format": 2}
    codec = numcodecs.get_codec({"id": "edgefuse"})
    return zarr.open(str(folder), mode="w", shape=(16, 12, 5), chunks=chunks, dtype="i2", compressor=codec, **options, **form)


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_store_of_format_2(order: str, tmp_path: Path) -> None:
    array = opened(tmp_path / "s", (8, 12, 5), order=order)
    array[...] = cube()
    np.testing.assert_array_equal(zarr.open(str(tmp_path / "s"), mode="r")[...], cube())
    np.testing.assert_array_equal(zarr.open(str(tmp_path / "s"), mode="r")[3:11, 2, ::2], cube()[3:11, 2, ::2])
    assert (tmp_path / "s/0.0.0").read_bytes().startswith(b"EFZ\x1a")


@FORMAT_3
@pytest.mark.parametrize("dtype", ["int16", ">u2", "float32"])
def test_a_store_of_format_3(dtype: str, tmp_path: Path) -> None:
    from edgefuse.hyperspectral.integrations.zarr_codec import SpectralEdgeCodec

    samples = cube("uint16" if dtype == ">u2" else dtype).astype(dtype)
    options = {"serializer": SpectralEdgeCodec(), "compressors": None, "zarr_format": 3}
    array = zarr.create_array(str(tmp_path / "s"), shape=samples.shape, chunks=(8, 8, 5), dtype=dtype, **options)
    array[...] = samples
    again = zarr.open_array(str(tmp_path / "s"), mode="r")
    np.testing.assert_array_equal(again[...], samples)
    assert again.metadata.codecs == (SpectralEdgeCodec(),)
    assert (tmp_path / "s/c/0/0/0").read_bytes().startswith(b"EFZ\x1a")


@FORMAT_3
def test_an_array_that_can_t_be_coded_is_refused_when_it_is_made(tmp_path: Path) -> None:
    from edgefuse.hyperspectral.integrations.zarr_codec import SpectralEdgeCodec

    with pytest.raises(SettingsError, match="can't be coded by edgefuse"):
        zarr.create_array(
            str(tmp_path / "s"), shape=(4, 4, 4), chunks=(4, 4, 4), dtype="complex64", serializer=SpectralEdgeCodec(), compressors=None
        )


def stored(folder: Path, scheduler: Any) -> Any:
    """Write a cube with Dask into a store, and return it as Dask reads it again."""
    import dask.array as da

    array = opened(folder, (4, 6, 5))
    da.store(da.from_array(cube(), chunks=(4, 6, 5)), array, lock=False, scheduler=scheduler)
    return da.from_zarr(str(folder)).compute(scheduler=scheduler)


def test_dask_writes_and_reads_it_on_threads(tmp_path: Path) -> None:
    pytest.importorskip("dask.array", reason="needs dask[array]")
    np.testing.assert_array_equal(stored(tmp_path / "s", "threads"), cube())


def test_dask_writes_and_reads_it_in_processes(tmp_path: Path) -> None:
    pytest.importorskip("dask.array", reason="needs dask[array]")
    np.testing.assert_array_equal(stored(tmp_path / "s", "processes"), cube())


@FORMAT_3
def test_a_cluster_s_workers_write_a_dataset_of_xarray(tmp_path: Path) -> None:
    xarray = pytest.importorskip("xarray", reason="needs edgefuse[xarray]")
    distributed = pytest.importorskip("distributed", reason="needs edgefuse[dask]")
    from edgefuse.hyperspectral.integrations.zarr_codec import SpectralEdgeCodec

    array = xarray.DataArray(cube().transpose(2, 0, 1), dims=("band", "y", "x"), name="cube").chunk(band=5, y=8, x=6)
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster, timeout=60),
    ):
        codecs = {"serializer": SpectralEdgeCodec(bands_axis=0), "compressors": ()}
        array.to_dataset().to_zarr(tmp_path / "s", mode="w", zarr_format=3, consolidated=False, encoding={"cube": codecs})
        with xarray.open_zarr(tmp_path / "s", consolidated=False) as ds:
            np.testing.assert_array_equal(ds["cube"].values, array.values)
    assert (tmp_path / "s/cube/c/0/0/0").read_bytes().startswith(b"EFZ\x1a")
