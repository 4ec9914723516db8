"""Coordinate reference systems as text: compared as systems, and written as the WKT that ENVI and GDAL read. rasterio knows them."""

from __future__ import annotations

import re
from typing import Any

from edgefuse.util.nativeio import native_stderr

_EPSG = re.compile(r"EPSG:(\d{4,6})", re.IGNORECASE)
# the polar systems have a second number for swapped axes, which files do not have; versions of PROJ differ in which one they find
_TWINS = {5041: 32661, 5042: 32761}
_MOST_TEXT = 1 << 16  # characters of WKT; PROJ parses it recursively


def _parsed(text: str) -> Any:
    """Return rasterio's CRS of a text, or None if it can't be read, or rasterio is not installed."""
    try:
        import rasterio.crs
        import rasterio.errors
    except ImportError:
        return None
    if len(text) > _MOST_TEXT:
        return None
    try:
        # GDAL writes what it does not understand to standard error
        with native_stderr():
            return rasterio.crs.CRS.from_string(text) if _EPSG.fullmatch(text) else rasterio.crs.CRS.from_wkt(text, True)
    except (rasterio.errors.CRSError, ValueError):
        return None


def epsg_of(text: str) -> int | None:
    """Return the EPSG code of a coordinate system "EPSG:32633" or WKT; None if it has none that is known, or rasterio is needed for it."""
    if match := _EPSG.fullmatch(text.strip()):
        return int(match[1])
    system = _parsed(text)
    code: int | None = None if system is None else system.to_epsg()
    return code


def same(a: str, b: str) -> bool:
    """Return whether two texts, EPSG codes or WKT of any dialect, name one coordinate system. Without rasterio texts are compared."""
    if a == b:
        return True
    first, second = epsg_of(a), epsg_of(b)
    if first is not None and second is not None:
        return _TWINS.get(first, first) == _TWINS.get(second, second)
    systems = _parsed(a), _parsed(b)
    return None not in systems and bool(systems[0] == systems[1])


def esri_wkt(text: str) -> str:
    """Return the system as WKT 1 of ESRI's dialect, as ENVI's headers have it; empty if it can't be told without rasterio."""
    system = _parsed(text)
    if system is None:
        return ""
    try:
        return str(system.to_wkt(version="WKT1_ESRI"))
    except Exception:  # rasterio raises several kinds for a system that the dialect lacks
        return ""


def wkt(text: str) -> str:
    """Return the system as WKT, as CF's `crs_wkt`; empty if it can't be told without rasterio."""
    system = _parsed(text)
    return text if system is None and not _EPSG.fullmatch(text) else "" if system is None else str(system.to_wkt())
