"""Base classes of cube files: `CubeSource` reads and `CubeSink` writes windows, in constant memory."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import CubeError
from edgefuse.hyperspectral.cube import CubeInfo
from edgefuse.util.files import appear, check_file, check_space, output_error
from edgefuse.util.unfinished_files import part_of, remove_abandoned_once

Window = tuple[slice, slice, slice]  # rows, columns, bands; each with start and stop, without step


class CubeSource(ABC):
    """A cube that is read in windows. Slices like a NumPy array: `source[10:20, :, 5]`, also with steps and integers.

    Not thread-safe. Reads raise CubeError if the file does not hold what its header promises.
    """

    info: CubeInfo
    path: Path
    unkept: tuple[str, ...] = ()
    """Contents of the file other than `info` and the samples, which a conversion loses; a few words for each."""
    palette = False
    """Whether the file maps samples to colours, as those of classes do."""

    likely_alpha = 0
    """Number, from 1, of a band that may say which pixels are valid, though the file does not declare so; 0: none."""

    def masked(self) -> CubeSource:
        """Return the same file anew, with the band `likely_alpha` as a mask instead of a band."""
        raise NotImplementedError

    def orthorectified(self) -> CubeSource:
        """Return the cube on a map's grid, by the file's lookup table; closing it closes the file. Raises CubeError without one."""
        raise CubeError(f"{self.path} has no table for orthorectification, as EMIT's granules have")

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
        """Files of the cube; the samples' file comes first."""
        return (self.path,)

    @property
    def form(self) -> str:
        """Human-readable name of the format."""
        return type(self).__name__

    @abstractmethod
    def read(self, rows: slice, columns: slice, bands: slice) -> NDArray[Any]:
        """Return a new C-contiguous array (rows, columns, bands) of `dtype`. The slices have start and stop, but no step."""

    def __getitem__(self, key: Any) -> NDArray[Any]:
        window, inner = _window(key, self.shape)
        empty = any(s.start == s.stop for s in window)
        return (np.empty([s.stop - s.start for s in window], self.dtype) if empty else self.read(*window))[inner]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        whole = self[:, :, :]
        return whole if dtype is None else whole.astype(dtype, copy=False)

    def close(self) -> None:
        """Release files; safe to call twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class WrappedSource(CubeSource):
    """A cube that is read through another one, which its owner closes: the same file, with other samples or metadata."""

    def __init__(self, source: CubeSource) -> None:
        self._source = source
        self.info, self.path, self.unkept, self.palette = source.info, source.path, source.unkept, source.palette

    @property
    def form(self) -> str:
        return self._source.form

    @property
    def files(self) -> tuple[Path, ...]:
        return self._source.files


class ReportingSource(WrappedSource):
    """A cube that calls `report` after each read."""

    def __init__(self, source: CubeSource, report: Callable[[], None]) -> None:
        super().__init__(source)
        self._report = report

    def read(self, rows: slice, columns: slice, bands: slice) -> NDArray[Any]:
        samples = self._source.read(rows, columns, bands)
        self._report()
        return samples


class CubeSink(ABC):
    """A cube that is written in windows, in any order; windows never written hold zero or the no-data value.

    `close` makes the complete file appear atomically. A context manager that closes, or aborts after an exception. Not thread-safe.
    """

    def __init__(self, path: Path, info: CubeInfo) -> None:
        """Raises CubeError if the format can't hold the cube, OutputError if the file can't be written."""
        check_file(path)
        remove_abandoned_once(path.parent)
        # report a full disk now rather than after an hour
        check_space(path.parent, info.nbytes)
        self.path, self.info = path, info
        self.part = part_of(path)

    @property
    def files(self) -> tuple[Path, ...]:
        """Files to write; the samples' file comes first."""
        return (self.path,)

    @property
    def form(self) -> str:
        """Human-readable name of the format."""
        return type(self).__name__

    @abstractmethod
    def write(self, window: Window, samples: NDArray[Any]) -> None:
        """Write samples (rows, columns, bands) of the cube's type to `window`. Raises OutputError."""

    def __setitem__(self, key: Any, samples: Any) -> None:
        window, inner = _window(key, self.info.shape)
        if any(isinstance(item, slice) and item.step not in (None, 1) for item in inner):
            raise IndexError("a cube is written in windows without steps")
        block = np.empty([s.stop - s.start for s in window], self.info.dtype)
        block[inner] = samples
        if block.size:
            self.write(window, block)

    @abstractmethod
    def finish(self) -> None:
        """Write remaining data to `part` and close it. Raises OutputError."""

    def discard(self) -> None:
        """Close `part` without finishing it."""

    def publish(self) -> None:
        """Make the complete file `part` appear as `path`, with its metadata beside it. Raises OSError."""
        appear(self.part, self.path)

    def close(self) -> None:
        """Finish the file and make it appear. If that fails, keeps an existing file and raises OutputError."""
        try:
            self.finish()
            self.publish()
        except OSError as e:
            self.abort()
            raise output_error(self.path, e) from None
        except BaseException:
            self.abort()
            raise

    def abort(self) -> None:
        """Delete the unfinished file; safe to call twice."""
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
    """Convert a basic NumPy index to the smallest window that contains it and the index within that window."""
    items = key if isinstance(key, tuple) else (key,)
    if Ellipsis in items:
        position = items.index(Ellipsis)
        items = items[:position] + (slice(None),) * (3 - len(items) + 1) + items[position + 1 :]
    if len(items) > 3:
        raise IndexError(f"a cube has 3 axes, but {len(items)} were indexed")
    window: list[slice] = []
    inner: list[Any] = []
    for item, size in zip(items + (slice(None),) * (3 - len(items)), shape, strict=True):
        if isinstance(item, slice):
            selected = range(*item.indices(size))
            first, last = (min(selected[0], selected[-1]), max(selected[0], selected[-1]) + 1) if selected else (0, 0)
            window.append(slice(first, last))
            inner.append(slice(None, None, item.step) if selected else slice(0))
        else:
            index = item.__index__()
            if not -size <= index < size:
                raise IndexError(f"index {index} is out of bounds for an axis of {size}")
            window.append(slice(index % size, index % size + 1))
            inner.append(0)
    return (window[0], window[1], window[2]), tuple(inner)
