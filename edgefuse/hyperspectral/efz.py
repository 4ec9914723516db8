"""The `.efz` container: a header, a sequence of tiles and an index (docs/reference/efz.md).

The codec defines the payload of a tile. Files are written and read sequentially, so both ends may be pipes. Every tile carries its number,
length and checksum: at damaged data the reader searches for the next tile, and it reports which tiles are lost.
"""

from __future__ import annotations

import io
import json
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np

from edgefuse.errors import InputError
from edgefuse.hyperspectral import bounded_json
from edgefuse.hyperspectral.crc32c import crc32c

MAGIC = b"EFZ\x1a"
VERSION = 4  # newest version that is read and written (docs/reference/efz.md)
PLAIN_VERSION = 2  # written version of files whose tiles need no newer one; of the entropy coder, too
DTYPES = "uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"

_START = struct.Struct("<4sBI")  # magic, version, bytes of the JSON header
_CRC = struct.Struct("<I")
_TILE = struct.Struct("<4sIII")  # "TILE", its number, bytes, CRC-32C of number, bytes and payload
_INDEX = struct.Struct("<4sI")  # "INDX", number of tiles; then their offsets, CRC-32C of count and offsets
_END = struct.Struct("<Q4s")  # offset of the index, "EFZE"
# these limits, and those of bounded_json, keep decoding within 64 MB and 16 bytes per declared sample
_MAX_SIDE = 1 << 24
_MAX_BANDS = 1 << 16
_MAX_TILE = 1 << 25  # samples
_MAX_TILES = 1 << 18
_MIN_SAMPLE_BYTES = 4  # limit of a tile's mean bytes per sample; random samples of 16 bits take 2.1, of more bits as many as they have
_MAX_FIXED_BYTES = 1 << 20  # of a tile besides; a network's latent does not depend on the bands
_PLANE_BYTES = 6  # working memory of the entropy coder per padded pixel of a plane
_PADDED = 5  # pixels that a plane is padded by
_CHUNK = 1 << 16


