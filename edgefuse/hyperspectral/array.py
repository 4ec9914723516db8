"""A NumPy array as a `CubeSource`, and conversion of API arguments to one."""

from __future__ import annotations

import numbers
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import CubeError, SettingsError
from edgefuse.hyperspectral.cube import CubeInfo, can_hold
from edgefuse.hyperspectral.formats import open_cube
from edgefuse.hyperspectral.formats.base import CubeSource
from edgefuse.util.finite import finite
from edgefuse.util.uri import expand

if TYPE_CHECKING:
    from xarray import DataArray

AnyPath = str | os.PathLike[str]
AnyCube = Union[NDArray[Any], CubeSource, AnyPath, "DataArray"]


class ArraySource(CubeSource):
    """A NumPy array (H, W, B) as a `CubeSource`. name: its name in messages."""

    def __init__(self, samples: NDArray[Any], name: str, nodata: float | None = None, wavelengths: Sequence[float] | None = None) -> None:
        """Raises CubeError if `samples` is not a cube."""
        if isinstance(samples, np.ma.MaskedArray):
            raise CubeError(f"{name} is a masked array; fill masked samples with a value and pass it as nodata")
        shape = samples.shape
        if len(shape) != 3 or samples.size == 0:
            raise CubeError(f"{name} has shape {shape}; expected (rows, columns, bands), each at least 1")
        self.path = Path(name)
        try:
            known = None if wavelengths is None else finite(wavelengths)
        except (TypeError, ValueError):
            raise CubeError(f"{name}: wavelengths are not all finite numbers") from None
        self.info = CubeInfo((shape[0], shape[1], shape[2]), samples.dtype, known, nodata=nodata)
        if nodata is not None and not can_hold(self.info.dtype, nodata):
            raise CubeError(f"{name}: samples of type {self.info.dtype} can't be {nodata!r}, so none is missing; omit nodata")
        self._samples = samples

    @property
    def form(self) -> str:
        return "array"

    def read(self, rows: slice, columns: slice, bands: slice) -> NDArray[Any]:
        return np.array(self._samples[rows, columns, bands], self.info.dtype, order="C")


@contextmanager
def opened(
    cube: AnyCube, name: str, nodata: float | None = None, wavelengths: Sequence[float] | None = None, dataset: str | None = None
) -> Iterator[CubeSource]:
    """Open an array, a file or an open cube as a `CubeSource`; a file is closed at the end.

    nodata, wavelengths: metadata of an array. dataset: name of the array in a file.
    Raises CubeError if `cube` is not a cube, SettingsError if an option for arrays is given with a file or vice versa.
    """
    if isinstance(cube, np.ndarray):
        if dataset is not None:
            raise SettingsError(f"dataset={dataset!r} names an array of a file, and {name} is an array")
        yield ArraySource(cube, name, nodata, wavelengths)
        return
    if _of_xarray(cube):
        from edgefuse.hyperspectral.integrations.data_array import source_of

        if dataset is not None or wavelengths is not None:
            raise SettingsError(f"dataset and wavelengths are not for xarray's arrays; {name} has its own coordinates")
        yield source_of(cube, name)
        return
    if nodata is not None or wavelengths is not None:
        raise SettingsError(f"nodata and wavelengths are for arrays; {name} has its own metadata")
    if isinstance(cube, CubeSource):
        yield cube
    elif isinstance(cube, (str, os.PathLike)):
        with open_cube(path_of(cube), dataset) as source:
            yield source
    else:
        raise CubeError(f"{name} is {type(cube).__name__}; give a NumPy array, the path of a cube file, or what open_cube returned")


def _of_xarray(cube: object) -> bool:
    """Return whether a cube is one of xarray's objects, without importing xarray."""
    return any(base.__module__.partition(".")[0] == "xarray" for base in type(cube).__mro__)


def path_of(path: AnyPath) -> Path:
    """Return the path with ~ expanded. Raises SettingsError for bytes."""
    text = os.fspath(path)
    if not isinstance(text, str):
        raise SettingsError(f"{text!r} is bytes; give a path as text")
    return expand(text)


def check_numbers(**given: object) -> None:
    """Raise SettingsError if a keyword's value is neither None nor a number."""
    for name, value in given.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, numbers.Real)):
            raise SettingsError(f"{name} is {value!r}; give a number")
