"""`xarray.open_dataset("x.efz", engine="edgefuse")`: an .efz file as a dataset that is read lazily, tile by tile.

xarray finds this module by the entry point `xarray.backends`. The dataset has the variable `cube` (wavelength or band, y, x), described by
the CF conventions (cf.py), and its chunks are the file's tiles.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xarray import Dataset, Variable, conventions
from xarray.backends import BackendArray, BackendEntrypoint
from xarray.core import indexing

from edgefuse.errors import CubeError
from edgefuse.hyperspectral.array import path_of
from edgefuse.hyperspectral.cf import CUBE, described
from edgefuse.hyperspectral.efz_source import EfzSource

Key = tuple[int | slice, ...]


class SourcePool:
    """Open .efz files of one path: each thread that reads borrows one, so that threads decode at the same time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._idle: list[EfzSource] = []
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[SourcePool], tuple[Path]]:
        """Pickle the path: another process opens the file itself."""
        return SourcePool, (self.path,)

    @contextmanager
    def borrowed(self) -> Iterator[EfzSource]:
        """Lend an open file. Raises CubeError."""
        with self._lock:
            source = self._idle.pop() if self._idle else None
        source = source or EfzSource(self.path)
        try:
            yield source
        finally:
            with self._lock:
                self._idle.append(source)

    def close(self) -> None:
        """Close the files that nobody borrows; a later read opens the file again."""
        with self._lock:
            idle, self._idle = self._idle, []
        for source in idle:
            source.close()

    def __del__(self) -> None:
        """Close the files of a dataset that nobody closed."""
        if hasattr(self, "_lock"):
            self.close()


class EfzArray(BackendArray):  # type: ignore[misc]
    """The samples (bands, rows, columns) of an .efz file as they are stored, read when they are indexed."""

    def __init__(self, pool: SourcePool, shape: tuple[int, int, int], dtype: np.dtype[Any]) -> None:
        """shape: rows, columns, bands."""
        self._pool, self.shape, self.dtype = pool, (shape[2], shape[0], shape[1]), dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> NDArray[Any]:
        found: NDArray[Any] = indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.BASIC, self._read)
        return found

    def _read(self, key: Key) -> NDArray[Any]:
        bands, rows, columns = (slice(k, k + 1) if isinstance(k, (int, np.integer)) else k for k in key)
        with self._pool.borrowed() as source:
            part = source[rows, columns, bands].transpose(2, 0, 1)
        return part[tuple(slice(None) if isinstance(k, slice) else 0 for k in key)]


class EfzBackend(BackendEntrypoint):  # type: ignore[misc]
    """xarray's backend `edgefuse`."""

    description = "Hyperspectral cubes compressed by EdgeFuse (.efz)"
    url = "https://edgefuse.github.io/edgefuse/how-to/xarray/"
    open_dataset_parameters = (
        "filename_or_obj", "drop_variables", "mask_and_scale", "decode_times", "decode_timedelta", "use_cftime", "concat_characters",
        "decode_coords",
    )  # fmt: skip

    def guess_can_open(self, filename_or_obj: object) -> bool:
        """Return whether the name ends in .efz."""
        return isinstance(filename_or_obj, (str, os.PathLike)) and os.fspath(filename_or_obj).lower().endswith(".efz")

    def open_dataset(
        self, filename_or_obj: Any, *, drop_variables: str | Iterable[str] | None = None, mask_and_scale: bool = True,
        decode_times: object = None, decode_timedelta: object = None, use_cftime: object = None, concat_characters: object = None,
        decode_coords: object = None,
    ) -> Dataset:  # fmt: skip
        """Open an .efz file, which must be a path. Raises CubeError.

        mask_and_scale: missing samples become NaN, and samples times the scale plus the offset; False: samples as they are stored, with
        `_FillValue`, `scale_factor` and `add_offset` as attributes. The other decoders have nothing to decode in an .efz file.
        """
        if not isinstance(filename_or_obj, (str, os.PathLike)):
            raise CubeError(f"{type(filename_or_obj).__name__} is no path; the engine edgefuse opens .efz files by their paths")
        pool = SourcePool(path_of(filename_or_obj))
        with pool.borrowed() as source:
            info, tile = source.info, source.tile
        found = described(info)
        lazy = indexing.LazilyIndexedArray(EfzArray(pool, info.shape, info.dtype))
        encoding = {
            "source": str(pool.path),
            "original_shape": (info.shape[2], *info.shape[:2]),
            "preferred_chunks": dict(zip(found.dims, (info.shape[2], *tile), strict=True)),
        }
        variables = {CUBE: Variable(found.dims, lazy, found.attributes, encoding)}
        variables |= {name: Variable(c.dims, c.values, c.attributes) for name, c in found.coordinates.items()}
        decoded, attributes, _ = conventions.decode_cf_variables(
            variables, found.texts, mask_and_scale=mask_and_scale, decode_times=False, decode_coords="all", drop_variables=drop_variables
        )
        dataset = Dataset(decoded, attrs=attributes).set_coords([name for name in found.coordinates if name in decoded])
        dataset.encoding["source"] = str(pool.path)
        dataset.set_close(pool.close)
        return dataset
