"""netCDF-4 files, written through h5py: bands first, with dimensions, coordinates and attributes by the CF conventions (1.8).

The attribute `info` of the variable `cube` holds the metadata as JSON, from which EdgeFuse reads them exactly (`hdf5`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefuse.hyperspectral import crs
from edgefuse.hyperspectral.cube import can_hold
from edgefuse.hyperspectral.formats.hdf5 import Hdf5Sink

_EMPTY = "This is a netCDF dimension but not a netCDF variable. {:9d}"


class NetcdfSink(Hdf5Sink):
    """Writes the variable `cube` with the dimensions (wavelength or band, y, x)."""

    form = "netCDF"
    order = (2, 0, 1)

    def describe(self, file: Any, cube: Any) -> None:
        super().describe(file, cube)
        info = self.info
        file.attrs["Conventions"] = "CF-1.8"
        height, width, bands = info.shape
        name = "wavelength" if info.wavelengths else "band"
        first = np.array(info.wavelengths) if info.wavelengths else np.arange(1, bands + 1, dtype=np.int32)
        scales = [_coordinate(file, name, first, {"units": "nm", "standard_name": "radiation_wavelength"} if info.wavelengths else {})]
        if info.fwhm:
            file["fwhm"] = np.array(info.fwhm)
            file["fwhm"].attrs["units"] = "nm"
            file["fwhm"].dims[0].attach_scale(scales[0])
        scales += self._grid(file, cube, height, width)
        for number, scale in enumerate(scales):
            scale.attrs["_Netcdf4Dimid"] = np.int32(number)
            cube.dims[number].attach_scale(scale)
        if can_hold(info.dtype, info.nodata):
            cube.attrs["_FillValue"] = np.array([info.nodata], info.dtype)
        for key, values in (("scale_factor", info.gain), ("add_offset", info.offset)):
            if values and len(set(values)) == 1:
                cube.attrs[key] = values[0]
        if info.fwhm:
            cube.attrs["coordinates"] = "fwhm"

    def _grid(self, file: Any, cube: Any, height: int, width: int) -> list[Any]:
        """Write the coordinates of rows and columns, and the grid mapping; return both dimension scales."""
        georeference = self.info.georeference
        if georeference is None:
            return [_dimension(file, "y", height), _dimension(file, "x", width)]
        a, b, left, d, e, top = georeference.transform
        mapping = file.create_dataset("spatial_ref", (), np.int32)
        mapping.attrs["GeoTransform"] = " ".join(repr(v) for v in (left, a, b, top, d, e))
        if text := crs.wkt(georeference.crs):
            mapping.attrs["crs_wkt"] = mapping.attrs["spatial_ref"] = text
        cube.attrs["grid_mapping"] = "spatial_ref"
        if b or d:
            # turned: rows and columns have no coordinates of their own
            return [_dimension(file, "y", height), _dimension(file, "x", width)]
        degrees = crs.epsg_of(georeference.crs) == 4326
        attributes = [
            {"standard_name": f"projection_{axis}_coordinate", "units": "m"}
            if not degrees
            else {"standard_name": word, "units": f"degrees_{side}"}
            for axis, word, side in (("y", "latitude", "north"), ("x", "longitude", "east"))
        ]
        return [
            _coordinate(file, "y", top + e * (np.arange(height) + 0.5), attributes[0]),
            _coordinate(file, "x", left + a * (np.arange(width) + 0.5), attributes[1]),
        ]


def _coordinate(file: Any, name: str, values: NDArray[Any], attributes: dict[str, str]) -> Any:
    file[name] = values
    file[name].make_scale(name)
    for key, text in attributes.items():
        file[name].attrs[key] = text
    return file[name]


def _dimension(file: Any, name: str, size: int) -> Any:
    """Write a dimension without coordinates, as netCDF does."""
    scale = file.create_dataset(name, (size,), ">f4")
    scale.make_scale(_EMPTY.format(size))
    return scale
