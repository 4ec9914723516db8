"""Checks of an HDF5 dataset before HDF5 reads from it: no samples in other files, and chunks that are no larger than they say.

HDF5 inflates a chunk until its stream ends, whatever the chunk's size, and follows links to any file that this process may read.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np

from edgefuse.errors import CubeError

_MAX_CHUNK = 1 << 28  # bytes; HDF5 reads chunks completely into memory
_DEFLATE, _FLETCHER32, _LZF = 1, 3, 32000  # numbers of filters, in the file format
_SLACK = 4096  # bytes that compression may add to a chunk, besides a thousandth
_MAX_RATIO = {_DEFLATE: 1032, _LZF: 90}  # largest ratio of a filter's output to its input
_HARMLESS = 1 << 25  # bytes; what can't exceed it is not checked
_PIECE = 1 << 16


def inside(file: Any, path: str) -> Any:
    """Return the object at `path` of an open file, or None; links to other files and soft links are not followed."""
    import h5py

    item = file
    for name in path.split("/"):
        if not isinstance(item, h5py.Group) or not isinstance(item.get(name, getlink=True), h5py.HardLink):
            return None
        item = item[name]
    return item


class Checked:
    """A dataset whose chunks are checked before they are read, each once."""

    def __init__(self, path: Path, dataset: Any) -> None:
        """Raises CubeError if its samples lie in another file, or its chunks are too large for memory."""
        self._path, self.dataset = path, dataset
        if dataset.external or dataset.is_virtual:
            raise CubeError(f"{path}: the samples of {dataset.name} lie in other files, which are not read; copy them into one: h5repack")
        chunks = dataset.chunks
        self._bytes = int(np.prod(chunks, dtype=object)) * dataset.dtype.itemsize if chunks else 0
        if self._bytes > _MAX_CHUNK:
            raise CubeError(f"{path}: the chunks of {dataset.name}, {chunks}, are too large to read in windows; use h5repack")
        created = dataset.id.get_create_plist()
        filters = [created.get_filter(k)[0] for k in range(created.get_nfilters())]
        self._checksum = _FLETCHER32 in filters
        packing = [f for f in filters if f in _MAX_RATIO]
        if len(packing) > 1 or (packing and packing[0] != [f for f in filters if f != _FLETCHER32][-1]):
            raise CubeError(f"{path}: the chunks of {dataset.name} are compressed in an unusual way; use h5repack")
        self._packing = packing[0] if packing else 0
        self._seen: set[tuple[int, ...]] = set()

    def check(self, key: tuple[slice, slice, slice]) -> None:
        """Check the chunks of a window. Raises CubeError, and what h5py raises for a damaged file."""
        chunks = self.dataset.chunks
        if not chunks or not self._packing:
            return
        steps = [range(s.start // c * c, s.stop, c) for s, c in zip(key, chunks, strict=True)]
        for i in steps[0]:
            for j in steps[1]:
                for k in steps[2]:
                    if (i, j, k) not in self._seen:
                        self._check_chunk((i, j, k))
                        self._seen.add((i, j, k))

    def _check_chunk(self, place: tuple[int, ...]) -> None:
        stored = self.dataset.id.get_chunk_info_by_coord(place)
        if not stored.size:
            return
        most = self._bytes + self._bytes // 1000 + _SLACK
        fits = stored.size <= most
        if fits and stored.size * _MAX_RATIO[self._packing] > max(_HARMLESS, most):
            # only one stream can be looked into without being unpacked as a whole
            fits = self._packing == _DEFLATE and _inflated(self.dataset.id.read_direct_chunk(place)[1], self._checksum) <= most
        if not fits:
            raise CubeError(f"{self._path}: a chunk of {self.dataset.name} unpacks to more than its size; the file is damaged")


def _inflated(data: bytes, checksum: bool) -> int:
    """Return the size that a deflated chunk unpacks to, in constant memory."""
    stream, total = zlib.decompressobj(), 0
    rest = data[:-4] if checksum else data
    while not stream.eof:
        piece = stream.decompress(rest, _PIECE)
        total += len(piece)
        rest = stream.unconsumed_tail
        if not piece and not rest:
            break
        if total > _MAX_CHUNK + _MAX_CHUNK // 1000 + _SLACK:
            break
    return total