@dataclass(frozen=True)
class Header:
    """Header of a container."""

    shape: tuple[int, int, int]
    """Rows, columns, bands."""
    dtype: str
    tile: tuple[int, int]
    """Rows and columns of a tile; tiles at the lower and right edge may be smaller."""
    model: str
    """Name of the codec."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Settings of the codec."""
    about: dict[str, Any] = field(default_factory=dict)
    """Metadata of the cube: wavelengths, band names, georeference, ..."""

    @property
    def grid(self) -> tuple[int, int]:
        """Number of tiles along rows and columns."""
        return -(-self.shape[0] // self.tile[0]), -(-self.shape[1] // self.tile[1])

    @property
    def count(self) -> int:
        """Number of tiles."""
        return self.grid[0] * self.grid[1]

    def place(self, number: int) -> tuple[slice, slice]:
        """Return the rows and columns of a tile; tiles are numbered row by row."""
        row, column = divmod(number, self.grid[1])
        top, left = row * self.tile[0], column * self.tile[1]
        return slice(top, min(top + self.tile[0], self.shape[0])), slice(left, min(left + self.tile[1], self.shape[1]))

    @property
    def largest_tile(self) -> tuple[int, int]:
        """Rows and columns of the largest tile; `tile` may exceed the cube."""
        return min(self.tile[0], self.shape[0]), min(self.tile[1], self.shape[1])

    def payload_limit(self, number: int) -> int:
        """Return the most bytes that the payload of a tile may have."""
        rows, columns = self.place(number)
        most = max(_MIN_SAMPLE_BYTES, np.dtype(self.dtype).itemsize)
        return (rows.stop - rows.start) * (columns.stop - columns.start) * self.shape[2] * most + _MAX_FIXED_BYTES

    def to_bytes(self, version: int = PLAIN_VERSION) -> bytes:
        """Serialise with magic, version and checksum. Raises InputError for more metadata than a reader accepts.

        The version does not change the length.
        """
        fields: dict[str, Any] = {"shape": self.shape, "dtype": self.dtype, "tile": self.tile, "model": self.model}
        fields |= {k: v for k, v in (("settings", self.settings), ("about", self.about)) if v}
        text = json.dumps(fields, separators=(",", ":"), allow_nan=False).encode()
        if not bounded_json.is_small(text):
            raise InputError(f"the metadata of the cube is too large for an .efz file ({len(text)} bytes); remove some of it")
        start = _START.pack(MAGIC, version, len(text)) + text
        return start + _CRC.pack(crc32c(start))

    @classmethod
    def from_text(cls, text: bytes) -> Header:
        """Parse the JSON text of a header. Raises InputError if it is invalid."""
        try:
            fields = bounded_json.loads(text)
            shape, tile = tuple(fields["shape"]), tuple(fields["tile"])
            header = cls(shape, fields["dtype"], tile, fields["model"], fields.get("settings", {}), fields.get("about", {}))
        except (ValueError, KeyError, TypeError) as e:
            raise InputError(f"the .efz header can't be read ({type(e).__name__}: {e})") from None
        sizes = *header.shape, *header.tile
        valid = (
            (len(header.shape), len(header.tile)) == (3, 2)
            and all(type(n) is int and 0 < n <= _MAX_SIDE for n in sizes)
            and header.shape[2] <= _MAX_BANDS
            and header.dtype in DTYPES
            and isinstance(header.model, str)
            and isinstance(header.settings, dict)
            and isinstance(header.about, dict)
        )
        if not valid:
            raise InputError("the .efz header is invalid: shape, tile, dtype or model")
        rows, columns = header.largest_tile
        samples = rows * columns * header.shape[2]
        # a plane of few rows or columns is mostly padding
        plane = _PLANE_BYTES * (rows + _PADDED) * (columns + _PADDED)
        if samples > _MAX_TILE or header.count > _MAX_TILES or plane > 8 * samples + (1 << 25):
            requested = f"{header.count} tiles of {header.tile} x {header.shape[2]} samples"
            raise InputError(f"the .efz header exceeds the limits of this program: {requested}")
        return header


class Writer:
    """Writes a container to `stream` sequentially. Its version is the newest that a tile needs.

    The header is written again at the end where that is not version 2; on a stream that can't seek it always names the newest version.
    """

    def __init__(self, stream: BinaryIO, header: Header) -> None:
        if header.count > _MAX_TILES:
            raise InputError(f"a cube of {header.count} tiles can't be compressed; the limit is {_MAX_TILES}; crop it or use larger tiles")
        self._stream, self._header, self.size, self._offsets = stream, header, 0, [0] * header.count
        self._begin = stream.tell() if stream.seekable() else None
        self._written = self._version = PLAIN_VERSION if self._begin is not None else VERSION
        self._write(header.to_bytes(self._written))

    def tile(self, number: int, payload: bytes, version: int = PLAIN_VERSION) -> None:
        """Write a tile, whose payload needs the format version `version`."""
        self._version = max(self._version, version)
        self._offsets[number] = self.size
        head = struct.pack("<II", number, len(payload))
        self._write(_TILE.pack(b"TILE", number, len(payload), crc32c(payload, crc32c(head))))
        self._write(payload)

    def close(self) -> int:
        """Write the index and return the total bytes written. Does not close the stream."""
        start, body = self.size, struct.pack(f"<I{len(self._offsets)}Q", len(self._offsets), *self._offsets)
        self._write(b"INDX" + body + _CRC.pack(crc32c(body)) + _END.pack(start, b"EFZE"))
        if self._version != self._written and self._begin is not None:
            self._stream.seek(self._begin)
            self._stream.write(self._header.to_bytes(self._version))
            self._stream.seek(self._begin + self.size)
        return self.size

    def _write(self, data: bytes) -> None:
        self._stream.write(data)
        self.size += len(data)


class Reader:
    """Reads a container from `stream` sequentially. Raises InputError if it is not one."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._buffer, self._bytes_read = stream, bytearray(), 0
        start = self._take(_START.size)
        if start[:4] != MAGIC[: len(start[:4])] or not start:
            raise InputError("this is not an .efz file")
        if len(start) < _START.size:
            raise InputError("the .efz file ends in its header")
        _, self.version, size = _START.unpack(start)
        if not 1 <= self.version <= VERSION:
            raise InputError(f".efz version {self.version} is unknown (supported: 1 to {VERSION}); update edgefuse")
        if size > bounded_json.MAX_BYTES:
            raise InputError(
                f"the .efz header claims {size} bytes, more than {bounded_json.MAX_BYTES}: it is damaged, or the file ends in its header"
            )
        text = self._take(size)
        check = self._take(_CRC.size)
        if len(text) < size or len(check) < _CRC.size:
            raise InputError("the .efz file ends in its header")
        if _CRC.unpack(check)[0] != crc32c(text, crc32c(start)):
            raise InputError("the .efz header is damaged; without it no tile can be decoded")
        self.header = Header.from_text(text)

    def tiles(self) -> Iterator[tuple[int, bytes]]:
        """Yield (number, payload) of each intact tile once; the tiles not yielded are lost."""
        most = self.header.payload_limit(0)
        seen: set[int] = set()
        wasted = 0  # bytes of invalid tile records; limits the time spent on a malicious file
        while True:
            self._fill(_TILE.size)
            at = self._buffer.find(b"TILE")
            if at < 0:
                # the buffer may end with the first letters of a tile's magic
                del self._buffer[: max(0, len(self._buffer) - 3)]
                if not self._read_more():
                    return
                continue
            del self._buffer[:at]
            self._fill(_TILE.size)
            if len(self._buffer) < _TILE.size:
                return
            _, number, size, check = _TILE.unpack_from(self._buffer)
            if number < self.header.count and number not in seen and size <= self.header.payload_limit(number):
                self._fill(_TILE.size + size)
                present = min(size, len(self._buffer) - _TILE.size)
                if present == size and self._checksum(size) == check:
                    payload = bytes(memoryview(self._buffer)[_TILE.size : _TILE.size + size])
                    del self._buffer[: _TILE.size + size]
                    seen.add(number)
                    yield number, payload
                    del payload
                    if len(seen) == self.header.count:
                        return
                    continue
                wasted += present
                if wasted > 4 * self._bytes_read + most:
                    return
            del self._buffer[:4]

    def _checksum(self, size: int) -> int:
        """Return the checksum of the record with a payload of `size` bytes at the start of the buffer."""
        with memoryview(self._buffer) as view, view[4:12] as head, view[_TILE.size : _TILE.size + size] as payload:
            return crc32c(payload, crc32c(head))

    def _take(self, size: int) -> bytes:
        # no more than the header, as a reader of windows goes on elsewhere in the file
        while len(self._buffer) < size and self._read_more(size - len(self._buffer), ahead=False):
            pass
        taken = bytes(memoryview(self._buffer)[:size])
        del self._buffer[:size]
        return taken

    def _fill(self, size: int) -> None:
        while len(self._buffer) < size and self._read_more(size - len(self._buffer)):
            pass

    def _read_more(self, size: int = _CHUNK, ahead: bool = True) -> bool:
        data = self._stream.read(min(max(size, _CHUNK) if ahead else size, 1 << 22))
        self._buffer += data
        self._bytes_read += len(data)
        return bool(data)


def offsets(stream: BinaryIO) -> list[int] | None:
    """Return the offsets of the tiles of a seekable container from its index; None if the index is damaged."""
    end = stream.seek(0, io.SEEK_END)
    if end < _END.size:
        return None
    stream.seek(end - _END.size)
    start, magic = _END.unpack(stream.read(_END.size))
    if magic != b"EFZE" or start > end:
        return None
    stream.seek(start)
    body = stream.read(end - _END.size - start) if end - start < bounded_json.MAX_BYTES * 8 else b""
    if len(body) < _INDEX.size + _CRC.size or body[:4] != b"INDX" or _CRC.unpack(body[-4:])[0] != crc32c(body[4:-4]):
        return None
    values = np.frombuffer(body[8:-4], "<u8") if (len(body) - 12) % 8 == 0 else np.zeros(0, np.uint64)
    return [int(n) for n in values] if len(values) == _INDEX.unpack_from(body)[1] else None


def payload_at(stream: BinaryIO, header: Header, number: int, offset: int) -> bytes:
    """Return the payload of a tile from its offset in a seekable container. Raises InputError if it is damaged."""
    stream.seek(offset)
    start = stream.read(_TILE.size)
    if len(start) < _TILE.size:
        raise InputError("the file ends before it")
    magic, stored_number, size, check = _TILE.unpack(start)
    if magic != b"TILE" or stored_number != number or size > header.payload_limit(number):
        raise InputError("the index does not lead to it")
    payload = stream.read(size)
    if len(payload) < size or crc32c(payload, crc32c(start[4:12])) != check:
        raise InputError("its checksum is wrong")
    return payload


def default_tile(shape: tuple[int, int, int], side: int, samples: int) -> tuple[int, int]:
    """Return an even tile size of about `side` pixels, smaller for many bands, with at most about `samples` samples per tile."""
    side = max(8, min(side, math.isqrt(max(1, samples // shape[2]))))
    height, width = (-(-n // max(1, round(n / side))) for n in shape[:2])
    return height, width
