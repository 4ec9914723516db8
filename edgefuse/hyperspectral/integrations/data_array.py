"""An xarray.DataArray as a cube that is read window by window, with its wavelengths, fill value, scale and georeference by CF.

An array that was read from a file remembers how that stored it (`DataArray.encoding`): counts, their scale, their fill value. It is stored
that way again, as `DataArray.to_netcdf` does, but only where the values come back exactly.
"""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xarray import DataArray, Variable, conventions

from edgefuse.errors import CubeError
from edgefuse.hyperspectral.cf import MAPPING, by_coordinates, by_geotransform, regular
from edgefuse.hyperspectral.cube import CubeInfo, Georeference, as_nodata
from edgefuse.hyperspectral.formats.base import CubeSource
from edgefuse.hyperspectral.formats.hdf5_conventions import BANDS, COLUMNS, ROWS, role_of
from edgefuse.hyperspectral.wavelengths import converted, scale_of

_PACKING = "dtype", "scale_factor", "add_offset", "_FillValue", "missing_value", "_Unsigned"
_STRUCTURE = {*_PACKING, "grid_mapping", "coordinates", "units", "GeoTransform", "long_name"}
_WAVELENGTHS = "wavelength", "wavelengths", "wl", "wvl", "center_wavelength", "central_wavelength"


def source_of(found: object, name: str) -> CubeSource:
    """Return an xarray object as a cube. Raises CubeError for a dataset, and for an array whose dimensions are not those of a cube."""
    if not isinstance(found, DataArray):
        raise CubeError(f"{name} is xarray's {type(found).__name__}; give one of its arrays, such as dataset['cube']")
    return DataArraySource(found, name)


class DataArraySource(CubeSource):
    """A DataArray with three dimensions, in any order. Raises CubeError where their meaning is not known."""

    form = "xarray"

    def __init__(self, array: DataArray, name: str) -> None:
        self.path = Path(name)
        self._array = array.transpose(*_dimensions(array, name))
        self._encoding = {k: v for k, v in array.encoding.items() if k in _PACKING and v is not None}
        self._unkept: list[str] = []
        first = self._encoded(self._array[:1, :1, :1])
        stored = {**array.attrs, **first.attrs}
        bands = self._array.shape[2]
        fields = _spectral(self._array, bands, name)
        for field, key in (("gain", "scale_factor"), ("offset", "add_offset")):
            if key in stored and float(stored[key]) != (1.0 if field == "gain" else 0.0):
                fields[field] = (float(stored[key]),) * bands
        fill = stored.get("_FillValue", stored.get("missing_value"))
        nodata = None if fill is None else as_nodata(np.asarray(fill).ravel()[0].item())
        metadata = {str(k): v for k, v in array.attrs.items() if isinstance(v, str) and k not in _STRUCTURE}
        if isinstance(array.attrs.get("units"), str):
            metadata["units"] = array.attrs["units"]
        shape = self._array.shape
        self.info = CubeInfo(
            (shape[0], shape[1], shape[2]), first.dtype, nodata=nodata, georeference=self._georeference(), metadata=metadata, **fields
        )
        self.unkept = tuple(self._unkept)

    @property
    def files(self) -> tuple[Path, ...]:
        source = self._array.encoding.get("source")
        return (Path(source),) if isinstance(source, str) else ()

    def _encoded(self, part: DataArray) -> Variable:
        """Return a part as the file that it is from stored it. Raises CubeError if it would not come back exactly."""
        plain = Variable(part.dims, part.values, part.attrs)
        if not self._encoding:
            return plain
        try:
            stored = conventions.encode_cf_variable(Variable(part.dims, plain.values, part.attrs, dict(self._encoding)), name="cube")
            again = conventions.decode_cf_variable("cube", stored, decode_times=False)
        except (ValueError, TypeError, OverflowError) as e:
            raise CubeError(f"{self.path} can't be stored by its encoding ({e}); compress array.drop_encoding()") from None
        if not _same(plain.values, again.values, "scale_factor" in self._encoding or "add_offset" in self._encoding):
            kept = ", ".join(f"{k} = {v}" for k, v in self._encoding.items())
            raise CubeError(f"{self.path} has values that its encoding ({kept}) does not hold; compress array.drop_encoding()")
        return stored

    def _georeference(self) -> Georeference | None:
        array = self._array
        name = array.encoding.get("grid_mapping", array.attrs.get("grid_mapping", MAPPING))
        mapping: dict[Hashable, Any] = array.coords[name].attrs if name in array.coords else {}
        system = str(mapping.get("crs_wkt") or mapping.get("spatial_ref") or "")
        rows, columns = (regular(array.coords[d].values) if d in array.coords else None for d in array.dims[:2])
        if rows is not None and columns is not None:
            return by_coordinates(rows, columns, system, (str(array.coords[d].attrs.get("units", "")) for d in array.dims[:2]))
        if "GeoTransform" not in mapping:
            if mapping or any(d in array.coords for d in array.dims[:2]):
                self._unkept.append("coordinates of rows and columns that are no regular grid")
            return None
        original = array.encoding.get("original_shape")
        if original is not None and sorted(original) != sorted(array.shape):
            self._unkept.append("a georeference that is that of all of the file")
            return None
        try:
            return by_geotransform(str(mapping["GeoTransform"]), system)
        except ValueError:
            raise CubeError(f"{self.path}: GeoTransform is {mapping['GeoTransform']!r}; expected six numbers") from None

    def read(self, rows: slice, columns: slice, bands: slice) -> NDArray[Any]:
        part = self._encoded(self._array[rows, columns, bands])
        return np.array(part.values, self.info.dtype, order="C")


