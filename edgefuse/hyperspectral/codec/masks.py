"""Coding of a mask (h * w, B) of samples, such as the missing ones, in format version 3: each distinct plane is coded once.

Bands often share a mask: corners without data, whole bands without data, the masks of two detectors. So the distinct planes are coded, and
each band names its plane. A plane is coded as its difference (exclusive or) from the most similar plane before it, so a dead column in one
band takes the bytes of that column.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import InputError
from edgefuse.hyperspectral.codec import entropy_coder

Mask = NDArray[np.bool_]
_HEAD = struct.Struct("<HII")  # coded planes, bytes of the numbers of the bands' planes, bytes of the numbers of the reference planes
_GIVEN = 2  # planes that are known beforehand: 0 is empty, 1 is full
_CANDIDATES = 8  # most recent planes that are tried as a reference
_ONES = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(1)  # set bits of a byte


def encode(mask: Mask, height: int, width: int) -> bytes:
    """Encode a mask (height * width, B); `decode` reads it."""
    pixels = height * width
    planes = [np.packbits(np.full(pixels, full)) for full in (False, True)]
    known = {plane.tobytes(): number for number, plane in enumerate(planes)}
    numbers = []
    for plane in np.packbits(mask.T, axis=1):
        numbers.append(known.setdefault(plane.tobytes(), len(planes)))
        if numbers[-1] == len(planes):
            planes.append(plane)
    count = len(planes) - _GIVEN
    references, differences = [], np.zeros((count, pixels), bool)
    for i, plane in enumerate(planes[_GIVEN:]):
        # the first planes are tried as well: a few bands often differ from what most share
        tried = sorted({*range(min(i + _GIVEN, _GIVEN + 1)), *range(max(0, i + _GIVEN - _CANDIDATES), i + _GIVEN)})
        references.append(min(tried, key=lambda k: int(_ONES[plane ^ planes[k]].sum())))
        differences[i] = np.unpackbits(plane ^ planes[references[i]], count=pixels)
    chosen, sources = (entropy_coder.encode_exact(_steps(values)) if values else b"" for values in (numbers, references))
    coded = entropy_coder.encode_exact(np.ascontiguousarray(differences.T).reshape(height, width, -1)) if count else b""
    return _HEAD.pack(count, len(chosen), len(sources)) + chosen + sources + coded


def decode(data: bytes, shape: tuple[int, int, int]) -> Mask:
    """Decode `encode`'s output to (h * w, B). Raises InputError for an invalid structure; other damage gives a wrong mask."""
    if len(data) < _HEAD.size:
        raise InputError("a tile's mask is truncated")
    height, width, bands = shape
    count, chosen, sources = _HEAD.unpack_from(data)
    middle, end = _HEAD.size + chosen, _HEAD.size + chosen + sources
    if count > bands or end > len(data):
        raise InputError("a tile's mask is damaged")
    numbers, references = _values(data[_HEAD.size : middle], bands), _values(data[middle:end], count)
    planes = np.zeros((count + _GIVEN, height * width), bool)
    planes[1] = True
    if count:
        planes[_GIVEN:] = entropy_coder.decode_exact(data[end:], (height, width, count)).reshape(-1, count).T != 0
    for i, reference in enumerate(references):
        if not 0 <= reference < i + _GIVEN:
            raise InputError("a tile's mask is damaged")
        planes[i + _GIVEN] ^= planes[reference]
    if bands and not (min(numbers) >= 0 and max(numbers) < len(planes)):
        raise InputError("a tile's mask is damaged")
    return np.ascontiguousarray(planes[numbers].T)


def _steps(values: list[int]) -> NDArray[np.int32]:
    """Return the differences of `values`, as the entropy coder takes them."""
    return np.diff(np.array(values, np.int32), prepend=0).reshape(1, -1, 1).astype(np.int32)


def _values(data: bytes, count: int) -> list[int]:
    """Decode `count` values from their differences."""
    steps = entropy_coder.decode_exact(data, (1, count, 1)) if count else np.zeros(0, np.int32)
    values: list[int] = np.cumsum(steps.ravel(), dtype=np.int64).tolist()
    return values
