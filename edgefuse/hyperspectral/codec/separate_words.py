"""Section of a predicted tile with the words that are stored apart: areas of one value, such as missing samples, and single words.

Its form is that of separate_samples.py's version 3, but values are bit patterns, and they are known before the other samples are decoded.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np

from edgefuse.errors import InputError
from edgefuse.hyperspectral.codec import masks, single_samples
from edgefuse.hyperspectral.codec.prediction_plan import Skipped, Words
from edgefuse.hyperspectral.codec.single_samples import taken

_AREA = struct.Struct("<I")  # bytes of the mask; the value and the mask follow
_MOST_AREAS = 8


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
    if singles is not None:
        section += single_samples.encode(words, singles)
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
        (length,) = _AREA.unpack(taken(section, at, _AREA.size))
        at += _AREA.size
        word = int.from_bytes(taken(section, at, item), "little")
        mask = masks.decode(taken(section, at + item, length), (height, width, out.shape[1]))
        out[mask] = word
        skipped |= mask
        at += item + length
    if at < len(section):
        skipped.reshape(-1)[single_samples.restore(out, section, at)] = True
    return skipped
