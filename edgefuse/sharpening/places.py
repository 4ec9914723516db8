"""Converts places between coordinate reference systems, with rasterio (PROJ)."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from edgefuse.errors import CubeError
from edgefuse.hyperspectral.formats import geotiff
from edgefuse.util.arrays import Float64Array

Converter = Callable[[Float64Array], Float64Array]
"""Maps places (n, 2) of x and y in one system to those in another; infinite where there is none."""


@lru_cache(maxsize=16)
def converter(source: str, target: str) -> Converter:
    """Return what converts places from the system `source` to `target`: "EPSG:32633" or WKT; an empty one is taken for the other.

    Raises CubeError for a system that PROJ does not know, MissingDependencyError.
    """
    if source == target or not source or not target:
        return lambda places: places
    rasterio = geotiff.library()
    from rasterio.warp import transform

    systems = []
    for text in (source, target):
        try:
            systems.append(rasterio.crs.CRS.from_string(text))
        except rasterio.errors.CRSError:
            raise CubeError(f"the coordinate system {text[:60]} is not known to PROJ; correct it in the file's header") from None
    if systems[0] == systems[1]:
        return lambda places: places

    def convert(places: Float64Array) -> Float64Array:
        x, y = transform(*systems, places[:, 0], places[:, 1])
        return np.stack([np.asarray(x, np.float64), np.asarray(y, np.float64)], 1)

    return convert
