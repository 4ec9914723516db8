"""Reader of MATLAB files of version 5 to 7: numeric arrays as samples at an offset, and texts.

SciPy's reader takes sizes and type numbers from the file as they are, and a damaged file ends the process; here each is checked first. A
compressed variable is unpacked to a temporary file, of the size that its dimensions promise. Format: MathWorks, "MAT-File Format" (Level
5).
"""

from __future__ import annotations

import struct
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from edgefuse.errors import CubeError
from edgefuse.hyperspectral.formats.flat import FORTRAN, Layout
from edgefuse.util.files import check_space, output_error
from edgefuse.util.spool import spool_folder

HEADER = 128
# data types of elements, and classes of arrays
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8", 16: "u1", 17: "u2", 18: "u4"}
_NUMERIC = range(6, 16)
_MATRIX, _COMPRESSED, _CHARACTERS, _COMPLEX = 14, 15, 4, 0x800
_MAX_DIMENSIONS, _MAX_NAME, _MAX_TEXT, _MAX_VARIABLES = 32, 4096, 1 << 24, 4096
_PIECE = 1 << 18


@dataclass(frozen=True)
class Variable:
    """A variable of a file."""

    name: str
    shape: tuple[int, ...]
    numeric: bool
    characters: bool
    complex: bool
    offset: int
    """Offset of its element in the file, in bytes."""


