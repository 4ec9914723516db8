"""Payload of a tile: the mask of missing samples, then the samples, coded lossy or near-lossless."""

from __future__ import annotations

import math
import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import InputError
from edgefuse.hyperspectral.codec import entropy_coder, near_lossless
from edgefuse.hyperspectral.codec.lossy import Analysis, Lossy

_HEAD = struct.Struct("<BI")  # kind of payload, bytes of the mask
_MAX_MAGNITUDE = 1e12  # largest magnitude whose squares can be summed in float32
_EMPTY, _LOSSY, _NEAR_LOSSLESS = range(3)

Array = NDArray[np.generic]


class Missing(NamedTuple):
    """Missing samples of a tile."""

    mask: NDArray[np.bool_]
    """(h * w, B)"""
    encoded: bytes
    """The mask as stored in the payload."""


class Prepared(NamedTuple):
    """A tile whose missing samples are replaced."""

    pixels: Array
    """(h * w, B), finite; missing samples hold the mean of their band."""
    height: int
    width: int
    missing: Missing | None

    @property
    def empty(self) -> bool:
        """Whether all samples are missing."""
        return self.missing is not None and bool(self.missing.mask.all())


def prepared(cube: Array, nodata: float | None) -> Prepared:
    """Prepare the samples `cube` (h, w, B) of a tile. Samples equal to `nodata` and non-finite ones are missing. Raises InputError."""
    height, width, bands = cube.shape
    pixels = np.ascontiguousarray(cube).reshape(-1, bands)
    if _no_sample_missing(pixels, nodata):
        return Prepared(pixels, height, width, None)
    mask = ~np.isfinite(pixels) if pixels.dtype.kind == "f" else np.zeros(pixels.shape, bool)
    if nodata is not None and not math.isnan(nodata):
        mask |= pixels == nodata
    if pixels.dtype.kind == "f" and np.abs(np.where(mask, 0, pixels)).max() > _MAX_MAGNITUDE:
        raise InputError(f"samples beyond {_MAX_MAGNITUDE:g} can't be compressed; scale the cube, or name such samples as nodata")
    if not mask.any():
        return Prepared(pixels, height, width, None)
    same_in_all_bands = bool((mask == mask[:, :1]).all())
    shape = height, width, 1 if same_in_all_bands else bands
    encoded = entropy_coder.encode_exact(mask[:, :1].reshape(shape) if same_in_all_bands else mask.reshape(shape))
    counts = (~mask).sum(0)
    means = np.where(mask, 0, pixels).sum(0, dtype=np.float64) / np.maximum(counts, 1)
    means = means.astype(pixels.dtype) if pixels.dtype.kind == "f" else np.rint(means).astype(pixels.dtype)
    return Prepared(np.where(mask, means, pixels), height, width, Missing(mask, bytes([same_in_all_bands]) + encoded))


def _no_sample_missing(pixels: Array, nodata: float | None) -> bool:
    """Quick check by minimum and maximum: True if certainly no sample is missing or too large."""
    low, high = float(pixels.min()), float(pixels.max())
    return low >= -_MAX_MAGNITUDE and high <= _MAX_MAGNITUDE and (nodata is None or not low <= nodata <= high)


def lossy_payload(tile: Prepared, made: Lossy | None) -> bytes:
    """Return the payload of a lossy tile; None: all samples are missing."""
    mask = tile.missing.encoded if tile.missing else b""
    return _HEAD.pack(_EMPTY if made is None else _LOSSY, len(mask)) + mask + (b"" if made is None else made.to_bytes())


def near_payload(tile: Prepared, bound: int) -> bytes:
    """Return the payload of a near-lossless tile with a maximum error of `bound`."""
    mask = tile.missing.encoded if tile.missing else b""
    if tile.empty:
        return _HEAD.pack(_EMPTY, len(mask)) + mask
    encoded = near_lossless.encode(tile.pixels, tile.height, tile.width, bound, limits(tile.pixels.dtype))  # type: ignore[arg-type]
    return _HEAD.pack(_NEAR_LOSSLESS, len(mask)) + mask + encoded


def analysed(tile: Prepared) -> Analysis | None:
    """Analyse a tile for lossy coding; None if all samples are missing."""
    return None if tile.empty else Analysis(tile.pixels, tile.height, tile.width)


def overhead(tile: Prepared) -> int:
    """Return the bytes of a payload that do not depend on the quantiser step."""
    return _HEAD.size + (len(tile.missing.encoded) if tile.missing else 0)


def decode(
    payload: bytes, shape: tuple[int, int, int], dtype: np.dtype[np.generic], bound: int | None, nodata: float | None, version: int
) -> Array:
    """Decode to (h, w, B). Raises InputError for an invalid structure; other damage, which the checksum detects, gives wrong samples."""
    if len(payload) < _HEAD.size:
        raise InputError("a tile is truncated")
    kind, size = _HEAD.unpack_from(payload)
    begin = _HEAD.size + size
    if begin > len(payload) or kind > _NEAR_LOSSLESS or (kind == _NEAR_LOSSLESS and bound is None):
        raise InputError("a tile is damaged")
    # views, because a copy of a payload may take a fourth of the memory that decoding may take
    view = memoryview(payload)
    out: Array
    if kind == _LOSSY:
        lossy = Lossy.from_bytes(view[begin:], shape, version)
        out = lossy.floats(dtype) if dtype.kind == "f" else lossy.whole(dtype, *limits(dtype))
    elif kind == _NEAR_LOSSLESS:
        assert bound is not None
        out = near_lossless.decode(view[begin:], shape, bound, limits(dtype), dtype, version)
    else:
        out = np.zeros((shape[0] * shape[1], shape[2]), dtype)
    if size:
        out[decoded_mask(view[_HEAD.size : begin], shape, version)] = missing_value(dtype, nodata)
    return out.reshape(shape)


def limits(dtype: np.dtype[np.generic]) -> near_lossless.Range:
    """Return the value range of an integer type."""
    info = np.iinfo(dtype)  # type: ignore[type-var]
    return near_lossless.Range(int(info.min), int(info.max))


def missing_value(dtype: np.dtype[np.generic], nodata: float | None) -> float:
    """Return the value that decoded missing samples hold: `nodata`, else NaN for floats and 0 for integers."""
    if nodata is not None:
        return nodata
    return math.nan if dtype.kind == "f" else 0


def decoded_mask(data: bytes | memoryview, shape: tuple[int, int, int], version: int) -> NDArray[np.bool_]:
    """Decode the mask of missing samples: (h * w, B), or (h * w,) if it is the same in all bands."""
    same_in_all_bands = data[0] == 1
    bands = 1 if same_in_all_bands else shape[2]
    mask = entropy_coder.decode_exact(data[1:], (shape[0], shape[1], bands), version) != 0
    return mask.reshape(-1) if same_in_all_bands else mask.reshape(-1, bands)
