"""Uncompressed samples in a file, in any order of axes: ENVI's BSQ, BIL and BIP, NumPy's C and Fortran order.

Files are read and written at offsets, not through a memory map: with a map, a truncated file, a removed drive or a full disk kills the
process with a signal instead of raising an error, and a large cube does not fit into a 32-bit address space.
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
_TRANSFER = 1 << 22  # bytes per transfer, unless a line is longer
_NARROW = 4  # read whole lines if at least 1 / _NARROW of them is requested


@dataclass(frozen=True, slots=True)
class Layout:
    """Layout of a cube's samples in a file.

    shape: (H, W, B). dtype: sample type with the file's byte order. order: axes of the cube, from the slowest to the fastest varying in
    the file. offset: bytes before the first sample.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    order: tuple[int, int, int]
    offset: int = 0

    @property
    def end(self) -> int:
        """File offset after the last sample."""
        return self.offset + math.prod(self.shape) * self.dtype.itemsize

    def runs(self, window: Sequence[slice]) -> Iterator[tuple[int, tuple[int, int, int], tuple[slice, slice, slice], slice]]:
        """Split a window into contiguous runs of whole lines along the file's fastest axis.

        Yields byte offset, shape in file order, the corresponding part of the window in file order, and the window's slice of the fastest
        axis.
        """
        sizes = [self.shape[axis] for axis in self.order]
        slices = [window[axis] for axis in self.order]
        line = sizes[2] * self.dtype.itemsize
        # a window that spans the second axis is contiguous over several steps of the first
        outer_step = max(1, _TRANSFER // (line * sizes[1])) if (slices[1].start, slices[1].stop) == (0, sizes[1]) else 1
        lines_per_run = max(1, _TRANSFER // line)
        for i in range(slices[0].start, slices[0].stop, outer_step):
            outer = min(outer_step, slices[0].stop - i)
            for j in range(slices[1].start, slices[1].stop, lines_per_run if outer == 1 else sizes[1]):
                middle = min(lines_per_run, slices[1].stop - j) if outer == 1 else sizes[1]
                part = (
                    slice(i - slices[0].start, i - slices[0].start + outer),
                    slice(j - slices[1].start, j - slices[1].start + middle),
                    slice(None),
                )
                yield self.offset + (i * sizes[1] + j) * line, (outer, middle, sizes[2]), part, slices[2]


def _bytes(samples: NDArray[Any]) -> memoryview:
    # memoryview.cast supports neither foreign byte orders nor complex numbers
    return samples.reshape(-1).view(np.uint8).data


class FlatReader:
    """Reads windows of a file."""

    def __init__(self, path: Path, layout: Layout, file: Any = None) -> None:
        """file: an open file to read instead of `path`. Raises CubeError if it is too short or can't be read."""
        self._path, self._layout = path, layout
        try:
            self._file = open(path, "rb", buffering=0) if file is None else file  # noqa: SIM115
            size = os.fstat(self._file.fileno()).st_size
        except OSError as e:
            raise CubeError(f"cannot read {path}: {e.strerror}") from None
        if size < layout.end:
            self.close()
            raise CubeError(f"{path} holds {size} bytes, but its header promises {layout.end}; it is incomplete")

    def read(self, rows: slice, columns: slice, bands: slice) -> NDArray[Any]:
        window = (rows, columns, bands)
        order, dtype = self._layout.order, self._layout.dtype
        out = np.empty([s.stop - s.start for s in window], dtype.newbyteorder("="))
        in_file_order = out.transpose(order)
        for offset, shape, part, fastest in self._layout.runs(window):
            width = fastest.stop - fastest.start
            if width * _NARROW < shape[2]:
                in_file_order[part] = self._read_line_parts(offset, (*shape[:2], width), shape[2], fastest.start)
            else:
                in_file_order[part] = self._read_lines(offset, shape)[:, :, fastest]
        return out

    def _read_lines(self, offset: int, shape: tuple[int, int, int]) -> NDArray[Any]:
        """Read contiguous whole lines."""
        samples = np.empty(shape, self._layout.dtype)
        self._read_into(_bytes(samples), offset)
        return samples

    def _read_line_parts(self, offset: int, shape: tuple[int, int, int], line: int, first: int) -> NDArray[Any]:
        """Read a small part of each line, from sample `first`."""
        samples = np.empty(shape, self._layout.dtype)
        size = samples.dtype.itemsize
        view, part_size = _bytes(samples), shape[2] * size
        for k in range(shape[0] * shape[1]):
            self._read_into(view[k * part_size : (k + 1) * part_size], offset + (k * line + first) * size)
        return samples

    def _read_into(self, remaining: memoryview, offset: int) -> None:
        try:
            while remaining:
                count = os.preadv(self._file.fileno(), [remaining], offset)
                if not count:
                    raise CubeError(f"{self._path} became shorter while it was read; it is incomplete")
                remaining, offset = remaining[count:], offset + count
        except OSError as e:
            raise CubeError(f"cannot read {self._path}: {e.strerror}") from None

    def close(self) -> None:
        self._file.close()


class FlatWriter:
    """Writes windows to a new file that begins with the bytes `start`. Raises OutputError."""

    def __init__(self, path: Path, layout: Layout, start: bytes = b"") -> None:
        self._path, self._layout = path, layout
        try:
            self._file = open(path, "w+b", buffering=0)  # noqa: SIM115
            self._write_at(start, 0)
            os.ftruncate(self._file.fileno(), layout.end)
        except OSError as e:
            raise output_error(path, e) from None

    def write(self, window: Sequence[slice], samples: NDArray[Any]) -> None:
        layout = self._layout
        in_file_order = samples.transpose(layout.order)
        try:
            for offset, shape, part, fastest in layout.runs(window):
                piece = in_file_order[part].astype(layout.dtype, order="C")
                if piece.shape == shape:
                    self._write_at(_bytes(piece), offset)
                    continue
                # write a part of each line
                line = shape[2] * layout.dtype.itemsize
                first = offset + fastest.start * layout.dtype.itemsize
                for k, line_part in enumerate(piece.reshape(-1, piece.shape[2])):
                    self._write_at(_bytes(line_part), first + k * line)
        except OSError as e:
            raise output_error(self._path, e) from None

    def _write_at(self, data: bytes | memoryview, offset: int) -> None:
        remaining = memoryview(data)
        while remaining:
            count = os.pwrite(self._file.fileno(), remaining, offset)
            remaining, offset = remaining[count:], offset + count

    def close(self) -> None:
        self._file.close()


class FlatSource(CubeSource):
    """A cube with uncompressed samples in a file. A subclass sets `_reader`."""

    _reader: FlatReader

    def read(self, rows: slice, columns: slice, bands: slice) -> NDArray[Any]:
        return self._reader.read(rows, columns, bands)

    def close(self) -> None:
        self._reader.close()


class FlatSink(CubeSink):
    """Writes a cube as uncompressed samples. A subclass sets `_writer`."""

    _writer: FlatWriter

    def write(self, window: Window, samples: NDArray[Any]) -> None:
        self._writer.write(window, samples)

    def finish(self) -> None:
        self._writer.close()

    discard = finish
