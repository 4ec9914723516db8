"""Reads the tags of a TIFF file's pages that tell how its pixels are stored (TIFF 6.0, and BigTIFF)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

_SUBFILE, _BITS, _SAMPLES = 254, 258, 277
_SIZES = {1: 1, 3: 2, 4: 4, 16: 8}  # of the types of these tags: bytes, and 16, 32 and 64 bits
_MOST_PAGES = 10_000


@dataclass(frozen=True, slots=True)
class Page:
    """bits: of a sample. samples: of a pixel. extra: a smaller copy or a mask of another page."""

    bits: int = 1
    samples: int = 1
    extra: bool = False


def pages(data: bytes) -> list[Page]:
    """Return the pages of a TIFF file; those before the damage where it is damaged, none where it is no TIFF."""
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None or len(data) < 16:
        return []
    big = struct.unpack_from(order + "H", data, 2)[0] == 43
    word, count_form, entry = ("Q", "Q", 20) if big else ("I", "H", 12)
    collected: list[Page] = []
    seen: set[int] = set()
    try:
        at = struct.unpack_from(order + word, data, 8 if big else 4)[0]
        while at and at not in seen and len(collected) < _MOST_PAGES:
            seen.add(at)
            count = struct.unpack_from(order + count_form, data, at)[0]
            first = at + struct.calcsize(order + count_form)
            tags = dict(_tag(data, first + k * entry, order, word) for k in range(min(count, 4096)))
            at = struct.unpack_from(order + word, data, first + count * entry)[0]
            collected.append(Page(tags.get(_BITS, 1), tags.get(_SAMPLES, 1), bool(tags.get(_SUBFILE, 0) & 5)))
    except struct.error:
        pass
    return collected


def _tag(data: bytes, at: int, order: str, word: str) -> tuple[int, int]:
    """Return (tag, its first value), 0 for a type that none of ours has."""
    tag, kind, count = struct.unpack_from(order + "HH" + word, data, at)
    size = _SIZES.get(kind, 0)
    place = at + 4 + struct.calcsize(order + word)
    if size * count > struct.calcsize(order + word):
        place = struct.unpack_from(order + word, data, place)[0]
    form = {1: "B", 2: "H", 4: "I", 8: "Q"}.get(size)
    return tag, struct.unpack_from(order + form, data, place)[0] if form and tag in (_SUBFILE, _BITS, _SAMPLES) else 0
