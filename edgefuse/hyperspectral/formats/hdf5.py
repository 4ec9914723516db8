"""HDF5 files through h5py: PRISMA L2D products (`prisma`), else the dataset `cube` (H, W, B) or the only one with three axes.

The dataset's attribute `info` holds the metadata as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import CubeError, MissingDependencyError
from edgefuse.hyperspectral.cube import KINDS, CubeInfo
from edgefuse.hyperspectral.formats.base import CubeSink, CubeSource, Window

CHUNK = (16, 64, 64)  # rows, columns, bands; 128 KiB of 16-bit samples
_CACHE = 1 << 25
_OWN_ATTRIBUTES = {"info", "MATLAB_class", "MATLAB_int_decode"}
_MAX_CHUNK = 1 << 28  # bytes; HDF5 reads chunks completely into memory


def library() -> Any:
    """Import h5py. Raises MissingDependencyError."""
    try:
        import h5py
    except ImportError as e:
        raise MissingDependencyError("h5py", "reading and writing HDF5 and MATLAB v7.3 files", "'edgefuse[hdf5]'") from e
    return h5py


def opened(path: Path) -> Any:
    """Open an HDF5 file for reading. Raises CubeError."""
    h5py = library()
    try:
        return h5py.File(path, "r", rdcc_nbytes=_CACHE)
    except (OSError, RuntimeError) as e:
        raise CubeError(f"{path} is not a readable HDF5 file ({str(e)[:120]}); it may be incomplete") from None


def cubes(file: Any) -> dict[str, Any]:
    """Return the file's numeric datasets with three axes, by name."""
    h5py, datasets = library(), {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and len(item.shape or ()) == 3 and min(item.shape) > 0 and item.dtype.kind in KINDS:
            datasets[name] = item

    file.visititems(visit)
    return datasets


def unkept(file: Any, read: Collection[str], variables: Collection[str] = ()) -> tuple[str, ...]:
    """Return what is in a file besides the datasets `read`, by name, and the variables that hold their metadata."""
    h5py = library()
    others: list[str] = []
    attributes = {f"of the file: {key}" for key in file.attrs}

    def visit(name: str, item: Any) -> None:
        keys = set(item.attrs) - _OWN_ATTRIBUTES
        if isinstance(item, h5py.Dataset) and name not in read:
            if name not in variables:
                others.append(name)
        elif keys:
            attributes.update(f"of {name}: {key}" for key in keys)

    file.visititems(visit)
    lost = _listed("other datasets", others) + _listed("attributes", sorted(attributes))
    return tuple(lost)


def _listed(what: str, names: list[str]) -> list[str]:
    return [f"{what}: {', '.join(names[:8])}{f' and {len(names) - 8} more' if len(names) > 8 else ''}"] if names else []


def choose(path: Path, datasets: dict[str, Any], wanted: str | None) -> Any:
    """Return the dataset `wanted`; if None, `cube` or the only one. Raises CubeError."""
    name = (wanted or "cube").strip("/")
    if name in datasets:
        return datasets[name]
    if wanted or len(datasets) != 1:
        names = ", ".join(list(datasets)[:8]) or "none"
        raise CubeError(f"{path} has no dataset '{name}'; datasets with three axes: {names}; give --dataset NAME")
    return next(iter(datasets.values()))


def check_chunks(path: Path, dataset: Any) -> None:
    """Raise CubeError if the dataset's chunks are too large for memory."""
    if dataset.chunks and int(np.prod(dataset.chunks, dtype=object)) * dataset.dtype.itemsize > _MAX_CHUNK:
        raise CubeError(f"{path}: the chunks of {dataset.name}, {dataset.chunks}, are too large to read in windows; use h5repack")


def take(path: Path, dataset: Any, key: tuple[slice, slice, slice]) -> NDArray[Any]:
    """Read samples in the dataset's order of axes. Raises CubeError."""
    try:
        return dataset[key]
    except (OSError, RuntimeError, ValueError) as e:
        raise CubeError(f"cannot read {dataset.name} of {path} ({str(e)[:120]}); it may be incomplete") from None


def meaning(path: Path, shape: tuple[int, int, int], dtype: np.dtype[Any], text: Any) -> CubeInfo:
    """Parse metadata `text` (JSON) of a cube with this shape and type; without text, return them alone. Raises CubeError."""
    bare = CubeInfo(shape, dtype)
    if not isinstance(text, str):
        return bare
    try:
        return CubeInfo.from_json({**json.loads(text), "shape": list(shape), "dtype": bare.dtype.name})
    except (ValueError, TypeError, RecursionError, CubeError) as e:
        raise CubeError(f"{path}: 'info' of the cube can't be read: {e}") from None


class Hdf5Source(CubeSource):
    """A cube in an HDF5 file: a dataset or a PRISMA product."""

    def __init__(self, path: Path, dataset: str | None = None) -> None:
        from edgefuse.hyperspectral.formats import prisma

        self.path, self._file = path, opened(path)
        self._parts: list[tuple[Any, tuple[int, int, int], list[int]]]
        try:
            if dataset is None and (product := prisma.read(path, self._file)):
                self._name, self.info, self._parts = "PRISMA L2D", product.info, product.parts
            else:
                selected = choose(path, cubes(self._file), dataset)
                self._name = "HDF5"
                self.info = meaning(path, selected.shape, selected.dtype, selected.attrs.get("info"))
                self._parts = [(selected, (0, 1, 2), list(range(selected.shape[2])))]
            for selected, _, _ in self._parts:
                check_chunks(path, selected)
            self.unkept = unkept(self._file, [selected.name.strip("/") for selected, _, _ in self._parts])
            if self._file.userblock_size:
                self.unkept = (*self.unkept, f"{self._file.userblock_size} bytes before its HDF5 data")
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
            selected = numbers[max(0, bands.start - first) : max(0, bands.stop - first)]
            if selected:
                low = min(selected)
                window = (rows, columns, slice(low, max(selected) + 1))
                samples = take(self.path, dataset, tuple(window[axis] for axis in order))  # type: ignore[arg-type]
                position = max(0, first - bands.start)
                # argsort inverts the permutation, giving rows, columns, bands
                out[:, :, position : position + len(selected)] = samples.transpose(np.argsort(order))[:, :, [n - low for n in selected]]
            first += len(numbers)
        return out

    def close(self) -> None:
        self._file.close()


class Hdf5Sink(CubeSink):
    """Writes the dataset `cube`, uncompressed, in chunks."""

    form = "HDF5"

    userblock = 0
    turned = False  # reverse the axes, for MATLAB

    def __init__(self, path: Path, info: CubeInfo) -> None:
        super().__init__(path, info)
        h5py = library()
        self._file = h5py.File(self.part, "w", libver="earliest", userblock_size=self.userblock, rdcc_nbytes=_CACHE)
        shape = info.shape
        # equal chunks, so that the last one is nearly full
        chunk = tuple(-(-n // -(-n // c)) for c, n in zip(CHUNK, shape, strict=True))
        direction = -1 if self.turned else 1
        self._cube = self._file.create_dataset("cube", shape[::direction], info.dtype, chunks=chunk[::direction])
        self.describe(self._file, self._cube)

    def describe(self, file: Any, cube: Any) -> None:
        """Write the cube's metadata."""
        fields = self.info.as_json()
        if len(fields) > 2:
            # a variable-length string, because in HDF5's oldest format an attribute holds at most 64 KiB
            text = json.dumps(fields)
            cube.attrs.create("info", text, dtype=library().string_dtype())

    def write(self, window: Window, samples: NDArray[Any]) -> None:
        if self.turned:
            self._cube[window[2], window[1], window[0]] = samples.transpose(2, 1, 0)
        else:
            self._cube[window] = samples

    def finish(self) -> None:
        self._file.close()

    discard = finish
