"""HDF5 through h5py: PRISMA's L2D products (`prisma`), else dataset `cube` (H, W, B), or the only one of three axes; its meaning in
attribute `info` (JSON)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import CubeError, MissingDependencyError
from edgefuse.hyperspectral.cube import KINDS, CubeInfo
from edgefuse.hyperspectral.formats.base import CubeSink, CubeSource, Window

CHUNK = (16, 64, 64)  # rows, columns, bands: 128 kB of 16 bit
_CACHE = 1 << 25
_LARGEST_CHUNK = 1 << 28  # bytes; HDF5 reads a chunk whole


def library() -> Any:
    """h5py. Raises MissingDependencyError."""
    try:
        import h5py
    except ImportError as e:
        raise MissingDependencyError("h5py", "reading and writing HDF5 and MATLAB v7.3 files", "'edgefuse[hdf5]'") from e
    return h5py


def opened(path: Path) -> Any:
    """The file. Raises CubeError."""
    h5py = library()
    try:
        return h5py.File(path, "r", rdcc_nbytes=_CACHE)
    except (OSError, RuntimeError) as e:
        raise CubeError(f"{path} is no HDF5 file that can be read ({str(e)[:120]}); it may not be whole") from None


def cubes(file: Any) -> dict[str, Any]:
    """The file's datasets of numbers in three axes, by name."""
    h5py, found = library(), {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and len(item.shape or ()) == 3 and min(item.shape) > 0 and item.dtype.kind in KINDS:
            found[name] = item

    file.visititems(visit)
    return found


def choose(path: Path, found: dict[str, Any], wanted: str | None) -> Any:
    """The dataset `wanted`, `cube`, or the only one. Raises CubeError."""
    name = (wanted or "cube").strip("/")
    if name in found:
        return found[name]
    if wanted or len(found) != 1:
        named = ", ".join(list(found)[:8]) or "none"
        raise CubeError(f"{path} has no dataset '{name}'; those of three axes: {named}; give --dataset NAME")
    return next(iter(found.values()))


def check_chunks(path: Path, dataset: Any) -> None:
    """Raises CubeError for chunks that would not fit in memory."""
    if dataset.chunks and int(np.prod(dataset.chunks, dtype=object)) * dataset.dtype.itemsize > _LARGEST_CHUNK:
        raise CubeError(f"{path}: {dataset.name} lies in chunks of {dataset.chunks}, too large to read piece by piece; use h5repack")


def take(path: Path, dataset: Any, key: tuple[slice, slice, slice]) -> NDArray[Any]:
    """Samples in the dataset's own order. Raises CubeError."""
    try:
        return dataset[key]
    except (OSError, RuntimeError, ValueError) as e:
        raise CubeError(f"cannot read {dataset.name} of {path} ({str(e)[:120]}); it may not be whole") from None


def meaning(path: Path, shape: tuple[int, int, int], dtype: np.dtype[Any], text: Any) -> CubeInfo:
    """`text` (JSON) as the meaning of a cube of this shape and type. Raises CubeError."""
    plain = CubeInfo(shape, dtype)
    if not isinstance(text, str):
        return plain
    try:
        return CubeInfo.from_json({**json.loads(text), "shape": list(shape), "dtype": plain.dtype.name})
    except (ValueError, TypeError, RecursionError, CubeError) as e:
        raise CubeError(f"{path}: 'info' of the cube can't be read: {e}") from None


class Hdf5Source(CubeSource):
    """An HDF5 file."""

    def __init__(self, path: Path, dataset: str | None = None) -> None:
        from edgefuse.hyperspectral.formats import prisma

        self.path, self._file = path, opened(path)
        self._parts: list[tuple[Any, tuple[int, int, int], list[int]]]
        try:
            if dataset is None and (product := prisma.read(path, self._file)):
                self._name, self.info, self._parts = "PRISMA L2D", product.info, product.parts
            else:
                one = choose(path, cubes(self._file), dataset)
                self._name = "HDF5"
                self.info = meaning(path, one.shape, one.dtype, one.attrs.get("info"))
                self._parts = [(one, (0, 1, 2), list(range(one.shape[2])))]
            for one, _, _ in self._parts:
                check_chunks(path, one)
        except (OSError, RuntimeError, KeyError, ValueError, TypeError) as e:
            self.close()
            raise CubeError(f"{path} can't be read as a cube ({str(e)[:120]})") from None
        except BaseException:
            self.close()
            raise

    @property
    def form(self) -> str:
        return self._name

    def read(self, rows: slice, columns: slice, bands: slice) -> NDArray[Any]:
        out = np.empty([s.stop - s.start for s in (rows, columns, bands)], self.dtype)
        first = 0
        for dataset, order, numbers in self._parts:
            wanted = numbers[max(0, bands.start - first) : max(0, bands.stop - first)]
            if wanted:
                low = min(wanted)
                window = (rows, columns, slice(low, max(wanted) + 1))
                samples = take(self.path, dataset, tuple(window[axis] for axis in order))  # type: ignore[arg-type]
                at = max(0, first - bands.start)
                # np.argsort inverts the order: back to rows, columns, bands
                out[:, :, at : at + len(wanted)] = samples.transpose(np.argsort(order))[:, :, [n - low for n in wanted]]
            first += len(numbers)
        return out

    def close(self) -> None:
        self._file.close()


class Hdf5Sink(CubeSink):
    """Writes dataset `cube`, not compressed, in chunks."""

    form = "HDF5"

    userblock = 0
    turned = False  # MATLAB keeps its axes the other way round

    def __init__(self, path: Path, info: CubeInfo) -> None:
        super().__init__(path, info)
        h5py = library()
        self._file = h5py.File(self.part, "w", libver="earliest", userblock_size=self.userblock, rdcc_nbytes=_CACHE)
        shape = info.shape
        # of one size, so that the last one is not half empty
        chunk = tuple(-(-n // -(-n // c)) for c, n in zip(CHUNK, shape, strict=True))
        way = -1 if self.turned else 1
        self._cube = self._file.create_dataset("cube", shape[::way], info.dtype, chunks=chunk[::way])
        self.describe(self._file, self._cube)

    def describe(self, file: Any, cube: Any) -> None:
        """Write the cube's meaning."""
        said = self.info.as_json()
        if len(said) > 2:
            # an attribute holds 64 kB at most in HDF5's oldest form
            text = json.dumps(said)
            cube.attrs.create("info", text, dtype=library().string_dtype())

    def write(self, window: Window, samples: NDArray[Any]) -> None:
        if self.turned:
            self._cube[window[2], window[1], window[0]] = samples.transpose(2, 1, 0)
        else:
            self._cube[window] = samples

    def finish(self) -> None:
        self._file.close()

    discard = finish
