"""Exact coding of a tile of any type: differences between neighbouring pixels of a band, byte by byte, compressed with zlib.

It is for the tiles whose target the lossy coder can't reach: floats, and integers of 32 bits.
"""

from __future__ import annotations

import sys
import zlib

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import InputError

_BLOCK = 1 << 18  # bytes that are inflated at a time
_LEVEL = 4  # of zlib; higher ones take twice the time for less than 1 % of the bytes


def encode(pixels: NDArray[np.generic]) -> bytes:
    """Encode pixels (n, B) to the bit, NaN and infinities included."""
    words = np.ascontiguousarray(pixels.T).view(f"u{pixels.dtype.itemsize}")
    differences = words.copy()
    differences[:, 1:] -= words[:, :-1]
    return zlib.compress(_shuffled(differences.ravel()), _LEVEL)


def decode(data: bytes | memoryview, shape: tuple[int, int], dtype: np.dtype[np.generic]) -> NDArray[np.generic]:
    """Decode `encode`'s output to pixels (n, B) of `dtype`. Raises InputError for damaged data.

    The bytes are put in place while they are inflated, so decoding takes no memory besides the pixels.
    """
    pixels, bands = shape
    out = np.empty(shape, dtype)
    parts = out.view(np.uint8).reshape(pixels, bands, dtype.itemsize)
    stream = _Inflated(data)
    step = max(1, _BLOCK // pixels)
    for part in range(dtype.itemsize):
        for first in range(0, bands, step):
            last = min(first + step, bands)
            parts[:, first:last, part if sys.byteorder == "little" else dtype.itemsize - 1 - part] = (
                np.frombuffer(stream.read((last - first) * pixels), np.uint8).reshape(-1, pixels).T
            )
    stream.end()
    words = out.view(f"u{dtype.itemsize}")
    np.cumsum(words, axis=0, dtype=words.dtype, out=words)
    return out


class _Inflated:
    """A zlib stream, read in pieces of known size. Methods raise InputError for damaged data."""

    def __init__(self, data: bytes | memoryview) -> None:
        self._stream = zlib.decompressobj()
        self._rest: bytes | memoryview = data

    def read(self, size: int) -> bytes:
        """Return the next `size` bytes."""
        pieces, missing = [], size
        while missing:
            try:
                piece = self._stream.decompress(self._rest[:_BLOCK], missing)
            except zlib.error:
                raise InputError("a tile is damaged") from None
            taken = len(self._rest[:_BLOCK]) - len(self._stream.unconsumed_tail)
            self._rest = self._rest[taken:]
            if not piece and not taken:
                raise InputError("a tile is damaged")
            pieces.append(piece)
            missing -= len(piece)
        return b"".join(pieces)

    def end(self) -> None:
        """Check that nothing follows."""
        try:
            more = self._stream.decompress(self._rest, 1)
        except zlib.error:
            raise InputError("a tile is damaged") from None
        if more or not self._stream.eof or self._stream.unused_data:
            raise InputError("a tile is damaged")


def values(samples: NDArray[np.generic]) -> bytes:
    """Encode a list of samples (n,) to the bit: as they are, or compressed where that is shorter."""
    plain = _shuffled(samples.view(f"u{samples.dtype.itemsize}"))
    return min(plain, zlib.compress(plain, 9), key=len)


def from_values(data: bytes | memoryview, count: int, dtype: np.dtype[np.generic]) -> NDArray[np.generic]:
    """Decode `values`. Raises InputError for damaged data."""
    size = count * dtype.itemsize
    return _plain(data if len(data) == size else inflated(data, size), dtype.itemsize).view(dtype)


def inflated(data: bytes | memoryview, size: int) -> bytes:
    """Decompress to exactly `size` bytes, never more. Raises InputError."""
    stream = _Inflated(data)
    result = stream.read(size)
    stream.end()
    return result


def _shuffled(words: NDArray[np.generic]) -> bytes:
    """Return the words' first bytes, then their second bytes, and so on (little-endian)."""
    little = words.astype(words.dtype.newbyteorder("<"), copy=False)
    return np.ascontiguousarray(little.view(np.uint8).reshape(-1, words.dtype.itemsize).T).tobytes()


def _plain(data: bytes | memoryview, itemsize: int) -> NDArray[np.unsignedinteger]:
    parts = np.frombuffer(data, np.uint8).reshape(itemsize, -1)
    # a copy also of a single word: the file's bytes may lie at any address, and compiled code reads whole words
    return np.array(parts.T, order="C").view(f"<u{itemsize}").ravel().astype(f"u{itemsize}", copy=False)
