"""Samples laid down plainly in a file, in any order of axes: ENVI's BSQ, BIL and BIP, NumPy's two orders.

Bytes are read and written by offset rather than through a memory map: behind a map a file cut short, a stick pulled out or a full disk
is a signal that ends the process, here it is an error in a line; and a map of a large cube does not fit 32 bits of addresses.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import CubeError
from edgefuse.hyperspectral.formats.base import CubeSink, CubeSource, Window
from edgefuse.util.files import output_error

ROWS, COLUMNS, BANDS = 0, 1, 2
BSQ, BIL, BIP = (BANDS, ROWS, COLUMNS), (ROWS, BANDS, COLUMNS), (ROWS, COLUMNS, BANDS)
FORTRAN = (BANDS, COLUMNS, ROWS)
_RUN = 1 << 22  # bytes moved at a time, where a line is no longer
_NARROW = 4  # lines are read whole where more than a fourth of them is wanted


@dataclass(frozen=True, slots=True)
class Layout:
    """shape: (H, W, B). dtype: as it lies in the file, byte order included. order: the cube's axes from the slowest in the file to the
    fastest. offset: bytes before the first sample."""

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    order: tuple[int, int, int]
    offset: int = 0

    @property
    def end(self) -> int:
        """Bytes that the file holds up to the last sample."""
        return self.offset + math.prod(self.shape) * self.dtype.itemsize

    def runs(self, window: Sequence[slice]) -> Iterator[tuple[int, tuple[int, int, int], tuple[slice, slice, slice], slice]]:
        """The window in stretches of the file without a gap: byte offset, shape in the file's order (of whole lines along its fastest
        axis), the window's part in that order, and the part of the fastest axis that the window has."""
        n = [self.shape[axis] for axis in self.order]
        w = [window[axis] for axis in self.order]
        line = n[2] * self.dtype.itemsize
        # where the window has all of the second axis, several of the first lie together
        together = max(1, _RUN // (line * n[1])) if (w[1].start, w[1].stop) == (0, n[1]) else 1
        most = max(1, _RUN // line)
        for i in range(w[0].start, w[0].stop, together):
            outer = min(together, w[0].stop - i)
            for j in range(w[1].start, w[1].stop, most if outer == 1 else n[1]):
                middle = min(most, w[1].stop - j) if outer == 1 else n[1]
                part = slice(i - w[0].start, i - w[0].start + outer), slice(j - w[1].start, j - w[1].start + middle), slice(None)
                yield self.offset + (i * n[1] + j) * line, (outer, middle, n[2]), part, w[2]


def _bytes(samples: NDArray[Any]) -> memoryview:
    # memoryview.cast knows neither foreign byte orders nor complex numbers
    return samples.reshape(-1).view(np.uint8).data


class FlatReader:
    """Windows out of a file."""

    def __init__(self, path: Path, layout: Layout, file: Any = None) -> None:
        """file: already open, where the samples lie in no file with a name. Raises CubeError where it is too short or can't be read."""
        self._path, self._layout = path, layout
        try:
            self._file = open(path, "rb", buffering=0) if file is None else file  # noqa: SIM115
            held = os.fstat(self._file.fileno()).st_size
        except OSError as e:
            raise CubeError(f"cannot read {path}: {e.strerror}") from None
        if held < layout.end:
            self.close()
            raise CubeError(f"{path} holds {held} bytes where {layout.end} are promised; it is not whole")

    def read(self, rows: slice, columns: slice, bands: slice) -> NDArray[Any]:
        window = (rows, columns, bands)
        order, dtype = self._layout.order, self._layout.dtype
        out = np.empty([s.stop - s.start for s in window], dtype.newbyteorder("="))
        turned = out.transpose(order)
        for at, shape, part, fastest in self._layout.runs(window):
            width = fastest.stop - fastest.start
            if width * _NARROW < shape[2]:
                turned[part] = self._take_parts(at, (*shape[:2], width), shape[2], fastest.start)
            else:
                turned[part] = self._take(at, shape)[:, :, fastest]
        return out

    def _take(self, at: int, shape: tuple[int, int, int]) -> NDArray[Any]:
        """Whole lines that lie together."""
        samples = np.empty(shape, self._layout.dtype)
        self._fill(_bytes(samples), at)
        return samples

    def _take_parts(self, at: int, shape: tuple[int, int, int], line: int, first: int) -> NDArray[Any]:
        """A small part of each line, from its sample `first`."""
        samples = np.empty(shape, self._layout.dtype)
        size = samples.dtype.itemsize
        view, part = _bytes(samples), shape[2] * size
        for k in range(shape[0] * shape[1]):
            self._fill(view[k * part : (k + 1) * part], at + (k * line + first) * size)
        return samples

    def _fill(self, left: memoryview, at: int) -> None:
        try:
            while left:
                got = os.preadv(self._file.fileno(), [left], at)
                if not got:
                    raise CubeError(f"{self._path} became shorter while it was read; it is not whole")
                left, at = left[got:], at + got
        except OSError as e:
            raise CubeError(f"cannot read {self._path}: {e.strerror}") from None

    def close(self) -> None:
        self._file.close()


class FlatWriter:
    """Windows into a new file, `start` before the samples. Raises OutputError."""

    def __init__(self, path: Path, layout: Layout, start: bytes = b"") -> None:
        self._path, self._layout = path, layout
        try:
            self._file = open(path, "w+b", buffering=0)  # noqa: SIM115
            self._put(start, 0)
            os.ftruncate(self._file.fileno(), layout.end)
        except OSError as e:
            raise output_error(path, e) from None

    def write(self, window: Sequence[slice], samples: NDArray[Any]) -> None:
        layout = self._layout
        turned = samples.transpose(layout.order)
        try:
            for at, shape, part, fastest in layout.runs(window):
                piece = turned[part].astype(layout.dtype, order="C")
                if piece.shape == shape:
                    self._put(_bytes(piece), at)
                    continue
                # a part of each line
                line = shape[2] * layout.dtype.itemsize
                first = at + fastest.start * layout.dtype.itemsize
                for k, one in enumerate(piece.reshape(-1, piece.shape[2])):
                    self._put(_bytes(one), first + k * line)
        except OSError as e:
            raise output_error(self._path, e) from None

    def _put(self, data: bytes | memoryview, at: int) -> None:
        left = memoryview(data)
        while left:
            done = os.pwrite(self._file.fileno(), left, at)
            left, at = left[done:], at + done

    def close(self) -> None:
        self._file.close()


class FlatSource(CubeSource):
    """A cube whose samples lie flat in a file. A subclass sets `_reader`."""

    _reader: FlatReader

    def read(self, rows: slice, columns: slice, bands: slice) -> NDArray[Any]:
        return self._reader.read(rows, columns, bands)

    def close(self) -> None:
        self._reader.close()


class FlatSink(CubeSink):
    """Its twin for writing. A subclass sets `_writer`."""

    _writer: FlatWriter

    def write(self, window: Window, samples: NDArray[Any]) -> None:
        self._writer.write(window, samples)

    def finish(self) -> None:
        self._writer.close()

    discard = finish
