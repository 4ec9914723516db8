"""Section of a tile's payload with the samples that are not coded with the others: missing ones, fill values, outliers.

Until format version 2 the section is a mask of missing samples alone, either one plane for all bands (first byte 1) or one plane for each
band (0). Version 3 adds the first byte 2: masks of which each distinct plane is coded once (masks.py), fill values with a mask each, and
single samples with their positions. The writer uses it only for tiles that need it.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import InputError
from edgefuse.hyperspectral import efz
from edgefuse.hyperspectral.codec import entropy_coder, exact, masks, single_samples
from edgefuse.hyperspectral.codec.outliers import Array, Mask, Outliers
from edgefuse.hyperspectral.codec.single_samples import taken

_PER_BAND, _SHARED, _AREAS = range(3)
_AREA = struct.Struct("<BI")  # whether the area's value follows (else it is missing), bytes of the mask
_MAX_AREAS = 8  # missing samples, three values that are not finite, fill values
VERSION = 3  # of the format, for sections that start with _AREAS


def encode(pixels: Array, missing: Mask, outliers: Outliers | None, height: int, width: int) -> tuple[bytes, int]:
    """Encode the section for a tile of `pixels` (n, B). Returns it and the format version that it needs."""
    if outliers is None and (missing == missing[:, :1]).all():
        return bytes([_SHARED]) + entropy_coder.encode_exact(missing[:, :1].reshape(height, width, 1).astype(np.int32)), efz.PLAIN_VERSION
    fills = outliers.fills if outliers else []
    areas = [_AREA.pack(False, len(data)) + data for data in [masks.encode(missing, height, width)] if missing.any()]
    for fill in fills:
        value, data = np.array([fill.value], pixels.dtype), masks.encode(fill.mask, height, width)
        areas.append(_AREA.pack(True, len(data)) + exact.values(value) + data)
    section = bytes([_AREAS, len(areas)]) + b"".join(areas)
    if outliers:
        section += single_samples.encode(pixels, outliers.singles)
    return section, VERSION


def restore(out: Array, section: bytes | memoryview, size: tuple[int, int], missing: float, version: int) -> None:
    """Write the samples that `section` holds into the decoded tile `out` (h * w, B). size: (h, w). missing: value of missing samples.

    Raises InputError for an invalid structure; other damage, which the checksum detects, gives wrong samples.
    """
    shape = (*size, out.shape[1])
    if section[0] != _AREAS or version < VERSION:
        out[_mask(section, shape, version)] = missing
        return
    if len(section) < 2 or section[1] > _MAX_AREAS:
        raise InputError("a tile is damaged")
    at = 2
    for _ in range(section[1]):
        valued, length = _AREA.unpack(taken(section, at, _AREA.size))
        at += _AREA.size
        value = exact.from_values(taken(section, at, out.dtype.itemsize), 1, out.dtype)[0] if valued else missing
        at += out.dtype.itemsize * bool(valued)
        out[masks.decode(taken(section, at, length), shape)] = value
        at += length
    if at < len(section):
        single_samples.restore(out, section, at)


def _mask(data: bytes | memoryview, shape: tuple[int, int, int], version: int) -> NDArray[np.bool_]:
    """Decode the mask of a section of version 1 or 2: (h * w, B), or (h * w,) if it is the same in all bands."""
    bands = 1 if data[0] == _SHARED else shape[2]
    mask = entropy_coder.decode_exact(data[1:], (shape[0], shape[1], bands), version) != 0
    return mask.reshape(-1) if data[0] == _SHARED else mask.reshape(-1, bands)
