"""xarray: an .efz file is a lazy dataset by the CF conventions, and a DataArray is compressed with what it means."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgefuse
from edgefuse.hyperspectral.array import ArraySource
from edgefuse.hyperspectral.cube import CubeInfo, Georeference
from tests.hyperspectral.cubes import mixed

pytestmark = pytest.mark.slow  # importing xarray takes seconds
xarray: Any = None

SHAPE = 30, 20, 6
UTM = Georeference((30.0, 0.0, 400_000.0, 0.0, -30.0, 5_000_000.0), "EPSG:32633")


@pytest.fixture(autouse=True, scope="module")
def _imported() -> None:
    """Import xarray for the tests, but not where none of them is run."""
    global xarray
    xarray = pytest.importorskip("xarray", reason="needs edgefuse[xarray]")


def described(cube: Any, **fields: Any) -> ArraySource:
    source = ArraySource(cube, "cube")
    source.info = source.info.like(**fields)
    return source


def counts() -> Any:
    cube = mixed(SHAPE, "int16", 1)
    cube[:4, :7] = -9999
    return cube


def full() -> dict[str, Any]:
    return {
        "wavelengths": tuple(400 + 10.0 * np.arange(6)), "fwhm": (9.5,) * 6, "band_names": tuple("abcdef"), "nodata": -9999,
        "gain": (1e-4,) * 6, "offset": (0.5,) * 6, "georeference": UTM, "metadata": {"sensor type": "made up", "data units": "1"},
    }  # fmt: skip


@pytest.fixture
def efz(tmp_path: Path) -> Path:
    edgefuse.compress(described(counts(), **full()), tmp_path / "x.efz", check=False)
    return tmp_path / "x.efz"


def test_the_dataset_is_described_by_cf(efz: Path) -> None:
    with xarray.open_dataset(efz, engine="edgefuse") as ds:
        cube = ds["cube"]
        assert cube.dims == ("wavelength", "y", "x")
        assert cube.wavelength.attrs["standard_name"] == "radiation_wavelength"
        assert (cube.wavelength.attrs["units"], cube.fwhm.attrs["units"]) == ("nm", "nm")
        assert list(cube.band_name.values) == list("abcdef")
        assert float(cube.x[0]) == 400_015
        assert float(cube.y[-1]) == 5_000_000 - 30 * 29.5
        assert ds["spatial_ref"].attrs["GeoTransform"] == "400000.0 30.0 0.0 5000000.0 0.0 -30.0"
        assert "spatial_ref" in ds.coords
        assert (cube.attrs["units"], ds.attrs["sensor type"]) == ("1", "made up")
        stored = counts().transpose(2, 0, 1)
        expected = np.where(stored == -9999, np.nan, stored * 1e-4 + 0.5)
        np.testing.assert_allclose(cube.values, expected, rtol=1e-6)
        assert cube.encoding["_FillValue"] == -9999
    with xarray.open_dataset(efz) as ds:  # the engine is guessed from the name
        assert ds["cube"].shape == (6, 30, 20)


def test_samples_as_they_are_stored(efz: Path) -> None:
    with xarray.open_dataset(efz, engine="edgefuse", mask_and_scale=False, decode_coords="all") as ds:
        assert ds["cube"].dtype == np.int16
        assert (ds["cube"].attrs["_FillValue"], ds["cube"].attrs["scale_factor"]) == (-9999, 1e-4)
        np.testing.assert_array_equal(ds["cube"].values, counts().transpose(2, 0, 1))
        part = ds["cube"][-1, 3:20:4, ::-1]
        np.testing.assert_array_equal(part.values, counts()[3:20:4, ::-1, 5])
        np.testing.assert_array_equal(ds["cube"].isel(x=[3, 1], y=[2, 2]).values, counts()[[2, 2]][:, [3, 1]].transpose(2, 0, 1))
        assert int(ds["cube"][2, 10, 11]) == counts()[10, 11, 2]


def test_only_the_tiles_of_a_window_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgefuse.hyperspectral.codec import spectral_edge

    monkeypatch.setattr(spectral_edge, "_MAX_SAMPLES", 16 * 16 * 6)
    cube = mixed((48, 48, 6), "int16", 2)
    edgefuse.compress(cube, tmp_path / "x.efz", check=False)
    read: list[int] = []
    from edgefuse.hyperspectral import efz as container

    payload_at = container.payload_at
    monkeypatch.setattr(container, "payload_at", lambda *a: read.append(a[2]) or payload_at(*a))
    with xarray.open_dataset(tmp_path / "x.efz", engine="edgefuse") as ds:
        assert ds["cube"].encoding["preferred_chunks"] == {"band": 6, "y": 16, "x": 16}
        assert not read
        np.testing.assert_array_equal(ds["cube"][:, 20:30, 2:9].values, cube[20:30, 2:9].transpose(2, 0, 1))
        assert read == [3]


def test_dask_takes_the_tiles_as_chunks_on_threads_and_by_pickle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("dask.array", reason="needs dask[array]")
    from edgefuse.hyperspectral.codec import spectral_edge

    monkeypatch.setattr(spectral_edge, "_MAX_SAMPLES", 8 * 8 * 6)
    edgefuse.compress(counts(), tmp_path / "x.efz", check=False)
    with xarray.open_dataset(tmp_path / "x.efz", engine="edgefuse", chunks={}) as ds:
        assert ds["cube"].chunks == ((6,), (8, 8, 8, 6), (10, 10))
        np.testing.assert_array_equal(ds["cube"].compute(scheduler="threads").values, counts().transpose(2, 0, 1))
        again = pickle.loads(pickle.dumps(ds))
        np.testing.assert_array_equal(again["cube"].compute(scheduler="sync").values, counts().transpose(2, 0, 1))


def test_there_and_back_it_is_the_same_cube(efz: Path, tmp_path: Path) -> None:
    with xarray.open_dataset(efz, engine="edgefuse") as ds:
        report = edgefuse.compress(ds["cube"], tmp_path / "y.efz")
    assert report["quality"]["max_error"] == 0
    first, second = edgefuse.read_efz(efz), edgefuse.read_efz(tmp_path / "y.efz")
    np.testing.assert_array_equal(first.data, second.data)
    assert second.data.dtype == np.int16
    for name in ("wavelengths", "fwhm", "band_names", "nodata", "gain", "offset"):
        assert getattr(first.info, name) == getattr(second.info, name), name
    assert second.info.georeference is not None
    assert second.info.georeference.transform == UTM.transform


def test_a_window_keeps_its_place(efz: Path) -> None:
    with xarray.open_dataset(efz, engine="edgefuse") as ds:
        part = edgefuse.read_efz(edgefuse.compress(ds["cube"][1:4, 10:, 5:15]))
    np.testing.assert_array_equal(part.data, counts()[10:, 5:15, 1:4])
    assert part.info.wavelengths == (410.0, 420.0, 430.0)
    assert part.info.georeference is not None
    assert part.info.georeference.transform == (30.0, 0.0, 400_150.0, 0.0, -30.0, 4_999_700.0)


def data_array(**coordinates: Any) -> Any:
    return xarray.DataArray(mixed((5, 12, 10), "float32", 3), dims=("band", "y", "x"), coords=coordinates)


def test_floats_as_they_are() -> None:
    array = data_array(wavelength=("band", [0.4, 0.5, 0.6, 0.7, 0.8], {"units": "um"}))
    array[1, 2, 3] = np.nan
    back = edgefuse.read_efz(edgefuse.compress(array))
    np.testing.assert_array_equal(back.data, array.values.transpose(1, 2, 0))
    np.testing.assert_allclose(back.info.wavelengths, [400, 500, 600, 700, 800])
    assert back.info.georeference is None


def test_a_computed_array_is_stored_as_it_is(efz: Path) -> None:
    with xarray.open_dataset(efz, engine="edgefuse") as ds:
        back = edgefuse.read_efz(edgefuse.compress(ds["cube"] * 2))
    assert back.data.dtype.kind == "f"
    assert back.info.nodata is None
    assert np.isnan(back.data[0, 0, 0])


def test_values_that_the_encoding_does_not_hold_are_refused(efz: Path) -> None:
    with xarray.open_dataset(efz, engine="edgefuse") as ds:
        cube = ds["cube"].load()
    cube[2, 20, 10] += 0.3e-4
    with pytest.raises(edgefuse.CubeError, match=r"does not hold; compress array\.drop_encoding"):
        edgefuse.compress(cube)
    assert edgefuse.read_efz(edgefuse.compress(cube.drop_encoding())).data.dtype.kind == "f"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a[0], "expected three, such as y, x and band"),
        (lambda a: a.rename(y="p", x="q"), "expected three, such as y, x and band"),
        (lambda a: a.to_dataset(name="cube"), r"Dataset; give one of its arrays, such as dataset\['cube'\]"),
        (lambda a: a.assign_coords(wavelength=("band", np.arange(5.0), {"units": "K"})), "the unit 'K' of wavelength is no length"),
    ],
)
def test_what_is_no_cube_is_refused_in_a_line(change: Any, message: str) -> None:
    with pytest.raises(edgefuse.CubeError, match=message):
        edgefuse.compress(change(data_array()))


def test_options_that_an_array_has_itself_are_refused() -> None:
    with pytest.raises(edgefuse.SettingsError, match="has its own coordinates"):
        edgefuse.compress(data_array(), wavelengths=[1, 2, 3, 4, 5])


def test_the_file_that_is_read_is_not_overwritten(efz: Path) -> None:
    with xarray.open_dataset(efz, engine="edgefuse") as ds, pytest.raises(edgefuse.SettingsError, match="choose another name"):
        edgefuse.compress(ds["cube"], efz)


def test_a_turned_grid_has_its_transformation(tmp_path: Path) -> None:
    turned = Georeference((10.0, 5.0, 100.0, 5.0, -10.0, 200.0), "EPSG:32633")
    edgefuse.compress(described(counts(), georeference=turned), tmp_path / "x.efz", check=False)
    with xarray.open_dataset(tmp_path / "x.efz", engine="edgefuse") as ds:
        assert not {"x", "y"} & set(ds.coords)
        whole, part = (edgefuse.read_efz(edgefuse.compress(a)) for a in (ds["cube"], ds["cube"][:, 3:]))
    assert whole.info.georeference is not None
    assert whole.info.georeference.transform == turned.transform
    assert part.info.georeference is None  # where it lies is not known any more


def test_a_gain_for_each_band_is_a_coordinate(tmp_path: Path) -> None:
    gain = tuple(np.linspace(0.1, 0.6, 6))
    edgefuse.compress(described(counts(), gain=gain), tmp_path / "x.efz", check=False)
    with xarray.open_dataset(tmp_path / "x.efz", engine="edgefuse") as ds:
        assert ds["cube"].dtype == np.int16
        np.testing.assert_array_equal(ds["gain"], gain)
        assert edgefuse.read_efz(edgefuse.compress(ds["cube"])).info.gain == gain


@pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")  # of affine, for rioxarray
def test_rioxarray_knows_the_place_and_the_fill_value(efz: Path, tmp_path: Path) -> None:
    rioxarray = pytest.importorskip("rioxarray", reason="needs rioxarray")
    with xarray.open_dataset(efz, engine="edgefuse") as ds:
        cube = ds["cube"]
        assert cube.rio.crs.to_epsg() == 32633
        assert tuple(cube.rio.transform())[:6] == UTM.transform
        assert cube.rio.encoded_nodata == -9999
        assert (cube.rio.x_dim, cube.rio.y_dim) == ("x", "y")
        cube.rio.to_raster(tmp_path / "x.tif")
    with rioxarray.open_rasterio(tmp_path / "x.tif") as raster:
        back = edgefuse.read_efz(edgefuse.compress(raster))
    np.testing.assert_array_equal(back.data, counts())
    assert back.info.nodata == -9999
    assert back.info.georeference is not None
    assert back.info.georeference.transform == UTM.transform


def test_what_is_no_efz_file_is_an_error_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "x.efz").write_bytes(b"something else")
    with pytest.raises(edgefuse.CubeError, match=r"x\.efz: this is not an \.efz file"):
        xarray.open_dataset(tmp_path / "x.efz", engine="edgefuse")
    with pytest.raises(edgefuse.CubeError, match=r"opens \.efz files by their paths"):
        xarray.open_dataset(b"EFZ", engine="edgefuse")


def test_importing_edgefuse_does_not_import_xarray_or_zarr() -> None:
    code = "import sys, edgefuse, edgefuse.hyperspectral.api; print(*sorted({'xarray', 'pandas', 'zarr', 'numcodecs'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == ""


def test_metadata_of_a_cube_without_any() -> None:
    from edgefuse.hyperspectral.cf import described as by_cf

    found = by_cf(CubeInfo((2, 3, 4), np.dtype(np.uint8)))
    assert (found.dims, list(found.coordinates), found.attributes) == (("band", "y", "x"), ["band"], {})
