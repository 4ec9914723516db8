"""netCDF-4 files, written through h5py: bands first, with dimensions, coordinates and attributes by the CF conventions (1.8).

The attribute `info` of the variable `cube` holds the metadata as JSON, from which EdgeFuse reads them exactly (`hdf5`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgefuse.hyperspectral import cf
from edgefuse.hyperspectral.formats.hdf5 import Hdf5Sink, library

_EMPTY = "This is a netCDF dimension but not a netCDF variable. {:9d}"


class NetcdfSink(Hdf5Sink):
    """Writes the variable `cube` with the dimensions (wavelength or band, y, x)."""

    form = "netCDF"
    order = (2, 0, 1)

    def describe(self, file: Any, cube: Any) -> None:
        super().describe(file, cube)
        file.attrs["Conventions"] = "CF-1.8"
        found = cf.described(self.info)
        sizes = self.info.shape[2], *self.info.shape[:2]
        for number, (name, size) in enumerate(zip(found.dims, sizes, strict=True)):
            scale = _dimension(file, name, size, found.coordinates.get(name))
            scale.attrs["_Netcdf4Dimid"] = np.int32(number)
            cube.dims[number].attach_scale(scale)
        others = {name: c for name, c in found.coordinates.items() if name not in found.dims}
        for name, coordinate in others.items():
            _variable(file, name, coordinate)
            for axis, dim in enumerate(coordinate.dims):
                file[name].dims[axis].attach_scale(file[dim])
        for key, value in found.attributes.items():
            # netCDF's fill value is an array of one sample
            cube.attrs[key] = np.array([value]) if key == "_FillValue" else value
        if listed := " ".join(name for name in others if name != cf.MAPPING):
            cube.attrs["coordinates"] = listed


def _dimension(file: Any, name: str, size: int, coordinate: cf.Coordinate | None) -> Any:
    """Write a dimension, and its coordinates if it has any."""
    if coordinate is not None:
        _variable(file, name, coordinate)
        file[name].make_scale(name)
    else:
        file.create_dataset(name, (size,), ">f4").make_scale(_EMPTY.format(size))
    return file[name]


def _variable(file: Any, name: str, coordinate: cf.Coordinate) -> None:
    """Write a coordinate variable; texts are of variable length, as in netCDF-4."""
    values = coordinate.values
    if values.dtype.kind == "U":
        file.create_dataset(name, data=values.astype(object), dtype=library().string_dtype())
    else:
        file[name] = values
    for key, text in coordinate.attributes.items():
        file[name].attrs[key] = text
