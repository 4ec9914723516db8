"""A cube's metadata by the CF conventions (1.8): dimensions, coordinates, attributes, grid mapping, as xarray and rioxarray read them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgefuse.hyperspectral import crs
from edgefuse.hyperspectral.cube import CubeInfo, Georeference, can_hold
from edgefuse.util.finite import finite

MAPPING = "spatial_ref"  # rioxarray's name of the grid mapping
CUBE = "cube"
_UNITS = {"metre": "m", "meter": "m", "kilometre": "km", "kilometer": "km"}
_REGULAR = 0.01  # largest deviation of a coordinate from a regular grid, in pixels


class Coordinate(NamedTuple):
    """A coordinate variable."""

    dims: tuple[str, ...]
    values: NDArray[Any]
    attributes: dict[str, Any]


class Description(NamedTuple):
    """How a cube's variable (bands, rows, columns) is described."""

    dims: tuple[str, str, str]
    attributes: dict[str, Any]
    """Attributes of the variable as a file stores it: `_FillValue`, `scale_factor`, ... are not applied yet."""
    coordinates: dict[str, Coordinate]
    texts: dict[str, str]
    """Attributes of the dataset."""


def described(info: CubeInfo) -> Description:
    """Return a cube's metadata by the CF conventions.

    The bands' dimension is `wavelength` (nanometres) where wavelengths are known, else `band` (from 1). A gain and offset that differ
    between bands are coordinates, as CF's scale is one for all.
    """
    name = "wavelength" if info.wavelengths else "band"
    wavelength = {"standard_name": "radiation_wavelength", "long_name": "wavelength", "units": "nm"}
    first = Coordinate((name,), np.arange(1, info.shape[2] + 1), {"long_name": "number of the band"})
    coordinates = {name: Coordinate((name,), np.array(info.wavelengths), wavelength) if info.wavelengths else first}
    attributes: dict[str, Any] = {}
    if info.fwhm:
        coordinates["fwhm"] = Coordinate((name,), np.array(info.fwhm), {"long_name": "full width at half maximum", "units": "nm"})
    if info.band_names:
        coordinates["band_name"] = Coordinate((name,), np.array(info.band_names), {})
    for key, values in (("scale_factor", info.gain), ("add_offset", info.offset)):
        if values and len(set(values)) == 1:
            attributes[key] = values[0]
        elif values:
            coordinates[{"scale_factor": "gain", "add_offset": "offset"}[key]] = Coordinate((name,), np.array(values), {})
    if info.nodata is not None and can_hold(info.dtype, info.nodata):
        attributes["_FillValue"] = info.dtype.type(info.nodata)
    units = next((v for k, v in info.metadata.items() if k.lower() in ("units", "data units")), None)
    if units:
        attributes["units"] = units
    if info.georeference is not None:
        attributes["grid_mapping"] = MAPPING
        coordinates |= _grid(info.georeference, info.shape[0], info.shape[1])
    return Description((name, "y", "x"), attributes, coordinates, dict(info.metadata))


def _grid(georeference: Georeference, height: int, width: int) -> dict[str, Coordinate]:
    """Return the grid mapping, and the coordinates of the pixels' centres; these only if rows and columns are not turned."""
    a, b, left, d, e, top = georeference.transform
    mapping: dict[str, Any] = {"GeoTransform": " ".join(repr(v) for v in (left, a, b, top, d, e))}
    text = crs.wkt(georeference.crs)
    if text:
        mapping |= {"crs_wkt": text, MAPPING: text}
    elif georeference.crs:
        mapping[MAPPING] = georeference.crs  # an EPSG code; without rasterio it can't be written as WKT
    found = {MAPPING: Coordinate((), np.array(0), mapping)}
    if b or d:
        return found
    rows, columns = _axes(georeference.crs)
    found["y"] = Coordinate(("y",), top + e * (np.arange(height) + 0.5), rows)
    found["x"] = Coordinate(("x",), left + a * (np.arange(width) + 0.5), columns)
    return found


def _axes(system: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return the attributes of the coordinates of rows and columns in a coordinate system."""
    if not system:
        return {"axis": "Y"}, {"axis": "X"}
    parsed = crs.parsed(system)
    if parsed.is_geographic if parsed is not None else crs.epsg_of(system) == 4326:
        return (
            {"axis": "Y", "standard_name": "latitude", "units": "degrees_north"},
            {"axis": "X", "standard_name": "longitude", "units": "degrees_east"},
        )
    unit = "m" if parsed is None else _UNITS.get(str(parsed.linear_units).lower(), str(parsed.linear_units))
    names = (("Y", "projection_y_coordinate"), ("X", "projection_x_coordinate"))
    rows, columns = ({"axis": axis, "standard_name": name, "units": unit} for axis, name in names)
    return rows, columns


def regular(values: NDArray[Any]) -> tuple[float, float] | None:
    """Return the edge before the first pixel, and the step, of the coordinates of pixels' centres; None for those of no regular grid."""
    if values.ndim != 1 or len(values) < 2 or values.dtype.kind not in "fiu" or not np.isfinite(values).all():
        return None
    numbers = values.astype(np.float64)
    step = float(numbers[-1] - numbers[0]) / (len(numbers) - 1)
    if not step or np.abs(numbers - (numbers[0] + step * np.arange(len(numbers)))).max() > _REGULAR * abs(step):
        return None
    return float(numbers[0] - step / 2), step


def by_coordinates(rows: tuple[float, float], columns: tuple[float, float], system: str, units: Iterable[str]) -> Georeference:
    """Return the place of pixels by what `regular` tells of both coordinates.

    system: empty where the grid mapping names none; coordinates in degrees are then of EPSG:4326.
    """
    (top, e), (left, a) = rows, columns
    return Georeference((a, 0.0, left, 0.0, e, top), system or ("EPSG:4326" if all(u.startswith("degree") for u in units) else ""))


def by_geotransform(text: str, system: str) -> Georeference:
    """Return the place of pixels by the grid mapping's GeoTransform. Raises ValueError if it is not six finite numbers."""
    c, a, b, f, d, e = finite(text.split())
    return Georeference((a, b, c, d, e, f), system)


def metres_of(unit: str, system: str) -> float:
    """Return the factor from a coordinate's unit to metres: 1000 for kilometres, unless those are the unit of the coordinate system."""
    if unit.strip().lower() not in ("km", "kilometer", "kilometers", "kilometre", "kilometres"):
        return 1.0
    parsed = crs.parsed(system) if system else None
    return 1.0 if parsed is not None and _UNITS.get(str(parsed.linear_units).lower(), parsed.linear_units) == "km" else 1000.0
