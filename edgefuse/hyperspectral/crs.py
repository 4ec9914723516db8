"""Coordinate reference systems as text: parsed in one place, compared, written as WKT, and used to convert coordinates. Needs rasterio."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from edgefuse.errors import CubeError, MissingDependencyError
from edgefuse.util.arrays import Float64Array
from edgefuse.util.native_stderr import native_stderr

Converter = Callable[[Float64Array], Float64Array]
"""Converts coordinates (n, 2), x and y, from one system to another; infinite where there is no such point."""

_EPSG = re.compile(r"EPSG:(\d{4,6})", re.IGNORECASE)
# the polar systems have a second number for swapped axes, which files do not have; versions of PROJ differ in which one they find
_TWINS = {5041: 32661, 5042: 32761}
_MOST_TEXT = 1 << 16  # characters of WKT; PROJ parses it recursively
_URL = re.compile(r"\w+://(?!(?:www\.)?opengis\.net/def/crs)", re.IGNORECASE)


def parsed(text: str) -> Any:
    """Return rasterio's CRS of "EPSG:32633", WKT of any dialect, a PROJ string or PROJJSON; None if none of them can be read.

    The text comes from files of unknown origin, so one that GDAL would open as a file or a URL is not read. None without rasterio.
    """
    try:
        from rasterio.crs import CRS
    except ImportError:
        return None
    text = text.strip()
    if len(text) > _MOST_TEXT or _leads_elsewhere(text):
        return None
    # `from_string` recognises WKT only by a closing bracket at the end
    for parse in (CRS.from_string, CRS.from_wkt) if "[" in text else (CRS.from_string,):
        try:
            # GDAL writes what it does not understand to standard error
            with native_stderr():
                return parse(text, morph_from_esri_dialect=True)
        except Exception:  # rasterio raises many kinds for malformed JSON and PROJ strings
            continue
    return None


def _leads_elsewhere(text: str) -> bool:
    """Return whether GDAL's `SetFromUserInput` would read a file or a URL."""
    if text.endswith("]") or not text:
        return False
    try:
        return bool(_URL.match(text)) or text.startswith("/") or text.lower().startswith("dict:") or os.path.lexists(text)
    except ValueError:  # a null character
        return True


def epsg_of(text: str) -> int | None:
    """Return the EPSG code of a coordinate system; None if it has none that is known, or rasterio is needed for it."""
    if match := _EPSG.fullmatch(text.strip()):
        return int(match[1])
    system = parsed(text)
    code: int | None = None if system is None else system.to_epsg()
    return code


def same(a: str, b: str) -> bool:
    """Return whether two texts name one coordinate system. Without rasterio, texts other than EPSG codes are compared as they are."""
    if a == b:
        return True
    first, second = epsg_of(a), epsg_of(b)
    if first is not None and second is not None:
        return _TWINS.get(first, first) == _TWINS.get(second, second)
    systems = parsed(a), parsed(b)
    return None not in systems and bool(systems[0] == systems[1])


def esri_wkt(text: str) -> str:
    """Return the system as WKT 1 of ESRI's dialect, as ENVI's headers have it; empty if it can't be read, or without rasterio."""
    system = parsed(text)
    if system is None:
        return ""
    try:
        return str(system.to_wkt(version="WKT1_ESRI"))
    except Exception:  # rasterio raises several kinds for a system that the dialect lacks
        return ""


def wkt(text: str) -> str:
    """Return the system as WKT, as CF's `crs_wkt`. A text that can't be read is returned unchanged, an EPSG code as an empty text."""
    system = parsed(text)
    if system is None:
        return "" if _EPSG.fullmatch(text) else text
    return str(system.to_wkt())


@lru_cache(maxsize=16)
def converter(source: str, target: str) -> Converter:
    """Return a function that converts coordinates from the system `source` to `target`. An unknown system, "", is assumed to be the other.

    Raises CubeError for a system that PROJ does not know, MissingDependencyError without rasterio.
    """
    if source == target or not source or not target:
        return lambda places: places
    try:
        from rasterio.warp import transform
    except ImportError as e:
        raise MissingDependencyError("rasterio", "converting coordinates", "'edgefuse[geotiff]'") from e
    systems = parsed(source), parsed(target)
    for text, system in zip((source, target), systems, strict=True):
        if system is None:
            raise CubeError(f"the coordinate system {text[:60]} is not known to PROJ; correct it in the file's header")
    if same(source, target):
        return lambda places: places

    def convert(places: Float64Array) -> Float64Array:
        x, y = transform(*systems, places[:, 0], places[:, 1])
        return np.stack([np.asarray(x, np.float64), np.asarray(y, np.float64)], 1)

    return convert
