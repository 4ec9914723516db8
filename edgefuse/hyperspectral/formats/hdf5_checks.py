"""Checks of an HDF5 dataset before HDF5 reads from it: no samples in other files, and chunks that are no larger than they say.

HDF5 inflates a chunk until its stream ends, whatever the chunk's size, and follows links to any file that this process may read.
"""

from __future__ import annotations

import logging
import re
import zlib
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import CubeError

_MAX_CHUNK = 1 << 28  # bytes; HDF5 reads chunks completely into memory
_DEFLATE, _FLETCHER32, _LZF = 1, 3, 32000  # numbers of filters, in the file format
_SLACK = 4096  # bytes that compression may add to a chunk, besides a thousandth
_MAX_RATIO = {_DEFLATE: 1032, _LZF: 90}  # largest ratio of a filter's output to its input
_HARMLESS = 1 << 25  # bytes; what can't exceed it is not checked
_PIECE = 1 << 16
_MAX_ATTRIBUTE = 1 << 16  # bytes
_MAX_BANDS = 65535
_PLAIN = "wavelength", "wavelengths", "fwhm"  # names that come before longer ones
_logger = logging.getLogger(__name__)
_MAX_SIDE = 1 << 24


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

    def check(self, key: tuple[slice, ...]) -> None:
        """Check the chunks of a window. Raises CubeError, and h5py's errors for a damaged file."""
        chunks = self.dataset.chunks
        if not chunks or not self._packing:
            return
        for place in product(*(range(s.start // c * c, s.stop, c) for s, c in zip(key, chunks, strict=True))):
            if place not in self._seen:
                self._check_chunk(place)
                self._seen.add(place)

    def _check_chunk(self, place: tuple[int, ...]) -> None:
        stored = self.dataset.id.get_chunk_info_by_coord(place)
        if not stored.size:
            return
        most = self._bytes + self._bytes // 1000 + _SLACK
        fits = stored.size <= most
        if fits and stored.size * _MAX_RATIO[self._packing] > max(_HARMLESS, most):
            # only one stream can be looked into without being unpacked as a whole
            fits = self._packing == _DEFLATE and inflated(self.dataset.id.read_direct_chunk(place)[1], self._checksum) <= most
        if not fits:
            raise CubeError(f"{self._path}: a chunk of {self.dataset.name} unpacks to more than its size; the file is damaged")


def inflated(data: bytes, checksum: bool) -> int:
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


def attribute(item: Any, name: str) -> Any:
    """Return an attribute of at most 64 KiB; None if there is none, or if it can't be read."""
    try:
        attribute = item.attrs.get_id(name)
        return item.attrs[name] if attribute.get_storage_size() <= _MAX_ATTRIBUTE else None
    except (KeyError, OSError, RuntimeError, TypeError, ValueError, UnicodeDecodeError):
        return None


def text_of(value: Any) -> str | None:
    """Return the text of an attribute that is one text or one number; None for anything else."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.ravel()[0]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, (str, int, float, np.integer, np.floating)):
        return str(value)
    return None


class Vectors:
    """The vectors of numbers of a file, one for each band or for each row or column at most, by name."""

    def __init__(self, path: Path, file: Any) -> None:
        import h5py

        self._path, self._found = path, dict[str, Any]()

        def visit(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset) and item.ndim == 1 and 0 < item.shape[0] <= _MAX_BANDS and item.dtype.kind in "uif":
                self._found[name] = item

        file.visititems(visit)

    def __getitem__(self, name: str) -> Any:
        return self._found[name]

    def items(self) -> list[tuple[str, Any]]:
        """Return names and datasets."""
        return list(self._found.items())

    def nearest(self, words: re.Pattern[str], count: int, dataset: str, dimension: Any) -> str:
        """Return the name of the vector of `count` numbers whose name contains `words` and that belongs to `dataset`; "" if none is clear.

        dimension: dimension scale of the axis, or None. It comes first, then what has this dimension, then what is in the nearest group.
        """
        folder = dataset.strip("/").split("/")[:-1]
        ranked: dict[tuple[Any, ...], list[str]] = {}
        for name, item in self._found.items():
            *place, last = name.split("/")
            if len(item) == count and words.search(last):
                common = next((n for n, (a, b) in enumerate(zip(place, folder, strict=False)) if a != b), min(len(place), len(folder)))
                apart = dimension is None or not len(item.dims[0]) or item.dims[0][0] != dimension
                rank = (item != dimension, apart, -common, len(place), last.lower() not in _PLAIN)
                ranked.setdefault(rank, []).append(name)
        best = ranked[min(ranked)] if ranked else []
        if len(best) > 1:
            _logger.warning("%s: %s may belong to %s; none is read", self._path, " and ".join(best[:4]), dataset)
        return best[0] if len(best) == 1 else ""

    def read(self, name: str) -> NDArray[Any]:
        """Return a vector's numbers. Raises CubeError."""
        return self._numbers(self._found[name])

    def coordinate(self, item: Any) -> NDArray[np.float64] | None:
        """Return the numbers of a coordinate variable of any length up to 16 million; None if it has none."""
        if item.ndim != 1 or not 0 < item.shape[0] <= _MAX_SIDE or item.dtype.kind not in "uif":
            return None
        return self._numbers(item).astype(np.float64)

    def _numbers(self, item: Any) -> NDArray[Any]:
        key = (slice(0, item.shape[0]),)
        Checked(self._path, item).check(key)
        numbers: NDArray[Any] = item[key]
        return numbers
