"""HDF5 files through h5py: PRISMA products (`prisma`), else the dataset `cube` or the only one with three axes, such as netCDF's.

The dataset's attribute `info` holds the metadata as JSON; without it `hdf5_conventions` reads what the file says.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import CubeError, MissingDependencyError
from edgefuse.hyperspectral import bounded_json
from edgefuse.hyperspectral.cube import KINDS, CubeInfo
from edgefuse.hyperspectral.formats import hdf5_checks, hdf5_conventions, orthorectified
from edgefuse.hyperspectral.formats.base import CubeSink, CubeSource, Window

CHUNK = (16, 64, 64)  # rows, columns, bands; 128 KiB of 16-bit samples
_CACHE = 1 << 25
_OWN_ATTRIBUTES = {"info", "MATLAB_class", "MATLAB_int_decode"}


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


def unkept(
    file: Any, read: Collection[str], variables: Collection[str] = (), attributes: Collection[str] = _OWN_ATTRIBUTES
) -> tuple[str, ...]:
    """Describe a file's contents other than the datasets `read`, by name, and the variables and attributes with their metadata."""
    h5py = library()
    others: list[str] = []
    lost = {f"of the file: {key}" for key in file.attrs if key not in attributes}

    def visit(name: str, item: Any) -> None:
        keys = set(item.attrs) - _OWN_ATTRIBUTES - set(attributes)
        if isinstance(item, h5py.Dataset) and name not in read:
            if name not in variables:
                others.append(name)
        elif keys:
            lost.update(f"of {name}: {key}" for key in keys)

    file.visititems(visit)
    return tuple(_listed("other datasets", others) + _listed("attributes", sorted(lost)))


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


def take(path: Path, checked: hdf5_checks.Checked, key: tuple[slice, slice, slice]) -> NDArray[Any]:
    """Read samples in the dataset's order of axes. Raises CubeError."""
    dataset = checked.dataset
    try:
        checked.check(key)
        return dataset[key]
    except (OSError, RuntimeError, ValueError, zlib.error) as e:
        raise CubeError(f"cannot read {dataset.name} of {path} ({str(e)[:120]}); it may be incomplete") from None


def meaning(path: Path, shape: tuple[int, int, int], dtype: np.dtype[Any], text: Any) -> CubeInfo:
    """Parse metadata `text` (JSON) of a cube with this shape and type; without text, return them alone. Raises CubeError."""
    bare = CubeInfo(shape, dtype)
    if not isinstance(text, str):
        return bare
    try:
        return CubeInfo.from_json({**bounded_json.loads(text), "shape": list(shape), "dtype": bare.dtype.name})
    except (ValueError, TypeError, CubeError) as e:
        raise CubeError(f"{path}: 'info' of the cube can't be read: {e}") from None


class Hdf5Source(CubeSource):
    """A cube in an HDF5 file: a dataset or a PRISMA product."""

    def __init__(self, path: Path, dataset: str | None = None, axes: hdf5_conventions.Order | None = None) -> None:
        """axes: the cube's axis of each axis of the dataset; None: as the file says."""
        from edgefuse.hyperspectral.formats import prisma

        self.path, self._file = path, opened(path)
        self._described: hdf5_conventions.Meaning | None = None
        self._parts: list[tuple[hdf5_checks.Checked, tuple[int, int, int], list[int]]]
        try:
            if dataset is None and axes is None and (product := prisma.read(path, self._file)):
                self._name, self.info = product.name, product.info
                self._parts = [(hdf5_checks.Checked(path, data), order, numbers) for data, order, numbers in product.parts]
                self.unkept = unkept(self._file, [data.name.strip("/") for data, _, _ in product.parts])
            else:
                self._open(choose(path, cubes(self._file), dataset), axes)
            if self._file.userblock_size:
                self.unkept = (*self.unkept, f"{self._file.userblock_size} bytes before its HDF5 data")
        except (OSError, RuntimeError, KeyError, ValueError, TypeError) as e:
            self.close()
            raise CubeError(f"{path} can't be read as a cube ({str(e)[:120]})") from None
        except BaseException:
            self.close()
            raise

    def _open(self, selected: Any, axes: hdf5_conventions.Order | None) -> None:
        """Describe the dataset that is read."""
        checked = hdf5_checks.Checked(self.path, selected)
        described = hdf5_conventions.read(self.path, self._file, selected, axes)
        text = selected.attrs.get("info")
        if isinstance(text, str):
            self.info = meaning(self.path, described.info.shape, described.info.dtype, text)
            # coordinates that EdgeFuse wrote for other programs; `info` has them all
            described.variables.update((hdf5_checks.text_of(selected.attrs.get("coordinates")) or "").split())
        else:
            self.info = described.info
        is_netcdf = "_NCProperties" in self._file.attrs or self.path.suffix.lower() in (".nc", ".nc4")
        self._name = described.program or ("netCDF" if is_netcdf else "HDF5")
        self._parts = [(checked, described.order, list(range(described.info.shape[2])))]
        self._described = described
        self.unkept = self._unkept()

    def _unkept(self, variables: Collection[str] = (), attributes: Collection[str] = ()) -> tuple[str, ...]:
        """Describe what is not read of the file; variables, attributes: names that are, besides those of the metadata."""
        described = self._described
        names = [part.dataset.name.strip("/") for part, _, _ in self._parts]
        known = _OWN_ATTRIBUTES if described is None or described.attributes is None else described.attributes
        return unkept(self._file, names, {*(described.variables if described else ()), *variables}, {*known, *attributes})

    def orthorectified(self) -> CubeSource:
        table = orthorectified.LookupTable(self.path, self._file)
        place = orthorectified.PLACE if table.georeference else ()
        return orthorectified.OrthorectifiedSource(self, table, self._unkept(orthorectified.TABLES, place))

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
                if self.dtype.kind == "u" and samples.dtype.kind == "i":
                    samples = samples.view(samples.dtype.str.replace("i", "u"))
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
    order: tuple[int, int, int] = (0, 1, 2)  # the cube's axis of each axis in the file

    def __init__(self, path: Path, info: CubeInfo) -> None:
        super().__init__(path, info)
        h5py = library()
        self._file = h5py.File(self.part, "w", libver="earliest", userblock_size=self.userblock, rdcc_nbytes=_CACHE)
        shape = info.shape
        # equal chunks, so that the last one is nearly full
        chunk = tuple(-(-n // -(-n // c)) for c, n in zip(CHUNK, shape, strict=True))
        in_file = [tuple(sizes[axis] for axis in self.order) for sizes in (shape, chunk)]
        self._cube = self._file.create_dataset("cube", in_file[0], info.dtype, chunks=in_file[1])
        self.describe(self._file, self._cube)

    def describe(self, file: Any, cube: Any) -> None:
        """Write the cube's metadata."""
        fields = self.info.as_json()
        if len(fields) > 2:
            # a variable-length string, because in HDF5's oldest format an attribute holds at most 64 KiB
            text = json.dumps(fields)
            cube.attrs.create("info", text, dtype=library().string_dtype())

    def write(self, window: Window, samples: NDArray[Any]) -> None:
        self._cube[tuple(window[axis] for axis in self.order)] = samples.transpose(self.order)

    def finish(self) -> None:
        self._file.close()

    discard = finish
