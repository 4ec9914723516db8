"""Coordinate systems as files may have them: mutated WKT, PROJ strings and codes, from a seed, for benchmarks/fuzz."""

from __future__ import annotations

import random

from edgefuse.errors import EdgeFuseError
from edgefuse.hyperspectral import crs
from tests.hyperspectral.mutate import mutations

_TEXTS = (
    'PROJCS["WGS_1984_UTM_Zone_33N",GEOGCS["GCS_WGS_1984",DATUM["D_WGS_1984",SPHEROID["WGS_1984",6378137.0,298.257223563]],'
    'PRIMEM["Greenwich",0.0],UNIT["Degree",0.0174532925199433]],PROJECTION["Transverse_Mercator"],PARAMETER["False_Easting",500000.0],'
    'PARAMETER["Central_Meridian",15.0],PARAMETER["Scale_Factor",0.9996],UNIT["Meter",1.0]]',
    'GEOGCS["GCS_WGS_1984",DATUM["D_WGS_1984",SPHEROID["WGS_1984",6378137.0,298.257223563]],PRIMEM["Greenwich",0.0],UNIT["Degree",0.0174532925]]',
    "EPSG:32633", "EPSG:5041", "epsg:4326", "+proj=utm +zone=33 +datum=WGS84 +units=m +no_defs", "+proj=pipeline +step +proj=unitconvert",
    '{"type": "GeographicCRS", "name": "WGS 84"}', "urn:ogc:def:crs:EPSG::32633", "/etc/passwd", "http://localhost/x", "dict:/etc/passwd",
)  # fmt: skip


def check_crs(rng: random.Random) -> None:
    """Read a coordinate system, write it, and read it again. Raises EdgeFuseError for one that can't be read."""
    text = rng.choice(_TEXTS)
    if rng.random() < 0.9:
        text = next(mutations(text.encode(), 1, rng.getrandbits(32))).decode("latin-1")
    if crs.parsed(text) is None:
        raise EdgeFuseError("can't be read")
    assert crs.same(text, text)
    written = crs.wkt(text)
    assert not written or crs.parsed(written) is not None
    crs.esri_wkt(text)
