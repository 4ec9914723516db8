"""Reads the tiles of a cube one at a time and prepares them for coding (tile.py)."""

from __future__ import annotations

import threading

import numpy as np

from edgefuse.hyperspectral import efz
from edgefuse.hyperspectral.codec import tile
from edgefuse.hyperspectral.codec.base import Array, Cube
from edgefuse.hyperspectral.codec.outliers import check_magnitude


class CubeTiles:
    """The tiles of a cube, prepared for coding; remembers the last one. Several threads may prepare tiles, and one at a time reads."""

    def __init__(self, cube: Cube, header: efz.Header, nodata: float | None) -> None:
        self._cube, self._header, self._nodata = cube, header, nodata
        self._last: tuple[int, tile.Prepared] | None = None
        self._reading = threading.Lock()

    def __getitem__(self, number: int) -> tile.Prepared:
        last = self._last
        if last is None or last[0] != number:
            last = self._last = number, self.plain(number, outliers=True)
        return last[1]

    def samples(self, number: int) -> Array:
        """Return the samples (h, w, B) of a tile as they are."""
        with self._reading:
            return np.asarray(self._cube[self._header.place(number)]).astype(self._header.dtype, copy=False)

    def plain(self, number: int, outliers: bool = False) -> tile.Prepared:
        """Return a tile whose outliers are coded with the other samples, unless `outliers`."""
        self._last = None
        samples = self.samples(number)
        prepared = tile.prepared(samples, self._nodata, outliers)
        if self._header.count == 1 and prepared.empty:
            check_magnitude(samples, self._nodata)
        return prepared
