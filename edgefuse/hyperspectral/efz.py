"""The container `.efz`: a header, tiles one after another, an index at the end (docs/reference/efz.md).

What is in a tile is its model's business. It is written and read in one go, so both ends may be pipes. Every tile carries its number,
length and check sum: a reader that meets damage looks for the next tile and says which were lost.
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
from edgefuse.hyperspectral.crc32c import crc32c

MAGIC = b"EFZ\x1a"
VERSION = 2  # of what is written: of the container and of how its tiles' integers are coded (docs/reference/efz.md)
DTYPES = "uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"

_START = struct.Struct("<4sBI")  # magic, version, bytes of the header
_CRC = struct.Struct("<I")
_TILE = struct.Struct("<4sIII")  # "TILE", its number, bytes, CRC-32C of number, bytes and payload
_INDEX = struct.Struct("<4sI")  # "INDX", tiles; then an offset each, CRC-32C of count and offsets
_END = struct.Struct("<Q4s")  # the index's offset, "EFZE"
_LARGEST_HEADER = 1 << 24
_LARGEST_SIDE = 1 << 24
_LARGEST_TILE = 1 << 25  # samples
_MOST_TILES = 1 << 18  # a list of those that are lost takes 100 MB
_LARGEST_SAMPLE = 8  # bytes, on the mean of a tile
_CHUNK = 1 << 16


@dataclass(frozen=True)
class Header:
    shape: tuple[int, int, int]
    """Rows, columns, bands."""
    dtype: str
    tile: tuple[int, int]
    """Rows and columns of a tile; the last ones may be smaller."""
    model: str
    settings: dict[str, Any] = field(default_factory=dict)
    """The model's."""
    about: dict[str, Any] = field(default_factory=dict)
    """The cube's: wavelengths, names, georeference, ..."""

    @property
    def grid(self) -> tuple[int, int]:
        return -(-self.shape[0] // self.tile[0]), -(-self.shape[1] // self.tile[1])

    @property
    def count(self) -> int:
        return self.grid[0] * self.grid[1]

    def place(self, number: int) -> tuple[slice, slice]:
        """The rows and columns of a tile; they are counted row by row."""
        row, column = divmod(number, self.grid[1])
        top, left = row * self.tile[0], column * self.tile[1]
        return slice(top, min(top + self.tile[0], self.shape[0])), slice(left, min(left + self.tile[1], self.shape[1]))

    def to_bytes(self) -> bytes:
        named: dict[str, Any] = {"shape": self.shape, "dtype": self.dtype, "tile": self.tile, "model": self.model}
        named |= {k: v for k, v in (("settings", self.settings), ("about", self.about)) if v}
        text = json.dumps(named, separators=(",", ":"), allow_nan=False).encode()
        start = _START.pack(MAGIC, VERSION, len(text)) + text
        return start + _CRC.pack(crc32c(start))

    @classmethod
    def from_text(cls, text: bytes) -> Header:
        """Raises InputError for one that can't be."""
        try:
            named = json.loads(text)
            shape, tile = tuple(named["shape"]), tuple(named["tile"])
            header = cls(shape, named["dtype"], tile, named["model"], named.get("settings", {}), named.get("about", {}))
        except (ValueError, KeyError, TypeError, RecursionError) as e:
            raise InputError(f"the .efz header can't be read ({type(e).__name__}: {e})") from None
        sizes = *header.shape, *header.tile
        ok = (
            (len(header.shape), len(header.tile)) == (3, 2)
            and all(type(n) is int and 0 < n <= _LARGEST_SIDE for n in sizes)
            and header.dtype in DTYPES
            and isinstance(header.model, str)
            and isinstance(header.settings, dict)
            and isinstance(header.about, dict)
        )
        if not ok:
            raise InputError("the .efz header makes no sense: shape, tile, dtype or model")
        if header.tile[0] * header.tile[1] * header.shape[2] > _LARGEST_TILE or header.count > _MOST_TILES:
            asked = f"{header.count} tiles of {header.tile} x {header.shape[2]} samples"
            raise InputError(f"the .efz header asks for more than this program gives: {asked}")
        return header


class Writer:
    """Writes a container to `stream`, front to back."""

    def __init__(self, stream: BinaryIO, header: Header) -> None:
        if header.count > _MOST_TILES:
            raise InputError(f"a cube of {header.count} tiles can't be compressed, only of {_MOST_TILES}; cut it, or use larger tiles")
        self._stream, self._at, self._offsets = stream, 0, [0] * header.count
        self._write(header.to_bytes())

    def tile(self, number: int, payload: bytes) -> None:
        self._offsets[number] = self._at
        named = struct.pack("<II", number, len(payload))
        self._write(_TILE.pack(b"TILE", number, len(payload), crc32c(payload, crc32c(named))))
        self._write(payload)

    def close(self) -> int:
        """End the container, not the stream; the bytes written in all."""
        begin, body = self._at, struct.pack(f"<I{len(self._offsets)}Q", len(self._offsets), *self._offsets)
        self._write(b"INDX" + body + _CRC.pack(crc32c(body)) + _END.pack(begin, b"EFZE"))
        return self._at

    def _write(self, data: bytes) -> None:
        self._stream.write(data)
        self._at += len(data)


class Reader:
    """Reads a container from `stream`, front to back. Raises InputError for what is none."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._ahead, self._read = stream, b"", 0
        start = self._take(_START.size)
        if start[:4] != MAGIC[: len(start[:4])] or not start:
            raise InputError("this is no .efz file")
        if len(start) < _START.size:
            raise InputError("the .efz file ends in its header")
        _, self.version, size = _START.unpack(start)
        if not 1 <= self.version <= VERSION:
            raise InputError(f".efz version {self.version} is not known here (but 1 to {VERSION}); update edgefuse")
        text = self._take(size) if size <= _LARGEST_HEADER else b""
        check = self._take(_CRC.size)
        if len(text) < size or len(check) < _CRC.size:
            raise InputError("the .efz file ends in its header")
        if _CRC.unpack(check)[0] != crc32c(start + text):
            raise InputError("the .efz header is damaged, and without it no tile can be read")
        self.header = Header.from_text(text)

    def tiles(self) -> Iterator[tuple[int, bytes]]:
        """The intact tiles, each once; those that never come are lost."""
        rows, columns = self.header.tile
        largest = rows * columns * self.header.shape[2] * _LARGEST_SAMPLE + _CHUNK
        seen: set[int] = set()
        wasted = 0  # bytes of what only looked like tiles: a file made of nothing else would take for ever
        while True:
            self._fill(_TILE.size)
            at = self._ahead.find(b"TILE")
            if at < 0:
                # its first letters may have come already
                self._ahead = self._ahead[-3:] if len(self._ahead) > 3 else self._ahead
                if not self._more():
                    return
                continue
            self._ahead = self._ahead[at:]
            self._fill(_TILE.size)
            if len(self._ahead) < _TILE.size:
                return
            _, number, size, check = _TILE.unpack_from(self._ahead)
            if number < self.header.count and number not in seen and size <= largest:
                self._fill(_TILE.size + size)
                payload = self._ahead[_TILE.size : _TILE.size + size]
                if len(payload) == size and crc32c(payload, crc32c(self._ahead[4:12])) == check:
                    self._ahead = self._ahead[_TILE.size + size :]
                    seen.add(number)
                    yield number, payload
                    if len(seen) == self.header.count:
                        return
                    continue
                wasted += len(payload)
                if wasted > 4 * self._read + largest:
                    return
            self._ahead = self._ahead[4:]

    def _take(self, size: int) -> bytes:
        self._fill(size)
        taken, self._ahead = self._ahead[:size], self._ahead[size:]
        return taken

    def _fill(self, size: int) -> None:
        while len(self._ahead) < size and self._more(size - len(self._ahead)):
            pass

    def _more(self, size: int = _CHUNK) -> bool:
        data = self._stream.read(min(max(size, _CHUNK), 1 << 24))
        self._ahead += data
        self._read += len(data)
        return bool(data)


def offsets(stream: BinaryIO) -> list[int] | None:
    """Where the tiles of a seekable container begin, by its index; None: that is damaged."""
    end = stream.seek(0, io.SEEK_END)
    if end < _END.size:
        return None
    stream.seek(end - _END.size)
    begin, magic = _END.unpack(stream.read(_END.size))
    if magic != b"EFZE" or begin > end:
        return None
    stream.seek(begin)
    body = stream.read(end - _END.size - begin) if end - begin < _LARGEST_HEADER * 8 else b""
    if len(body) < _INDEX.size + _CRC.size or body[:4] != b"INDX" or _CRC.unpack(body[-4:])[0] != crc32c(body[4:-4]):
        return None
    found = np.frombuffer(body[8:-4], "<u8") if (len(body) - 12) % 8 == 0 else np.zeros(0, np.uint64)
    return [int(n) for n in found] if len(found) == _INDEX.unpack_from(body)[1] else None


def default_tile(shape: tuple[int, int, int], side: int, samples: int) -> tuple[int, int]:
    """Even tiles of about `side` pixels, fewer where there are many bands: statistics want many pixels, memory few."""
    side = max(8, min(side, math.isqrt(max(1, samples // shape[2]))))
    height, width = (-(-n // max(1, round(n / side))) for n in shape[:2])
    return height, width
