"""Coordinate systems: which texts are read, which name the same system, and the conversion of coordinates."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

import numpy as np
import pytest

from edgefuse.errors import CubeError
from edgefuse.hyperspectral import crs
from edgefuse.hyperspectral.crs import converter

UTM_AS_ENVI = (
    'PROJCS["WGS_1984_UTM_Zone_33N",GEOGCS["GCS_WGS_1984",DATUM["D_WGS_1984",SPHEROID["WGS_1984",6378137.0,298.257223563]],'
    'PRIMEM["Greenwich",0.0],UNIT["Degree",0.0174532925199433]],PROJECTION["Transverse_Mercator"],PARAMETER["False_Easting",500000.0],'
    'PARAMETER["False_Northing",0.0],PARAMETER["Central_Meridian",15.0],PARAMETER["Scale_Factor",0.9996],'
    'PARAMETER["Latitude_Of_Origin",0.0],UNIT["Meter",1.0]]'
)
PLACES = np.array([(500000.0, 5000000.0), (620000.0, 5300000.0)])


@pytest.mark.parametrize("systems", [("EPSG:32633", "EPSG:32633"), ("", "EPSG:32633"), ("EPSG:32633", "")])
def test_one_system_or_an_unknown_one_changes_nothing(systems: tuple[str, str]) -> None:
    assert converter(*systems)(PLACES) is PLACES


def test_two_spellings_of_one_system_are_one() -> None:
    pytest.importorskip("rasterio")
    np.testing.assert_allclose(converter(UTM_AS_ENVI, "EPSG:32633")(PLACES), PLACES, atol=1e-3)


def test_the_central_meridian_has_the_false_easting_of_utm() -> None:
    pytest.importorskip("rasterio")
    x, y = converter("EPSG:32633", "EPSG:4326")(PLACES)[0]
    assert (x, y) == pytest.approx((15, 45.15), abs=0.01)
    assert converter("EPSG:4326", "EPSG:32632")(np.array([(9.0, 0.0)]))[0] == pytest.approx((500000, 0), abs=1e-3)


def test_an_unknown_system_is_refused() -> None:
    pytest.importorskip("rasterio")
    with pytest.raises(CubeError, match="not known to PROJ"):
        converter("LOCAL:none", "EPSG:4326")


@pytest.mark.parametrize(
    "text",
    [
        "EPSG:32633",
        "epsg:32633",
        " EPSG:32633 ",
        UTM_AS_ENVI,
        "urn:ogc:def:crs:EPSG::32633",
        "http://www.opengis.net/def/crs/EPSG/0/32633",
        '{"init": "EPSG:32633"}',
    ],
)
def test_every_notation_of_a_system_is_read_by_all(text: str) -> None:
    pytest.importorskip("rasterio")
    assert crs.epsg_of(text) == 32633
    assert crs.same(text, "EPSG:32633")
    assert not crs.same(text, "EPSG:32634")
    assert crs.esri_wkt(text).startswith('PROJCS["WGS_1984_UTM_Zone_33N"')
    assert crs.same(crs.wkt(text), text)
    np.testing.assert_allclose(converter(text, "EPSG:32633")(PLACES), PLACES, atol=1e-3)
    np.testing.assert_allclose(converter("EPSG:32633", text)(PLACES), PLACES, atol=1e-3)


@pytest.mark.parametrize(
    "text",
    [
        "+proj=utm +zone=33 +datum=WGS84 +units=m +no_defs",
        "+init=epsg:32633",
        '{"proj": "utm", "zone": 33, "datum": "WGS84", "units": "m", "no_defs": true}',
    ],
)
def test_proj_strings_are_read(text: str) -> None:
    pytest.importorskip("rasterio")
    assert crs.esri_wkt(text).startswith("PROJCS[")
    np.testing.assert_allclose(converter(text, "EPSG:32633")(PLACES), PLACES, atol=1e-3)
    np.testing.assert_allclose(converter("EPSG:32634", text)(converter(text, "EPSG:32634")(PLACES)), PLACES, atol=1e-3)


@pytest.mark.parametrize("name", ["EPSG:4326", "EPSG:3035", "EPSG:2056", "EPSG:32633"])
@pytest.mark.parametrize("version", ["WKT1_GDAL", "WKT1_ESRI", "WKT2_2019"])
def test_wkt_of_every_dialect_is_read(name: str, version: str) -> None:
    rasterio_crs = pytest.importorskip("rasterio.crs")
    assert crs.same(rasterio_crs.CRS.from_string(name).to_wkt(version=version), name)


def test_what_no_parser_knows_is_nothing() -> None:
    for text in (
        "LOCAL:none",
        "nonsense",
        "PROJCS[",
        "{}",
        "{",
        "[1]",
        '{"init": 5}',
        "EPSG:",
        "EPSG:x",
        "+proj=nonsense",
        "a\0b",
        "[" * 100_000,
    ):
        assert crs.parsed(text) is None, text
        assert crs.epsg_of(text) is None, text
        assert crs.esri_wkt(text) == "", text


def test_a_text_that_names_a_file_or_a_server_reads_neither(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rasterio")
    (tmp_path / "here.prj").write_text(UTM_AS_ENVI)
    (tmp_path / "here.json").write_text(json.dumps({"init": "EPSG:32633"}))
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.01)
        url = f"127.0.0.1:{server.getsockname()[1]}/a.prj"
        names = [
            f"http://{url}",
            f"/vsicurl/http://{url}",
            "here.prj",
            "here.json",
            str(tmp_path / "here.prj"),
            "dict:here.prj",
            "./here.prj",
        ]
        for text in names:
            assert crs.parsed(text) is None, text
            with pytest.raises(CubeError, match="not known to PROJ"):
                converter(text, "EPSG:32633")
        with pytest.raises(TimeoutError):
            server.accept()


def test_without_rasterio_codes_are_compared_and_nothing_else_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rasterio.crs", None)
    assert crs.same("EPSG:5041", "epsg:32661")
    assert not crs.same("EPSG:32633", "EPSG:32634")
    assert crs.same(UTM_AS_ENVI, UTM_AS_ENVI)
    assert not crs.same(UTM_AS_ENVI, "EPSG:32633")
    assert crs.wkt(UTM_AS_ENVI) == UTM_AS_ENVI
    assert crs.wkt("EPSG:32633") == crs.esri_wkt(UTM_AS_ENVI) == ""
