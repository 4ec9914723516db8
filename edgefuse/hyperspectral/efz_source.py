"""An .efz file as a cube that is read in windows: only the tiles that a window touches are read and decoded."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import CubeError, InputError
from edgefuse.hyperspectral import efz
from edgefuse.hyperspectral.compressed_reader import Compressed
from edgefuse.hyperspectral.formats.base import CubeSource
from edgefuse.util.blas import one_blas_thread

_KEPT_BYTES = 1 << 26  # of decoded tiles that are kept for the next window, unless one is larger


class EfzSource(CubeSource):
    """An .efz file. Opening it reads its header and its index; a window reads its tiles."""

    form = "efz"

    def __init__(self, path: Path, dataset: str | None = None) -> None:
        """Raises CubeError if it is no .efz file, or its index is damaged."""
        if dataset is not None:
            raise CubeError(f"{path}: an .efz file holds one cube; omit --dataset")
        self.path = path
        self._efz = Compressed(path)
        self.info = self._efz.info
        self._kept: OrderedDict[int, NDArray[Any]] = OrderedDict()
        self.bytes_read = 0
        """Bytes of tiles that were read."""
        try:
            offsets = efz.offsets(self._efz.file)
        except OSError as e:
            self.close()
            raise CubeError(f"cannot read {path}: {e.strerror}") from None
        if offsets is None or len(offsets) != self._efz.header.count:
            self.close()
            raise CubeError(f"{path}: its index is damaged, so windows can't be read; decode all of it: edgefuse decompress --keep-intact")
        self._offsets = offsets

    @property
    def tile(self) -> tuple[int, int]:
        """Rows and columns of a tile, which is what is decoded at once."""
        return self._efz.header.largest_tile

    def read(self, rows: slice, columns: slice, bands: slice) -> NDArray[Any]:
        header = self._efz.header
        out = np.empty([s.stop - s.start for s in (rows, columns, bands)], self.dtype)
        for i in range(rows.start // header.tile[0], -(-rows.stop // header.tile[0])):
            for j in range(columns.start // header.tile[1], -(-columns.stop // header.tile[1])):
                number = i * header.grid[1] + j
                place = header.place(number)
                into, of = zip(*(_overlap(wanted, tile) for wanted, tile in zip((rows, columns), place, strict=True)), strict=True)
                out[into] = self._tile(number)[(*of, bands)]
        return out

    def _tile(self, number: int) -> NDArray[Any]:
        """Return a decoded tile (h, w, B). Raises CubeError if it is damaged."""
        if number not in self._kept:
            try:
                payload = efz.payload_at(self._efz.file, self._efz.header, number, self._offsets[number])
                self.bytes_read += len(payload)
                with one_blas_thread():
                    samples = self._efz.decoded(number, payload)
            except InputError as e:
                raise CubeError(f"{self.path}: tile {number} is damaged ({e}); decompress --keep-intact writes the others") from None
            except OSError as e:
                raise CubeError(f"cannot read {self.path}: {e.strerror}") from None
            while self._kept and sum(t.nbytes for t in self._kept.values()) + samples.nbytes > _KEPT_BYTES:
                self._kept.popitem(last=False)
            self._kept[number] = samples
        self._kept.move_to_end(number)
        return self._kept[number]

    def close(self) -> None:
        self._efz.close()


def _overlap(wanted: slice, tile: slice) -> tuple[slice, slice]:
    """Return where the overlap of two ranges lies in `wanted`, and where in `tile`."""
    start, stop = max(wanted.start, tile.start), min(wanted.stop, tile.stop)
    return slice(start - wanted.start, stop - wanted.start), slice(start - tile.start, stop - tile.start)
