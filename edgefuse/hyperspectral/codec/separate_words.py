"""Section of a predicted tile with the words that are stored apart: areas of one value, such as missing samples, and single words.

Its form is that of separate_samples.py's version 3, but values are bit patterns, and they are known before the other samples are decoded.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np

from edgefuse.errors import InputError
from edgefuse.hyperspectral.codec import exact, masks
from edgefuse.hyperspectral.codec.prediction_plan import Skipped, Words

_AREA = struct.Struct("<I")  # bytes of the mask; the value and the mask follow
_SINGLES = struct.Struct("<II")  # single words, bytes of their positions
_MOST_AREAS = 8
MOST_SINGLES, _FEW_SINGLES = 0.25, 1024  # limits of the number of single words: a share of all, and so many besides


class Area(NamedTuple):
    """Samples of one value."""

    word: int
    mask: Skipped
    """(h * w, B)"""


def encode(words: Words, areas: list[Area], singles: Skipped | None, height: int, width: int) -> bytes:
    """Encode the section for words (h * w, B); empty if nothing is stored apart."""
    section = b""
    for area in areas:
        mask = masks.encode(area.mask, height, width)
        section += _AREA.pack(len(mask)) + area.word.to_bytes(words.dtype.itemsize, "little") + mask
    if singles is not None and singles.any():
        places = np.flatnonzero(singles)
        positions = exact.values(np.diff(places, prepend=0).astype(np.uint32))
        section += _SINGLES.pack(len(places), len(positions)) + positions + exact.values(words.ravel()[places])
    return bytes([len(areas)]) + section if section else b""


def decode(section: bytes | memoryview, out: Words, height: int, width: int) -> Skipped | None:
    """Write the words of a section into `out` (h * w, B), and return their mask. Raises InputError for an invalid structure."""
    if not len(section):
        return None
    skipped = np.zeros(out.shape, bool)
    if section[0] > _MOST_AREAS:
        raise InputError("a tile is damaged")
    at, item = 1, out.dtype.itemsize
    for _ in range(section[0]):
        (length,) = _AREA.unpack(_taken(section, at, _AREA.size))
        at += _AREA.size
        word = int.from_bytes(_taken(section, at, item), "little")
        mask = masks.decode(_taken(section, at + item, length), (height, width, out.shape[1]))
        out[mask] = word
        skipped |= mask
        at += item + length
    if at < len(section):
        count, length = _SINGLES.unpack(_taken(section, at, _SINGLES.size))
        at += _SINGLES.size
        if count > out.size * MOST_SINGLES + _FEW_SINGLES:
            raise InputError("a tile is damaged")
        places = np.cumsum(exact.from_values(_taken(section, at, length), count, np.dtype(np.uint32)), dtype=np.int64)
        if count and places[-1] >= out.size:
            raise InputError("a tile is damaged")
        out.reshape(-1)[places] = exact.from_values(section[at + length :], count, out.dtype)
        skipped.reshape(-1)[places] = True
    return skipped


def _taken(section: bytes | memoryview, at: int, size: int) -> bytes | memoryview:
    if at + size > len(section):
        raise InputError("a tile is truncated")
    return section[at : at + size]
