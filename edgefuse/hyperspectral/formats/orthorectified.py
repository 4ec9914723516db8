"""A cube in sensor geometry, read on a map grid by a geometry lookup table (GLT), as EMIT's L1B and L2A granules have in `location`.

The table says for each pixel of the map which pixel of the sensor lies there: `glt_x` its column and `glt_y` its row, counted from 1, 0 for
none. `geotransform` and `spatial_ref` of the file place the map. (EMIT L2A Algorithm Theoretical Basis Document; nasa/EMIT-Data-Resources.)
Samples are copied, not interpolated, so that spectra stay as they were measured.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import CubeError
from edgefuse.hyperspectral.cube import Georeference, can_hold
from edgefuse.hyperspectral.formats.base import CubeSource, WrappedSource
from edgefuse.hyperspectral.formats.hdf5_checks import Checked, attribute, inside, text_of
from edgefuse.util.finite import finite

TABLES = "location/glt_x", "location/glt_y"
PLACE = "geotransform", "spatial_ref"
_MAX_SIDE = 1 << 16  # pixels of the map along a side
_STRIP_BYTES = 1 << 24  # of the sensor's rows that are read at a time


class LookupTable:
    """A geometry lookup table of an HDF5 file. shape: rows and columns of the map. georeference: of the map; None if it is not said."""

    def __init__(self, path: Path, file: Any) -> None:
        """Raises CubeError if the file has no table, or one of another kind."""
        self._path = path
        x, y = (inside(file, name) for name in TABLES)
        if x is None or y is None:
            raise CubeError(f"{path} has no table for orthorectification (location/glt_x and glt_y, as EMIT's granules have)")
        whole = x.dtype.kind in "iu" and y.dtype.kind in "iu"
        if not (whole and x.shape == y.shape and len(x.shape) == 2 and min(x.shape) > 0 and max(x.shape) <= _MAX_SIDE):
            raise CubeError(f"{path}: its table for orthorectification is none: glt_x is {x.shape} {x.dtype}, glt_y {y.shape} {y.dtype}")
        self._parts = Checked(path, x), Checked(path, y)
        self.shape: tuple[int, int] = x.shape
        self.georeference = _georeference(file)

    def read(self, rows: slice, columns: slice, sensor: tuple[int, int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return rows and columns of the sensor for a window of the map, -1 where there are none. Raises CubeError.

        sensor: rows and columns of the sensor's cube.
        """
        numbers = []
        for part in self._parts:
            part.check((rows, columns))
            # later versions count downwards from 0 where the value was interpolated
            numbers.append(np.abs(np.asarray(part.dataset[rows, columns], np.int64)) - 1)
        column, row = numbers
        nothing = (column < 0) | (row < 0)
        if (np.where(nothing, 0, row) >= sensor[0]).any() or (np.where(nothing, 0, column) >= sensor[1]).any():
            raise CubeError(f"{self._path}: its table for orthorectification leads out of its {sensor[0]} rows and {sensor[1]} columns")
        return np.where(nothing, -1, row), np.where(nothing, -1, column)


def _georeference(file: Any) -> Georeference | None:
    values = attribute(file, PLACE[0])
    try:
        left, a, b, top, d, e = finite(np.ravel(values) if values is not None else ())
    except (ValueError, TypeError):
        return None
    return Georeference((a, b, left, d, e, top), text_of(attribute(file, PLACE[1])) or "") if a * e - b * d else None


class OrthorectifiedSource(WrappedSource):
    """The cube `source` on the map's grid; pixels without samples hold the no-data value. Closing it closes the file."""

    def __init__(self, source: CubeSource, table: LookupTable, unkept: tuple[str, ...]) -> None:
        """unkept: of the file, besides the table. Raises CubeError if no sample can say that it is missing."""
        super().__init__(source)
        info, self._table, self.unkept = source.info, table, unkept
        self._missing = info.nodata if can_hold(info.dtype, info.nodata) else math.nan if info.dtype.kind in "fc" else None
        if self._missing is None:
            raise CubeError(f"{source.path} declares no value for missing samples, which a map grid has at its edges")
        self.info = info.like(shape=(*table.shape, info.shape[2]), georeference=table.georeference)

    @property
    def form(self) -> str:
        return f"{self._source.form}, orthorectified"

    def read(self, rows: slice, columns: slice, bands: slice) -> NDArray[Any]:
        out = np.full([s.stop - s.start for s in (rows, columns, bands)], self._missing, self.dtype)
        row, column = self._table.read(rows, columns, self._source.shape[:2])
        there = row >= 0
        if not there.any():
            return out
        left, right = int(column[there].min()), int(column[there].max()) + 1
        step = max(1, _STRIP_BYTES // ((right - left) * out.shape[2] * out.itemsize))
        first, last = int(row[there].min()), int(row[there].max())
        for top in range(first, last + 1, step):
            of_strip = there & (row >= top) & (row < top + step)
            if of_strip.any():
                # only the rows between those that are looked up
                low, high = int(row[of_strip].min()), int(row[of_strip].max()) + 1
                strip = self._source.read(slice(low, high), slice(left, right), bands)
                out[of_strip] = strip[row[of_strip] - low, column[of_strip] - left]
        return out

    def close(self) -> None:
        self._source.close()
