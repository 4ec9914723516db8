"""Metadata that is checked: units and order of wavelengths, coordinate systems as GDAL reads them, braces in ENVI headers."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from edgefuse.errors import CubeError
from edgefuse.hyperspectral import crs
from edgefuse.hyperspectral.cube import CubeInfo, Georeference
from edgefuse.hyperspectral.formats import create_cube, envi_header, envi_map_info, open_cube
from edgefuse.hyperspectral.wavelengths import converted
from tests.hyperspectral.cubes import samples

HEAD = "ENVI\nsamples = 3\nlines = 4\nbands = 5\ndata type = 12\ninterleave = bsq\n"
MICROMETRES = (0.42, 0.9, 1.4, 1.9, 2.44)


def header(text: str) -> CubeInfo:
    fields = envi_header.fields((HEAD + text).encode())
    return envi_header.info(fields, envi_header.layout(fields))


@pytest.mark.parametrize("unit", ["\u03bcm", "\u00b5m", "Micrometers", "um", "micron", " Micrometre "])
def test_micrometres_of_any_spelling(unit: str) -> None:
    axis = converted(MICROMETRES, unit)
    assert axis is not None
    assert axis.values == pytest.approx([1000 * v for v in MICROMETRES])
    assert axis.doubts == ()


def test_a_unit_that_no_sensor_covers_is_taken_for_the_other(caplog: pytest.LogCaptureFixture) -> None:
    listed = ", ".join(map(str, MICROMETRES))
    with caplog.at_level(logging.WARNING):
        info = header(f"wavelength units = Nanometers\nwavelength = {{{listed}}}\nfwhm = {{0.01, 0.01, 0.01, 0.01, 0.01}}\n")
    assert info.wavelengths == pytest.approx([1000 * v for v in MICROMETRES])
    assert info.fwhm == pytest.approx([10] * 5)
    assert "taken for micrometres" in caplog.text
    listed = ", ".join(str(1000 * v) for v in MICROMETRES)
    assert header(f"wavelength units = Micrometers\nwavelength = {{{listed}}}\n").wavelengths == pytest.approx(
        [1000 * v for v in MICROMETRES]
    )


def test_unsorted_wavelengths_are_said_and_detectors_are_not() -> None:
    scrambled = converted([400, 900, 500, 800, 600, 700], "nm")
    assert scrambled is not None
    assert "not sorted" in scrambled.doubts[0]
    detectors = [*range(400, 1000, 10), *range(950, 2500, 10)]
    for usual in (detectors, detectors[::-1], [400, 400, 500]):
        axis = converted(usual, "nm")
        assert axis is not None
        assert axis.doubts == ()


@pytest.mark.parametrize(
    ("letters", "northing", "expected"),
    [
        ("11, S, WGS-84", 4005941.7, "EPSG:32611"),  # latitude band S, 32 to 40 degrees north
        ("11, S, WGS-84", 6200000.0, "EPSG:32711"),
        ("11, South, WGS-84", 4005941.7, "EPSG:32711"),
        ("11, T, WGS-84", 4505941.7, "EPSG:32611"),
        ("11, H, WGS-84", 6200000.0, "EPSG:32711"),
        ("11, N, WGS-84", 400000.0, "EPSG:32611"),
        ("11, North, NAD83", 4005941.7, "EPSG:26911"),
        ("11, North, North America 1927", 4005941.7, "EPSG:26711"),
        ("61, North, WGS-84", 4005941.7, ""),
        ("33, North, ETRS-89", 4005941.7, ""),
    ],
)
def test_utm_zones(letters: str, northing: float, expected: str) -> None:
    where = envi_map_info.place(f"UTM, 1, 1, 441371, {northing}, 2, 2, {letters}, units=Meters", "")
    assert where is not None
    assert where.crs == expected


def test_kilometres_are_metres_times_1000() -> None:
    where = envi_map_info.place("UTM, 1, 1, 441.5, 4005.5, 0.03, 0.03, 11, North, WGS-84, units=Km", "")
    assert where is not None
    assert where.transform == pytest.approx((30, 0, 441500, 0, -30, 4005500))


def test_pixels_that_lie_nowhere_have_no_georeference() -> None:
    assert envi_map_info.place("Arbitrary, 1, 1, 0, 0, 1, 1, 0, units=Pixels", "") is None
    assert header("map info = {Arbitrary, 1, 1, 0, 0, 1.0e+000, 1.0e+000, 0, units=Pixels}\n").georeference is None
    # a stage's millimetres are places
    assert envi_map_info.place("Arbitrary, 1, 1, 0, 0, 0.05, 0.05, 0", "") is not None


@pytest.mark.parametrize("code", [25832, 3035, 32661, 3413, 2056, 26911, 32633, 4326])
def test_gdal_reads_the_coordinate_system_of_an_envi_file(tmp_path: Path, code: int) -> None:
    rasterio = pytest.importorskip("rasterio")
    where = Georeference((30.0, 0.0, 500000.0, 0.0, -30.0, 5000000.0), f"EPSG:{code}")
    with create_cube(tmp_path / "a.img", CubeInfo((4, 3, 2), np.dtype("u2"), georeference=where)) as sink:
        sink[:] = samples((4, 3, 2))
    with rasterio.open(tmp_path / "a.img") as file:
        # older versions of PROJ call UPS North by the number that it has with its axes swapped
        assert file.crs.to_epsg() in ((code, 5041) if code == 32661 else (code,))
        assert tuple(file.transform)[:6] == where.transform
    with open_cube(tmp_path / "a.img") as source:
        again = source.info.georeference
        assert again is not None
        assert again.transform == where.transform
        assert crs.same(again.crs, where.crs)
        assert not crs.same(again.crs, "EPSG:32634")


def test_braces_and_equals_signs_in_a_description() -> None:
    assert header("description = {\n  mosaic {line 1, line 2}\n  bands = 3 kept }\n").metadata["description"].endswith("bands = 3 kept")
    # braces that do not match: the value ends at the first closing one
    assert header("description = { a { b = c }\nsun = 7\n").metadata == {"description": "a { b = c", "sun": "7", "interleave": "bsq"}
    text = envi_header.text(header("description = {\n  mosaic {line 1}\n  bands = 3 kept }\n"), "bsq")
    again = envi_header.fields(text.encode())
    assert again["bands"] == "5"
    assert again["description"] == "mosaic {line 1}   bands = 3 kept"


def test_a_layout_that_is_said_twice_is_refused() -> None:
    with pytest.raises(CubeError, match="bands is there twice, as '5' and '3'"):
        header("bands = 3\n")
    header("bands = 5\n")


def test_wavelengths_in_the_envi_domain_of_a_tiff(tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    how = {"driver": "GTiff", "height": 4, "width": 3, "count": 5, "dtype": "uint16"}
    with rasterio.open(tmp_path / "a.tif", "w", transform=rasterio.Affine(30, 0, 0, 0, -30, 0), **how) as file:
        file.write(samples((5, 4, 3)))
        listed = "{" + ", ".join(map(str, MICROMETRES)) + "}"
        file.update_tags(ns="ENVI", wavelength=listed, wavelength_units="Micrometers", fwhm="{0.01,0.01,0.01,0.01,0.02}", sun="3")
    with open_cube(tmp_path / "a.tif") as source:
        assert source.info.wavelengths == pytest.approx([1000 * v for v in MICROMETRES])
        assert source.info.fwhm == pytest.approx([10, 10, 10, 10, 20])
        assert source.unkept == ("fields of its ENVI metadata: sun",)