class _Bytes:
    """Bytes of an element of the file, from `offset` to `end`, inflated where they are compressed, read forwards."""

    def __init__(self, file: IO[bytes], offset: int, end: int, compressed: bool) -> None:
        self._file, self._at, self._end = file, offset, end
        self._inflater = zlib.decompressobj() if compressed else None
        self._rest = b""

    @property
    def place(self) -> int | None:
        """Offset in the file of the next byte; None if they are compressed."""
        return None if self._inflater else self._at

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes. Raises CubeError if there are fewer."""
        return b"".join(self.pieces(size))

    def pieces(self, size: int) -> Iterator[bytes]:
        """Yield the next `size` bytes in pieces."""
        while size > 0:
            if self._inflater is None:
                piece = self._raw(min(size, _PIECE))
            else:
                while not (piece := self._inflater.decompress(self._rest or self._raw(_PIECE), min(size, _PIECE))):
                    self._rest = self._inflater.unconsumed_tail
                    if self._inflater.eof or (not self._rest and self._at >= self._end):
                        break
                self._rest = self._inflater.unconsumed_tail
            if not piece:
                raise CubeError("it is incomplete")
            size -= len(piece)
            yield piece

    def _raw(self, size: int) -> bytes:
        self._file.seek(self._at)
        data = self._file.read(min(size, self._end - self._at))
        self._at += len(data)
        return data


class Mat5:
    """A file of version 5 to 7. Methods raise CubeError with a message that continues the file's name, OSError and zlib.error."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        head = file.read(HEADER)
        if len(head) < HEADER or head[126:128] not in (b"IM", b"MI"):
            raise CubeError("its header is damaged")
        self._order = "<" if head[126:128] == b"IM" else ">"
        self._size = file.seek(0, 2)
        self.variables: dict[str, Variable] = {}
        self.others = 0
        at = HEADER
        while at + 8 <= self._size:
            if len(self.variables) + self.others == _MAX_VARIABLES:
                raise CubeError(f"it has more than {_MAX_VARIABLES} variables")
            self._file.seek(at)
            kind, size = struct.unpack(self._order + "II", self._file.read(8))
            if at + 8 + size > self._size:
                raise CubeError("it is incomplete")
            variable = self._variable(at) if kind in (_MATRIX, _COMPRESSED) else None
            if variable is not None and variable.name not in self.variables:
                self.variables[variable.name] = variable
            else:
                self.others += 1
            at += 8 + size

    def _opened(self, at: int) -> _Bytes:
        """Return the content of the matrix element at offset `at`, after its tag."""
        self._file.seek(at)
        kind, size = struct.unpack(self._order + "II", self._file.read(8))
        content = _Bytes(self._file, at + 8, at + 8 + size, kind == _COMPRESSED)
        if kind == _COMPRESSED:
            kind, _ = struct.unpack(self._order + "II", content.take(8))
        if kind != _MATRIX:
            raise CubeError("a variable is damaged")
        return content

    def _tag(self, content: _Bytes) -> tuple[int, int, bytes | None]:
        """Return type, size and, for a small element, the data of the next element."""
        head = content.take(8)
        kind, size = struct.unpack(self._order + "II", head)
        if kind >> 16:
            return kind & 0xFFFF, kind >> 16, head[4 : 4 + (kind >> 16)]
        return kind, size, None

    def _part(self, content: _Bytes, most: int) -> tuple[int, bytes]:
        """Return type and data of the next element, of at most `most` bytes."""
        kind, size, small = self._tag(content)
        if size > most or (small is not None and size > 4):
            raise CubeError("a variable is damaged")
        if small is not None:
            return kind, small
        return kind, content.take(size + -size % 8)[:size]

    def _header(self, content: _Bytes) -> tuple[int, tuple[int, ...], str]:
        """Return flags (with the class), dimensions and name of the matrix that begins here."""
        _, flags = self._part(content, 8)
        _, sizes = self._part(content, 4 * _MAX_DIMENSIONS)
        _, name = self._part(content, _MAX_NAME)
        if len(flags) != 8 or len(sizes) < 8 or len(sizes) % 4:
            raise CubeError("a variable is damaged")
        shape = struct.unpack(f"{self._order}{len(sizes) // 4}i", sizes)
        if min(shape) < 0:
            raise CubeError("a variable has negative dimensions")
        return struct.unpack(self._order + "II", flags)[0], shape, name.decode("latin-1")

    def _variable(self, at: int) -> Variable | None:
        content = self._opened(at)
        _, size, small = self._tag(content)
        if small is not None or size != 8:
            # an opaque object, or another that holds no samples
            return None
        content = self._opened(at)
        flags, shape, name = self._header(content)
        return Variable(name, shape, flags & 255 in _NUMERIC, flags & 255 == _CHARACTERS, bool(flags & _COMPLEX), at)

    def text(self, name: str) -> str | None:
        """Return a variable that is one row of characters; None if there is none."""
        variable = self.variables.get(name)
        if variable is None or not variable.characters or len(variable.shape) != 2 or variable.shape[0] != 1:
            return None
        content = self._opened(variable.offset)
        self._header(content)
        kind, data = self._part(content, _MAX_TEXT)
        if kind == 16:
            return data.decode("utf-8", "replace")
        wide = _TYPES.get(kind, "u1") == "u2"
        return data.decode(f"utf-16-{'le' if self._order == '<' else 'be'}" if wide else "latin-1", "replace")

    def samples(self, name: str) -> tuple[Layout, IO[bytes] | None]:
        """Return the layout of a variable of three axes, and the temporary file that holds it if the file itself does not."""
        variable = self.variables[name]
        height, width, bands = variable.shape
        count = height * width * bands
        content = self._opened(variable.offset)
        self._header(content)
        kind, size, small = self._tag(content)
        stored = _TYPES.get(kind)
        if stored is None or kind > 13 or size != count * np.dtype(stored).itemsize:
            raise CubeError(f"'{name}' holds {size} bytes of type {kind}, which its dimensions {variable.shape} do not promise")
        source = np.dtype(self._order + stored)
        shape = height, width, bands
        if small is None and not variable.complex and content.place is not None:
            return Layout(shape, source, FORTRAN, content.place), None
        # MATLAB stores numbers in the smallest type that holds them, which is kept
        target = np.dtype("c8" if stored == "f4" else "c16") if variable.complex else source
        spooled = self._spooled(content, source, target, count, small)
        return Layout(shape, target, FORTRAN), spooled

    def _spooled(self, content: _Bytes, source: np.dtype[Any], target: np.dtype[Any], count: int, small: bytes | None) -> IO[bytes]:
        """Write the samples, converted to `target`, to a temporary file."""
        folder = spool_folder()
        check_space(folder, count * target.itemsize)
        file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        try:
            size = count * source.itemsize
            real = np.dtype(f"f{target.itemsize // 2}") if target.kind == "c" else target
            for part in range(2 if target.kind == "c" else 1):
                if part:
                    content.take(-size % 8)
                    kind, other, small = self._tag(content)
                    stored = _TYPES.get(kind)
                    if stored is None or kind > 13 or other != count * np.dtype(stored).itemsize:
                        raise CubeError("an imaginary part is damaged")
                    source, size = np.dtype(self._order + stored), other
                self._convert(file, iter([small]) if small is not None else content.pieces(size), source, real, target.itemsize, part)
            file.truncate(count * target.itemsize)
            file.flush()
        except OSError as e:
            file.close()
            raise output_error(folder, e) from None
        except BaseException:
            file.close()
            raise
        return file

    @staticmethod
    def _convert(file: IO[bytes], pieces: Iterator[bytes], source: np.dtype[Any], real: np.dtype[Any], apart: int, part: int) -> None:
        """Write samples of type `source` as `real`; of complex ones the part 0 or 1, `apart` bytes from one to the next."""
        rest, at = b"", 0
        for piece in pieces:
            data = rest + piece
            whole = len(data) - len(data) % source.itemsize
            rest = data[whole:]
            with np.errstate(invalid="ignore", over="ignore"):
                values = np.frombuffer(data[:whole], source).astype(real)
            if apart == real.itemsize:
                file.write(values.tobytes())
                continue
            file.seek(at)
            block = np.frombuffer(file.read(len(values) * apart).ljust(len(values) * apart, b"\0"), real).reshape(-1, 2).copy()
            block[:, part] = values
            file.seek(at)
            file.write(block.tobytes())
            at += len(values) * apart


def opened(path: Path) -> tuple[Mat5, IO[bytes]]:
    """Open a file. Raises CubeError."""
    try:
        file = open(path, "rb")  # noqa: SIM115
    except OSError as e:
        raise CubeError(f"cannot read {path}: {e.strerror}") from None
    try:
        return Mat5(file), file
    except (CubeError, OSError, zlib.error, struct.error) as e:
        file.close()
        raise CubeError(f"{path} is not a readable MATLAB file ({str(e)[:120]})") from None
