"""Pages and tags of a TIFF file, from its directories alone (TIFF 6.0, BigTIFF), because GDAL hides some. Files are untrusted input."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from edgefuse.errors import CubeError

MOST_PAGES = 4096
_MOST_TAGS = 4096
_REDUCED, _MASK = 1, 4  # bits of NewSubfileType
# tags that say how samples are stored, and those that GDAL reads and EdgeFuse keeps: description, resolution, georeference, no-data value
_KNOWN = {
    *range(254, 271), 273, *range(275, 285), *range(288, 298), 301, 305, 306, *range(315, 326), 332, 333, 334, 336, 338, 339, 340, 341, 347,
    *range(529, 533), 32996, 32997, 33432, 33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113, 50674, 50844,
}  # fmt: skip
_ORIENTATION = 274
_NAMES = {
    271: "Make", 272: "Model", 274: "Orientation", 285: "PageName", 286: "XPosition", 287: "YPosition", 330: "SubIFDs (further images)",
    700: "XMP", 33723: "IPTC", 34377: "Photoshop", 34665: "EXIF", 34675: "ICC profile", 34853: "GPS", 50838: "ImageJ", 50839: "ImageJ",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Page:
    """An image of a TIFF file. number: counted from 1. size: width, height. kind: NewSubfileType. tags: the numbers of its tags."""

    number: int
    size: tuple[int, int]
    kind: int
    tags: frozenset[int]

    @property
    def is_mask(self) -> bool:
        return bool(self.kind & _MASK)

    @property
    def is_overview(self) -> bool:
        """Whether it is a smaller copy of another page."""
        return bool(self.kind & _REDUCED)

    @property
    def unknown_tags(self) -> list[str]:
        """Names of tags whose meaning is not read."""
        return sorted({_NAMES.get(tag, f"tag {tag}") for tag in self.tags - _KNOWN})


def pages(path: Path) -> list[Page]:
    """Return the pages of a file. Raises CubeError if its directories can't be read, form a circle, or are more than 4,096."""
    try:
        with open(path, "rb") as f:
            return _pages(path, f)
    except (struct.error, OSError) as e:
        raise CubeError(f"{path}: the directories of the TIFF file can't be read ({e}); it may be incomplete") from None


def _pages(path: Path, file: BinaryIO) -> list[Page]:
    head = file.read(16)
    order = "<" if head[:2] == b"II" else ">"
    big = struct.unpack_from(order + "H", head, 2)[0] == 43
    offset = struct.unpack_from(order + ("Q" if big else "I"), head, 8 if big else 4)[0]
    end = os.fstat(file.fileno()).st_size
    collected: list[Page] = []
    seen: set[int] = set()
    while offset:
        if offset in seen or len(collected) == MOST_PAGES:
            raise CubeError(f"{path}: the TIFF file's directories form a circle, or are more than {MOST_PAGES}; save it again")
        if offset >= end:
            # as GDAL does: a damaged end of the chain is not one of the first page
            break
        seen.add(offset)
        page, offset = _page(file, offset, len(collected) + 1, order, big)
        collected.append(page)
    return collected


def _page(file: BinaryIO, offset: int, number: int, order: str, big: bool) -> tuple[Page, int]:
    count_form, size, next_form = ("Q", 20, "Q") if big else ("H", 12, "I")
    file.seek(offset)
    (count,) = struct.unpack(order + count_form, file.read(struct.calcsize(order + count_form)))
    if count > _MOST_TAGS:
        raise struct.error(f"{count} tags in a directory")
    entries = file.read(count * size)
    (following,) = struct.unpack(order + next_form, file.read(struct.calcsize(order + next_form)))
    values: dict[int, int] = {}
    for k in range(count):
        tag, kind = struct.unpack_from(order + "HH", entries, k * size)
        form = {1: "B", 3: "H", 4: "I", 16: "Q" if big else "I"}.get(kind, "I")
        (values[tag],) = struct.unpack_from(order + form, entries, k * size + (12 if big else 8))
    if values.get(_ORIENTATION) in (0, 1):  # as read: the first row is the top, the first column the left
        del values[_ORIENTATION]
    return Page(number, (values.get(256, 0), values.get(257, 0)), values.get(254, 0), frozenset(values)), following
