"""The fields `map info` and `coordinate system string` of ENVI headers as a georeference, read and written.

Format: https://www.nv5geospatialsoftware.com/docs/ENVIHeaderFiles.html
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from edgefuse.hyperspectral import crs
from edgefuse.hyperspectral.cube import Georeference
from edgefuse.util.finite import finite

KEYS = "map info", "projection info", "coordinate system string"
_BAND_S = 3.53e6, 4.44e6  # metres north of the equator, from 32 to 40 degrees: the latitude band S
_NAD_ZONES = range(1, 24)
_NAD = {"nad83": 26900, "northamerica1983": 26900, "nad27": 26700, "northamerica1927": 26700}  # EPSG code of zone 0
_KILOMETRES = "km", "kilometers", "kilometer", "kilometres"
_METRES = "", "m", "meters", "meter", "metres"
_logger = logging.getLogger(__name__)


class _Fields(NamedTuple):
    """`map info`: positional items, and the items NAME=VALUE in lower case."""

    items: list[str]
    named: dict[str, str]

    @property
    def unit(self) -> str:
        return self.named.get("units", "").lower()


def _parsed(map_info: str) -> _Fields:
    parts = [p.strip() for p in map_info.split(",")]
    named = {name.strip().lower(): value.strip() for name, mark, value in (p.partition("=") for p in parts[7:]) if mark}
    return _Fields([p for p in parts if "=" not in p], named)


def place(map_info: str, system: str) -> Georeference | None:
    """Return the georeference of `map info`; None if it counts pixels and lies nowhere. system: `coordinate system string`.

    Raises ValueError for an invalid field, such as pixels of size zero.
    """
    fields = _parsed(map_info)
    if len(fields.items) < 7:
        raise ValueError("expected a projection and six numbers")
    column, row, x, y, dx, dy = finite(fields.items[1:7])
    if not dx or not dy:
        raise ValueError("pixels of size zero")
    projection = fields.items[0].lower()
    if not system.strip() and projection == "arbitrary" and (fields.unit == "pixels" or (abs(dx), abs(dy)) == (1, 1)):
        return None
    rotation = math.radians(finite((fields.named.get("rotation", "0"),))[0])
    if fields.unit in _KILOMETRES and projection == "utm":
        x, y, dx, dy = (1000 * v for v in (x, y, dx, dy))
    cos, sin = math.cos(rotation), math.sin(rotation)
    # columns and rows count from 1 at the upper left corner of the first pixel
    a, b, d, e = dx * cos, dy * sin, dx * sin, -dy * cos
    left, top = x - (column - 1) * a - (row - 1) * b, y - (column - 1) * d - (row - 1) * e
    return Georeference((a, b, left, d, e, top), system.strip() or _system(fields, y))


def _system(fields: _Fields, y: float) -> str:
    """Return the EPSG code of UTM on WGS 84, NAD83 or NAD27, or of longitude and latitude on WGS 84; empty for any other system."""
    items = fields.items
    if items[0].lower() == "utm" and len(items) >= 10:
        if fields.unit not in (*_METRES, *_KILOMETRES):
            _logger.warning("the unit '%s' of 'map info' is not known; the coordinate system is left open", fields.unit[:40])
            return ""
        return _utm(int(items[7]), items[8].lower(), re.sub(r"[^a-z0-9]", "", items[9].lower()), y)
    return "EPSG:4326" if items[0].lower().startswith("geographic") and any("84" in p for p in items[7:]) else ""


def _utm(zone: int, hemisphere: str, datum: str, y: float) -> str:
    if not 1 <= zone <= 60:
        return ""
    south = hemisphere.startswith("s")
    if len(hemisphere) == 1 and hemisphere not in "sn":
        # the letter of a latitude band, as some cameras' programs write: from N on north
        south = hemisphere < "n"
    elif hemisphere == "s" and _BAND_S[0] <= y <= _BAND_S[1]:
        south = False
        _logger.warning("UTM zone %d S: taken for the latitude band S, 32 to 40 degrees north, by its northing of %.0f m", zone, y)
    if "84" in datum:
        return f"EPSG:{(32700 if south else 32600) + zone}"
    first = _NAD.get(datum.replace("american", "america"))
    return f"EPSG:{first + zone}" if first and zone in _NAD_ZONES and not south else ""


def matches(header: Mapping[str, str], georeference: Georeference) -> bool:
    """Return whether a header's original fields still say the georeference; they are more complete than those of `lines`."""
    try:
        return place(header.get("map info", ""), header.get("coordinate system string", "")) == georeference
    except (ValueError, OverflowError):
        return False


def lines(georeference: Georeference) -> list[str]:
    """Return the header's lines for a georeference; none for shear or mirroring, which `map info` can't express."""
    a, b, left, d, e, top = georeference.transform
    dx, dy, angle = math.hypot(a, d), math.hypot(b, e), math.degrees(math.atan2(d, a))
    if not (math.isclose(a * b + d * e, 0.0, abs_tol=1e-9 * dx * dy) and a * e - b * d < 0):
        return []
    system, zone = "Arbitrary", ""
    match = re.fullmatch(r"EPSG:32([67])(\d\d)", georeference.crs)
    if match and 1 <= int(match[2]) <= 60:
        system, zone = "UTM", f", {int(match[2])}, {'North' if match[1] == '6' else 'South'}, WGS-84, units=Meters"
    elif georeference.crs == "EPSG:4326":
        system, zone = "Geographic Lat/Lon", ", WGS-84, units=Degrees"
    rotation = f", rotation={angle!r}" if angle else ""
    written = [f"map info = {{{system}, 1.0, 1.0, {left!r}, {top!r}, {dx!r}, {dy!r}{zone}{rotation}}}"]
    return written if zone or not georeference.crs else [*written, *_system_line(georeference.crs)]


def _system_line(text: str) -> Sequence[str]:
    said = crs.esri_wkt(text) or text
    if said == text and text.upper().startswith("EPSG:"):
        _logger.warning("%s is written as this code, which few programs read; with rasterio as WKT: pip install 'edgefuse[geotiff]'", text)
    # a brace would end the field
    return [] if re.search("[{}\n]", said) else [f"coordinate system string = {{{said}}}"]
