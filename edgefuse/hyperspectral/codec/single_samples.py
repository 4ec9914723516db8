"""Single samples at the end of a section of a tile's payload: their positions, and their values exactly."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import InputError
from edgefuse.hyperspectral.codec import exact

_HEAD = struct.Struct("<II")  # single samples, bytes of their positions
MOST_SHARE, _FEW = 0.25, 1024  # limits of their number, above what an encoder writes: a share of the samples, and so many besides
Section = bytes | memoryview


def encode(pixels: NDArray[Any], singles: NDArray[np.bool_]) -> bytes:
    """Encode the samples of `pixels` (n, B) where the mask `singles` is set; empty if there are none."""
    if not singles.any():
        return b""
    places = np.flatnonzero(singles)
    positions = exact.values(np.diff(places, prepend=0).astype(np.uint32))
    return _HEAD.pack(len(places), len(positions)) + positions + exact.values(pixels.ravel()[places])


def restore(out: NDArray[Any], section: Section, at: int) -> NDArray[np.int64]:
    """Write the samples that `section` holds from `at` on into `out` (n, B), and return their positions. Raises InputError."""
    count, length = _HEAD.unpack(taken(section, at, _HEAD.size))
    at += _HEAD.size
    if count > out.size * MOST_SHARE + _FEW:
        raise InputError("a tile is damaged")
    places = np.cumsum(exact.from_values(taken(section, at, length), count, np.dtype(np.uint32)), dtype=np.int64)
    if count and places[-1] >= out.size:
        raise InputError("a tile is damaged")
    out.reshape(-1)[places] = exact.from_values(section[at + length :], count, out.dtype)
    return places


def taken(section: Section, at: int, size: int) -> Section:
    """Return `size` bytes of a section from `at` on. Raises InputError if it has fewer."""
    if at + size > len(section):
        raise InputError("a tile is truncated")
    return section[at : at + size]