def _same(given: NDArray[Any], again: NDArray[Any], scaled: bool) -> bool:
    """Return whether values come back: to the bit, but for the rounding of a scale."""
    if not scaled or given.dtype.kind != "f":
        return np.array_equal(given, again, equal_nan=given.dtype.kind == "f")
    tolerance = 4 * float(np.finfo(given.dtype).eps)
    return bool(np.allclose(given, again, rtol=tolerance, atol=tolerance * float(np.nanmax(np.abs(again), initial=0)), equal_nan=True))


def _dimensions(array: DataArray, name: str) -> list[Hashable]:
    """Return the dimensions of rows, columns and bands: by their names, or by the `axis` or `standard_name` of their coordinates."""
    roles: dict[int, Hashable] = {}
    for dim in array.dims:
        role = role_of(str(dim))
        if dim in array.coords:
            attributes = array.coords[dim].attrs
            axis, standard = attributes.get("axis"), str(attributes.get("standard_name", ""))
            role = ROWS if axis == "Y" else COLUMNS if axis == "X" else BANDS if standard == "radiation_wavelength" else role
        if role is not None:
            roles.setdefault(role, dim)
    rest = [dim for dim in array.dims if dim not in roles.values()]
    if array.ndim == 3 and len(rest) == 1 and {ROWS, COLUMNS} <= set(roles):
        roles[BANDS] = rest[0]
    if array.ndim != 3 or len(roles) != 3 or not array.size:
        sizes = ", ".join(f"{dim}: {size}" for dim, size in array.sizes.items())
        raise CubeError(f"{name} has the dimensions ({sizes}); expected three, such as y, x and band: array.rename(...)")
    return [roles[ROWS], roles[COLUMNS], roles[BANDS]]


def _spectral(array: DataArray, bands: int, name: str) -> dict[str, Any]:
    """Return wavelengths, FWHM, names, gain and offset by the coordinates of the bands."""
    dim = array.dims[2]
    along = {str(key): c for key, c in array.coords.items() if c.dims == (dim,)}
    fields: dict[str, Any] = {}
    for key, c in along.items():
        unit = str(c.attrs.get("units", ""))
        named = key.lower() in _WAVELENGTHS or c.attrs.get("standard_name") == "radiation_wavelength"
        if c.dtype.kind in "fiu" and named:
            found = converted(c.values.tolist(), unit)
            if found is None:
                raise CubeError(f"{name}: the unit {unit!r} of {key} is no length; give nanometres or micrometres, or drop {key}")
            fields["wavelengths"] = found.values
        elif c.dtype.kind in "fiu" and key.lower() == "fwhm":
            fields["fwhm"] = tuple(float(v) * (scale_of(unit) or 1.0) for v in c.values)
        elif c.dtype.kind in "fiu" and key in ("gain", "offset"):
            fields[key] = tuple(map(float, c.values))
        elif c.dtype.kind in "UOT" and "band_names" not in fields:
            fields["band_names"] = tuple(map(str, c.values))
    listed = array.attrs.get("long_name")
    if isinstance(listed, (tuple, list)) and len(listed) == bands:
        fields.setdefault("band_names", tuple(map(str, listed)))
    return fields
