"""netCDF and HDF5 in the layouts of EMIT, PACE OCI, AVIRIS-3, NEON, xarray and PRISMA, and netCDF written for other programs."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgefuse.errors import CubeError, SettingsError
from edgefuse.hyperspectral import crs
from edgefuse.hyperspectral.compress import compress_file, decompress_file
from edgefuse.hyperspectral.cube import CubeInfo, Georeference
from edgefuse.hyperspectral.formats import create_cube, open_cube
from edgefuse.hyperspectral.quality import Quality
from tests.hyperspectral.cubes import described, samples

h5py = pytest.importorskip("h5py")
SHAPE = (7, 6, 5)  # rows, columns, bands
NANOMETRES = (400.0, 500.0, 600.0, 700.0, 800.0)


def cube(dtype: Any = np.float32) -> NDArray[Any]:
    return samples(SHAPE, dtype)


def with_dimensions(file: Any, dataset: Any, names: tuple[str, str, str], values: dict[str, NDArray[Any]] | None = None) -> None:
    """Attach dimension scales as netCDF-4 does: coordinate variables, or dimensions without values."""
    for axis, name in enumerate(names):
        if name not in file:
            known = (values or {}).get(name)
            file[name] = np.zeros(dataset.shape[axis], ">f4") if known is None else known
            file[name].make_scale(
                name if known is not None else f"This is a netCDF dimension but not a netCDF variable{dataset.shape[axis]:10d}"
            )
        dataset.dims[axis].attach_scale(file[name])


def emit(path: Path, name: str = "reflectance") -> None:
    """An L1B or L2A granule of EMIT: dimensions at the root, wavelengths in a group, a table for orthorectification in another."""
    with h5py.File(path, "w") as f:
        f[name] = cube()
        with_dimensions(f, f[name], ("downtrack", "crosstrack", "bands"))
        f[name].attrs["_FillValue"], f[name].attrs["units"] = np.array([-9999.0], "f4"), "unitless"
        f["sensor_band_parameters/wavelengths"] = np.array(NANOMETRES, "f4")
        f["sensor_band_parameters/wavelengths"].attrs["units"] = "nm"
        f["sensor_band_parameters/fwhm"] = np.full(5, 8.5, "f4")
        f["sensor_band_parameters/good_wavelengths"] = np.array([1, 1, 0, 1, 1], "f4")
        f["location/glt_x"] = np.zeros((9, 9), "i4")
        f.attrs["_NCProperties"], f.attrs["title"] = "version=2,netcdf=4.7.4,hdf5=1.12.0", "EMIT L2A"
        f.attrs["geotransform"] = np.arange(6.0)


@pytest.mark.parametrize("name", ["reflectance", "radiance"])
def test_emit(tmp_path: Path, name: str) -> None:
    emit(tmp_path / "EMIT.nc", name)
    with open_cube(tmp_path / "EMIT.nc") as source:
        info = source.info
        assert source.form == "netCDF"
        assert np.array_equal(source[:], cube())
        assert source.unkept == ("other datasets: location/glt_x", "attributes: of the file: geotransform")
    assert (info.shape, info.nodata, info.wavelengths, info.fwhm) == (SHAPE, -9999, NANOMETRES, (8.5,) * 5)
    assert info.metadata == {"title": "EMIT L2A", "units": "unitless", "bbl": "1, 1, 0, 1, 1"}
    assert info.georeference is None


def test_pace_oci_has_three_cubes_and_one_is_named(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "PACE_OCI.L1B.nc", "w") as f:
        for n, part in enumerate(("blue", "red", "SWIR")):
            data = f.create_dataset(f"observation_data/rhot_{part}", data=cube().transpose(2, 0, 1) + n)
            with_dimensions(f, data, (f"{part}_bands", "scans", "SWIR_pixels" if part == "SWIR" else "pixels"))
            data.attrs["_FillValue"] = np.float32(-32767)
            f[f"sensor_band_parameters/{part}_wavelength"] = np.array(NANOMETRES, "f4") + 1000 * n
            f[f"sensor_band_parameters/{part}_wavelength"].attrs["units"] = "nm"
            f[f"sensor_band_parameters/{part}_wavelength"].dims[0].attach_scale(f[f"{part}_bands"])
    with pytest.raises(CubeError, match=r"observation_data/rhot_SWIR.*--dataset"):
        open_cube(tmp_path / "PACE_OCI.L1B.nc")
    for n, part in enumerate(("blue", "red", "SWIR")):
        with open_cube(tmp_path / "PACE_OCI.L1B.nc", f"observation_data/rhot_{part}") as source:
            assert source.shape == SHAPE
            assert np.array_equal(source[:], cube() + n)
            assert source.info.wavelengths == tuple(v + 1000 * n for v in NANOMETRES)
            assert source.info.nodata == -32767


def test_aviris_3_is_bands_first_on_a_grid(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "AV3.nc", "w") as f:
        values = {"wavelength": np.array(NANOMETRES), "northing": 4e6 - 10.0 * np.arange(7), "easting": 5e5 + 10.0 * np.arange(6)}
        data = f.create_dataset("reflectance/reflectance", data=cube().transpose(2, 0, 1), chunks=(2, 7, 6), compression="gzip")
        with_dimensions(f["reflectance"], data, ("wavelength", "northing", "easting"), values)
        f["reflectance/wavelength"].attrs["units"] = "nm"
        f["reflectance/fwhm"] = np.full(5, 7.5)
        data.attrs["_FillValue"], data.attrs["grid_mapping"] = np.float32(-9999), "transverse_mercator"
        f["transverse_mercator"] = np.array(b"")
        f["transverse_mercator"].attrs["spatial_ref"] = 'PROJCS["WGS 84 / UTM zone 11N"]'
    with open_cube(tmp_path / "AV3.nc") as source:
        info = source.info
        assert np.array_equal(source[:], cube())
        assert np.array_equal(source[2:5, 1, 3:], cube()[2:5, 1, 3:])
        assert source.unkept == ()
    assert (info.shape, info.wavelengths, info.fwhm, info.nodata) == (SHAPE, NANOMETRES, (7.5,) * 5, -9999)
    assert info.georeference == Georeference((10.0, 0.0, 499995.0, 0.0, -10.0, 4000005.0), 'PROJCS["WGS 84 / UTM zone 11N"]')


def test_neon(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "NEON_D17_SJER.h5", "w") as f:
        data = f.create_dataset("SJER/Reflectance/Reflectance_Data", data=cube(np.int16))
        data.attrs["Data_Ignore_Value"], data.attrs["Scale_Factor"], data.attrs["Units"] = -9999.0, 10000.0, "unitless"
        spectral = "SJER/Reflectance/Metadata/Spectral_Data"
        f[f"{spectral}/Wavelength"], f[f"{spectral}/FWHM"] = np.array(NANOMETRES), np.full(5, 5.5)
        f[f"{spectral}/Wavelength"].attrs["Units"] = "nanometers"
        system = "SJER/Reflectance/Metadata/Coordinate_System"
        f[f"{system}/Map_Info"] = b"UTM,  1.000,  1.000, 257000.00, 4112000.0, 1.0, 1.0, 11, North, WGS-84, units=Meters, 0"
        f[f"{system}/EPSG Code"] = b"32611"
    with open_cube(tmp_path / "NEON_D17_SJER.h5") as source:
        info = source.info
        assert np.array_equal(source[:], cube(np.int16))
    assert (info.nodata, info.gain, info.offset) == (-9999, pytest.approx((1e-4,) * 5), None)
    assert (info.wavelengths, info.fwhm) == (NANOMETRES, (5.5,) * 5)
    assert info.georeference == Georeference((1.0, 0.0, 257000.0, 0.0, -1.0, 4112000.0), "EPSG:32611")


def test_the_bands_axis_is_told_by_the_number_of_wavelengths(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as f:
        f["cube"], f["wavelength"] = cube().transpose(2, 0, 1), np.array(NANOMETRES) / 1000
    with caplog.at_level(logging.WARNING), open_cube(tmp_path / "a.h5") as source:
        assert np.array_equal(source[:], cube())
        assert source.info.wavelengths == pytest.approx(NANOMETRES)
    assert "taken for the bands" in caplog.text


def test_columns_before_rows(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.nc", "w") as f:
        f["reflectance"] = cube().transpose(1, 0, 2)
        with_dimensions(f, f["reflectance"], ("x", "y", "band"))
    with open_cube(tmp_path / "a.nc") as source:
        assert np.array_equal(source[:], cube())


@pytest.mark.parametrize(
    ("dtype", "attributes", "expected", "says"),
    [
        ("i2", {"_FillValue": np.int16(-1), "scale_factor": 0.1, "add_offset": 5.0}, (-1, 0.1, 5.0), ""),
        ("f4", {"missing_value": np.float32(1e20)}, (1e20, None, None), ""),
        ("f4", {"_FillValue": np.float32(np.nan), "missing_value": np.float32(-1)}, ("nan", None, None), "missing_value = -1"),
        ("u1", {"_FillValue": np.int16(-9999)}, (None, None, None), "no sample of type uint8 can be it"),
        ("i1", {"_FillValue": np.int8(-1), "_Unsigned": "true"}, (255, None, None), ""),
        ("i2", {"missing_value": "-5", "scale_factor": np.array([2.0, 2, 2, 2, 4])}, (-5, (2.0, 2.0, 2.0, 2.0, 4.0), None), ""),
    ],
)
def test_fill_values_and_packing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, dtype: str, attributes: dict[str, Any], expected: tuple[Any, Any, Any], says: str
) -> None:
    with h5py.File(tmp_path / "a.nc", "w") as f:
        f["cube"] = cube(dtype)
        f["cube"].attrs.update(attributes)
    with caplog.at_level(logging.WARNING), open_cube(tmp_path / "a.nc") as source:
        info = source.info
        unsigned = "_Unsigned" in attributes
        assert info.dtype == np.dtype(dtype.replace("i", "u") if unsigned else dtype)
        assert np.array_equal(source[:], cube(dtype).view(info.dtype))
    nodata, gain, offset = expected
    assert str(info.nodata) == nodata if nodata == "nan" else info.nodata == pytest.approx(nodata)
    for found, value in ((info.gain, gain), (info.offset, offset)):
        assert found == (None if value is None else value if isinstance(value, tuple) else (value,) * 5)
    assert (says in caplog.text) if says else not caplog.records


def test_prisma_zeros_are_missing_in_l1_and_l2d(tmp_path: Path) -> None:
    for level in ("L1", "L2D"):
        with h5py.File(tmp_path / f"{level}.he5", "w") as f:
            for part, centres in (("Vnir", [800, 600, 500]), ("Swir", [2400, 1500])):
                f[f"HDFEOS/SWATHS/PRS_{level}_HCO/Data Fields/{part.upper()}_Cube"] = np.zeros((4, len(centres), 3), "u2")
                f.attrs[f"List_Cw_{part}"], f.attrs[f"List_Fwhm_{part}"] = np.array(centres, "f4"), np.full(len(centres), 10, "f4")
                f.attrs[f"L2Scale{part}Min"], f.attrs[f"L2Scale{part}Max"] = 0.0, 1.0
                f.attrs[f"ScaleFactor_{part}"], f.attrs[f"Offset_{part}"] = 100.0, 0.5
        with open_cube(tmp_path / f"{level}.he5") as source:
            assert source.form == f"PRISMA {level}"
            assert source.info.nodata == 0
            assert source.info.wavelengths == (500, 600, 800, 1500, 2400)
            expected = (0.01, -0.5) if level == "L1" else (1 / 65535, 0.0)
            assert source.info.gain is not None
            assert source.info.offset is not None
            assert (source.info.gain[0], source.info.offset[0]) == pytest.approx(expected)


def test_decompress_writes_netcdf_that_others_read(tmp_path: Path) -> None:
    info = described(SHAPE, np.int16).like(nodata=-9999)
    with create_cube(tmp_path / "a.npy", info) as sink:
        sink[:] = cube(np.int16)
    compress_file(tmp_path / "a.npy", tmp_path / "a.efz", Quality())
    report = decompress_file(tmp_path / "a.efz", tmp_path / "a.nc")
    assert report["format"] == "netCDF"
    with h5py.File(tmp_path / "a.nc") as f:
        assert [f["cube"].dims[axis][0].name for axis in range(3)] == ["/wavelength", "/y", "/x"]
        assert f["x"][0] == 500030
        assert f["cube"].attrs["_FillValue"] == [-9999]
        assert f["cube"].attrs["scale_factor"] == 1e-4
    with open_cube(tmp_path / "a.nc") as source:
        assert source.info.like(metadata={}) == info.like(metadata={})
        assert np.array_equal(source[:], cube(np.int16))
        assert source.unkept == ()


@pytest.mark.parametrize(
    ("system", "names", "units"),
    [
        ("EPSG:4326", ("latitude", "longitude"), ("degrees_north", "degrees_east")),
        ("EPSG:4258", ("latitude", "longitude"), ("degrees_north", "degrees_east")),  # ETRS89
        ("EPSG:4269", ("latitude", "longitude"), ("degrees_north", "degrees_east")),  # NAD83
        ("EPSG:25832", ("projection_y_coordinate", "projection_x_coordinate"), ("m", "m")),
        ("EPSG:2263", ("projection_y_coordinate", "projection_x_coordinate"), ("US survey foot", "US survey foot")),
        ("+proj=utm +zone=33 +datum=WGS84 +units=km +type=crs", ("projection_y_coordinate", "projection_x_coordinate"), ("km", "km")),
    ],
)
def test_coordinates_of_netcdf_have_the_unit_of_their_system(
    tmp_path: Path, system: str, names: tuple[str, str], units: tuple[str, str]
) -> None:
    pytest.importorskip("rasterio")
    placed = Georeference((0.5, 0.0, 10.0, 0.0, -0.5, 50.0), system)
    info = CubeInfo(SHAPE, np.dtype("i2"), NANOMETRES, georeference=placed, band_names=tuple("abcde"), gain=(1.0, 2.0, 3.0, 4.0, 5.0))
    with create_cube(tmp_path / "a.nc", info) as sink:
        sink[:] = cube(np.int16)
    with open_cube(tmp_path / "a.nc") as source:
        assert source.info == info
        assert source.unkept == ()
    with h5py.File(tmp_path / "a.nc", "r+") as f:
        assert tuple(f[axis].attrs["standard_name"] for axis in "yx") == names
        assert tuple(f[axis].attrs["units"] for axis in "yx") == units
        assert f["band_name"].asstr()[:].tolist() == list("abcde")
        del f["cube"].attrs["info"]
    with open_cube(tmp_path / "a.nc") as source:
        assert source.info.georeference is not None
        assert source.info.georeference.transform == pytest.approx(placed.transform)
        assert crs.same(source.info.georeference.crs, system)


def test_gdal_reads_netcdf_as_it_was_written(tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    with rasterio.Env() as env:
        if "netCDF" not in env.drivers():
            pytest.skip("this GDAL reads no netCDF")
    with create_cube(tmp_path / "a.nc", described(SHAPE, np.int16).like(nodata=-9999)) as sink:
        sink[:] = cube(np.int16)
    with rasterio.open(f"netcdf:{tmp_path / 'a.nc'}:cube") as file:
        assert np.array_equal(file.read().transpose(1, 2, 0), cube(np.int16))
        assert file.nodata == -9999
        assert file.crs.to_epsg() == 32633
        assert tuple(file.transform)[:6] == described(SHAPE).georeference.transform  # type: ignore[union-attr]
        assert file.scales[0] == 1e-4


def test_other_suffixes_are_refused_and_classic_netcdf_too(tmp_path: Path) -> None:
    with create_cube(tmp_path / "a.npy", CubeInfo(SHAPE, np.dtype("u2"))) as sink:
        sink[:] = cube(np.uint16)
    compress_file(tmp_path / "a.npy", tmp_path / "a.efz", Quality())
    for name in ("b.zarr", "b.jp2", "b.hdr"):
        with pytest.raises(SettingsError, match="not written"):
            decompress_file(tmp_path / "a.efz", tmp_path / name)
        assert not (tmp_path / name).exists()
    (tmp_path / "old.nc").write_bytes(b"CDF\x01" + bytes(100))
    with pytest.raises(CubeError, match="nccopy"):
        open_cube(tmp_path / "old.nc")
