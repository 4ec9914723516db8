"""Georeference of a dataset in HDF5: CF's grid mapping and coordinate variables, GDAL's GeoTransform, NEON's Map_Info."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from edgefuse.hyperspectral import cf
from edgefuse.hyperspectral.cube import Georeference
from edgefuse.hyperspectral.formats import envi_map_info
from edgefuse.hyperspectral.formats.hdf5_checks import Vectors, attribute, inside, text_of

_EMPTY = "This is a netCDF dimension but not a netCDF variable"
_MAP_INFO = "Metadata/Coordinate_System/Map_Info"


class Placed(NamedTuple):
    """A georeference, and the names of the datasets that it is from."""

    georeference: Georeference
    variables: set[str]


def scale(dataset: Any, axis: int) -> Any:
    """Return the dimension scale of an axis, or None. It is in the same file: references do not lead to others."""
    scales = dataset.dims[axis]
    return scales[0] if len(scales) else None


def is_empty(dataset: Any) -> bool:
    """Return whether a dimension scale only names a dimension, without coordinates, as netCDF writes those."""
    return (text_of(attribute(dataset, "NAME")) or "").startswith(_EMPTY)


def georeference(file: Any, dataset: Any, scales: Sequence[Any], vectors: Vectors) -> Placed | None:
    """Return the georeference of a dataset; scales: dimension scales of its rows and its columns, or None."""
    if (placed := _neon(file, dataset)) is not None:
        return placed
    mapping = _grid_mapping(file, dataset)
    system = "" if mapping is None else text_of(attribute(mapping, "crs_wkt")) or text_of(attribute(mapping, "spatial_ref")) or ""
    used = set() if mapping is None else {str(mapping.name).strip("/")}
    rows, columns = (_axis(item, vectors, system) for item in scales)
    if rows is not None and columns is not None:
        used |= {str(item.name).strip("/") for item in scales}
        units = (text_of(attribute(item, "units")) or "" for item in scales)
        return Placed(cf.by_coordinates(rows, columns, system, units), used)
    if mapping is not None:
        try:
            return Placed(cf.by_geotransform(text_of(attribute(mapping, "GeoTransform")) or "", system), used)
        except ValueError:
            return None
    return None


def _grid_mapping(file: Any, dataset: Any) -> Any:
    """Return the variable that the attribute `grid_mapping` names: in the dataset's group, or the nearest one above."""
    name = (text_of(attribute(dataset, "grid_mapping")) or "").partition(":")[0].strip().strip("/")
    if not name:
        return None
    folder = str(dataset.name).strip("/").split("/")[:-1]
    for depth in range(len(folder), -1, -1):
        if (node := inside(file, "/".join([*folder[:depth], *name.split("/")]))) is not None:
            return node
    return None


def _axis(coordinate: Any, vectors: Vectors, system: str) -> tuple[float, float] | None:
    """Return the start and the step of a regular coordinate variable: of the edge before the first pixel; None for any other."""
    if coordinate is None or is_empty(coordinate):
        return None
    values = vectors.coordinate(coordinate)
    return None if values is None else cf.regular(values * cf.metres_of(text_of(attribute(coordinate, "units")) or "", system))


def _neon(file: Any, dataset: Any) -> Placed | None:
    """Return the georeference of NEON's layout: an ENVI `map info` and an EPSG code beside the reflectance."""
    folder = str(dataset.name).strip("/").rpartition("/")[0]
    place = f"{folder}/{_MAP_INFO}".strip("/")
    item = inside(file, place)
    text = None if item is None or getattr(item, "shape", None) != () else text_of(item[()])
    if not text:
        return None
    code = inside(file, place.replace("Map_Info", "EPSG Code"))
    number = "" if code is None or getattr(code, "shape", None) != () else (text_of(code[()]) or "").strip()
    try:
        georeference = envi_map_info.place(text, f"EPSG:{number}" if number.isdecimal() else "")
    except (ValueError, OverflowError):
        return None
    return None if georeference is None else Placed(georeference, {place, *([code.name.strip("/")] if code is not None else [])})
