"""Exact coding of a tile of any type: differences between neighbouring pixels of a band, byte by byte, compressed with zlib.

It is for the tiles whose target the lossy coder can't reach: floats, and integers of 32 bits.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import InputError

_LEVEL = 4  # of zlib; higher ones take twice the time for less than 1 % of the bytes


def encode(pixels: NDArray[np.generic]) -> bytes:
    """Encode pixels (n, B) to the bit, NaN and infinities included."""
    words = np.ascontiguousarray(pixels.T).view(f"u{pixels.dtype.itemsize}")
    differences = words.copy()
    differences[:, 1:] -= words[:, :-1]
    return zlib.compress(_shuffled(differences.ravel()), _LEVEL)


def decode(data: bytes, out: NDArray[np.generic]) -> None:
    """Decode `encode`'s output into `out` (n, B). Raises InputError for damaged data."""
    words = _plain(inflated(data, out.nbytes), out.dtype.itemsize).reshape(out.shape[::-1])
    np.cumsum(words, axis=1, dtype=words.dtype, out=words)
    out.view(words.dtype)[...] = words.T


def values(samples: NDArray[np.generic]) -> bytes:
    """Encode a list of samples (n,) to the bit: as they are, or compressed where that is shorter."""
    plain = _shuffled(samples.view(f"u{samples.dtype.itemsize}"))
    return min(plain, zlib.compress(plain, 9), key=len)


def from_values(data: bytes, count: int, dtype: np.dtype[np.generic]) -> NDArray[np.generic]:
    """Decode `values`. Raises InputError for damaged data."""
    size = count * dtype.itemsize
    return _plain(data if len(data) == size else inflated(data, size), dtype.itemsize).view(dtype)


def inflated(data: bytes, size: int) -> bytes:
    """Decompress to exactly `size` bytes, never more. Raises InputError."""
    try:
        stream = zlib.decompressobj()
        result = stream.decompress(data, size + 1)
    except zlib.error:
        raise InputError("a tile is damaged") from None
    if len(result) != size or not stream.eof or stream.unused_data:
        raise InputError("a tile is damaged")
    return result


def _shuffled(words: NDArray[np.generic]) -> bytes:
    """Return the words' first bytes, then their second bytes, and so on (little-endian)."""
    little = words.astype(words.dtype.newbyteorder("<"), copy=False)
    return np.ascontiguousarray(little.view(np.uint8).reshape(-1, words.dtype.itemsize).T).tobytes()


def _plain(data: bytes, itemsize: int) -> NDArray[np.unsignedinteger]:
    parts = np.frombuffer(data, np.uint8).reshape(itemsize, -1)
    return np.ascontiguousarray(parts.T).view(f"<u{itemsize}").ravel().astype(f"u{itemsize}", copy=False)
