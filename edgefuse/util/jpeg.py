"""Decodes JPEG pictures that are whole: an end that is missing and a part that the decoder had to make up are errors.

libjpeg fills what it cannot decode and reports that only on standard error. Cameras lose packets in the middle, and many write something
behind the end: padding, stale bytes, a film, a thermal camera's counts.
"""

from __future__ import annotations

import re

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefuse.util.native_stderr import native_stderr

_MARKER = re.compile(rb"\xff+([^\x00\xff])")
_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
_ALONE = frozenset((0x01, *range(0xD0, 0xD8)))  # markers without a length: TEM and the restarts, which lie in coded data


def end(data: bytes) -> int | None:
    """Return the offset behind the first picture's end-of-image marker; None where it has none.

    Follows the segments by their lengths (ISO/IEC 10918-1, annex B), so that neither a thumbnail in them nor what follows counts.
    """
    at = 2
    while match := _MARKER.search(data, at):
        kind, at = match[1][0], match.end()
        if kind == _EOI:
            return at
        if kind == _SOI:
            return None  # another picture begins in this one
        if kind not in _ALONE:
            # behind a start-of-scan the search passes over the coded data, in which a 0 follows each FF
            at += int.from_bytes(data[at : at + 2], "big")
    return None


def whole(data: bytes) -> bytes:
    """Return the picture without what lies behind it. Raises ValueError ("is a truncated JPEG") where its end is missing."""
    stop = end(data) if data[:2] == b"\xff\xd8" else None
    if stop is None:
        raise ValueError("is a truncated JPEG" if data[:2] == b"\xff\xd8" else "is not a readable JPEG")
    return data if stop == len(data) else data[:stop]


def complains(line: bytes) -> bool:
    """Return whether a line on standard error is libjpeg's report of a part that it had to make up.

    Bytes between segments are harmless, and what it says of an unknown version or density is, too.
    """
    return (b"Corrupt JPEG" in line and b"extraneous" not in line) or b"Premature end of JPEG" in line


def decode(data: bytes, flags: int = cv2.IMREAD_COLOR) -> NDArray[np.uint8]:
    """Decode a JPEG: uint8 (H, W, 3) BGR, or as `flags` say. Raises ValueError; its message continues "the frame ..."."""
    picture = np.frombuffer(whole(data), np.uint8)
    with native_stderr(complains) as messages:
        try:
            image = cv2.imdecode(picture, flags)
        except cv2.error:
            image = None
    if messages:
        raise ValueError("is damaged (its decoder had to fill a part)")
    if image is None:
        raise ValueError("is not a readable JPEG")
    return np.asarray(image, np.uint8)
