"""The order of a cube's axes in a file, as a user names it: for arrays whose file does not say which axis is which."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import CubeError, SettingsError
from edgefuse.hyperspectral.cube import PER_BAND
from edgefuse.hyperspectral.formats.base import CubeSource, WrappedSource
from edgefuse.hyperspectral.formats.hdf5_conventions import Order, role_of


def parsed(text: str) -> Order:
    """Return the cube's axis of each axis in the file for a text such as "bands,rows,columns". Raises SettingsError.

    Other usual names are known, too: lines, samples, y, x, wavelength.
    """
    roles = [role_of(name.strip()) for name in text.split(",")]
    if sorted(role for role in roles if role is not None) != [0, 1, 2] or len(roles) != 3:
        raise SettingsError(f"axes '{text[:40]}': expected rows, columns and bands in the file's order, as bands,rows,columns")
    first, second, third = (role for role in roles if role is not None)
    return first, second, third


class AxesSource(WrappedSource):
    """A cube whose axes are in another order than its reader takes them to be; it closes the file."""

    def __init__(self, source: CubeSource, order: Order) -> None:
        """Raises CubeError if the file describes its bands or its place, and with it says which axis is which."""
        super().__init__(source)
        info = source.info
        if info.georeference is not None or any(getattr(info, name) is not None for name in PER_BAND):
            raise CubeError(f"{source.path} describes its bands or its place, so its axes are known; omit --axes")
        self._order, self._back = order, tuple(order.index(axis) for axis in range(3))
        height, width, bands = (source.shape[axis] for axis in self._back)
        self.info = info.like(shape=(height, width, bands))

    def read(self, rows: slice, columns: slice, bands: slice) -> NDArray[Any]:
        window = rows, columns, bands
        first, second, third = (window[axis] for axis in self._order)
        return np.ascontiguousarray(self._source.read(first, second, third).transpose(self._back))

    def close(self) -> None:
        self._source.close()
