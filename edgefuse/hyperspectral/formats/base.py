"""What a cube file is to all else: windows out of a `CubeSource`, windows into a `CubeSink`, in constant memory."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from edgefuse.hyperspectral.cube import CubeInfo
from edgefuse.util.files import appear, check_file, check_space, output_error, part_of

Window = tuple[slice, slice, slice]  # rows, columns, bands: start, stop and no step


class CubeSource(ABC):
    """A cube that is read a window at a time. Slices as a NumPy array does: `source[10:20, :, 5]`, also with steps and integers.

    Not thread-safe. Every read raises CubeError where the file can't give what its header promised.
    """

    info: CubeInfo
    path: Path

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.info.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.info.dtype

    @property
    def nbytes(self) -> int:
        return self.info.nbytes

    ndim = 3

    @property
    def files(self) -> tuple[Path, ...]:
        """What the cube is made of; the samples' file first."""
        return (self.path,)

    @property
    def form(self) -> str:
        """The format in words."""
        return type(self).__name__

    @abstractmethod
    def read(self, rows: slice, columns: slice, bands: slice) -> NDArray[Any]:
        """A new array (rows, columns, bands), C order, of `dtype`; the slices have start and stop, and no step."""

    def __getitem__(self, key: Any) -> NDArray[Any]:
        window, rest = _window(key, self.shape)
        empty = any(s.start == s.stop for s in window)
        return (np.empty([s.stop - s.start for s in window], self.dtype) if empty else self.read(*window))[rest]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        whole = self[:, :, :]
        return whole if dtype is None else whole.astype(dtype, copy=False)

    def close(self) -> None:
        """Release files; safe to call twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class CubeSink(ABC):
    """A cube that is written a window at a time, in any order; windows never written are zero or no data. It appears whole with
    `close`, or not at all.

    A context manager that closes, or after an exception aborts. Not thread-safe.
    """

    def __init__(self, path: Path, info: CubeInfo) -> None:
        """Raises CubeError where the format can't hold such a cube, OutputError where it can't be written."""
        check_file(path)
        # known now, rather than after an hour
        check_space(path.parent, info.nbytes)
        self.path, self.info = path, info
        self.part = part_of(path)

    @property
    def files(self) -> tuple[Path, ...]:
        """What is written; the samples' file first."""
        return (self.path,)

    @property
    def form(self) -> str:
        """The format in words."""
        return type(self).__name__

    @abstractmethod
    def write(self, window: Window, samples: NDArray[Any]) -> None:
        """samples: (rows, columns, bands) of the window, of the cube's type. Raises OutputError."""

    def __setitem__(self, key: Any, samples: Any) -> None:
        window, rest = _window(key, self.info.shape)
        if any(isinstance(r, slice) and r.step not in (None, 1) for r in rest):
            raise IndexError("a cube is written in windows, without steps")
        whole = np.empty([s.stop - s.start for s in window], self.info.dtype)
        whole[rest] = samples
        if whole.size:
            self.write(window, whole)

    @abstractmethod
    def finish(self) -> None:
        """Write what is left to `part`, and close it. Raises OutputError."""

    def discard(self) -> None:
        """Close `part` without finishing it."""

    def beside(self) -> None:
        """Write what belongs beside the samples' file, just before and after it appears."""

    def close(self) -> None:
        """Make the file appear. Raises OutputError; then nothing has appeared and what was there is still there."""
        try:
            self.finish()
            appear(self.part, self.path)
            self.beside()
        except OSError as e:
            self.abort()
            raise output_error(self.path, e) from None
        except BaseException:
            self.abort()
            raise

    def abort(self) -> None:
        """Leave nothing behind; safe to call twice."""
        with contextlib.suppress(Exception):
            self.discard()
        with contextlib.suppress(OSError):
            self.part.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()


def _window(key: Any, shape: tuple[int, int, int]) -> tuple[Window, tuple[Any, ...]]:
    """NumPy's basic index as the smallest window that holds it, and what is to be taken of that window."""
    keys = key if isinstance(key, tuple) else (key,)
    if Ellipsis in keys:
        at = keys.index(Ellipsis)
        keys = keys[:at] + (slice(None),) * (3 - len(keys) + 1) + keys[at + 1 :]
    if len(keys) > 3:
        raise IndexError(f"a cube has 3 axes, {len(keys)} were indexed")
    window: list[slice] = []
    rest: list[Any] = []
    for k, n in zip(keys + (slice(None),) * (3 - len(keys)), shape, strict=True):
        if isinstance(k, slice):
            taken = range(*k.indices(n))
            first, last = (min(taken[0], taken[-1]), max(taken[0], taken[-1]) + 1) if taken else (0, 0)
            window.append(slice(first, last))
            rest.append(slice(None, None, k.step) if taken else slice(0))
        else:
            index = k.__index__()
            if not -n <= index < n:
                raise IndexError(f"index {index} is out of an axis of {n}")
            window.append(slice(index % n, index % n + 1))
            rest.append(0)
    return (window[0], window[1], window[2]), tuple(rest)
