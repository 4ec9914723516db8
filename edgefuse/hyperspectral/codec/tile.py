"""A tile's payload: which of its samples are missing, and the rest, lossy or within a largest error."""

from __future__ import annotations

import math
import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import InputError
from edgefuse.hyperspectral.codec import entropy_coder, near_lossless
from edgefuse.hyperspectral.codec.lossy import Analysis, Lossy

_HEAD = struct.Struct("<BI")  # what follows, and bytes of the mask
_LARGEST = 1e12  # what single precision squares and sums
_NOTHING, _LOSSY, _NEAR = range(3)

Array = NDArray[np.generic]


class Missing(NamedTuple):
    mask: NDArray[np.bool_]
    """(h w, B)"""
    encoded: bytes


class Prepared(NamedTuple):
    """A tile without its missing samples."""

    pixels: Array
    """(h w, B), finite: missing ones are their band's mean."""
    height: int
    width: int
    missing: Missing | None

    @property
    def empty(self) -> bool:
        return self.missing is not None and bool(self.missing.mask.all())


def prepared(cube: Array, nodata: float | None) -> Prepared:
    """`cube` (h, w, B). Missing is what equals `nodata`, and what is no finite number. Raises InputError."""
    height, width, bands = cube.shape
    pixels = np.ascontiguousarray(cube).reshape(-1, bands)
    if _whole(pixels, nodata):
        return Prepared(pixels, height, width, None)
    mask = ~np.isfinite(pixels) if pixels.dtype.kind == "f" else np.zeros(pixels.shape, bool)
    if nodata is not None and not math.isnan(nodata):
        mask |= pixels == nodata
    if pixels.dtype.kind == "f" and np.abs(np.where(mask, 0, pixels)).max() > _LARGEST:
        raise InputError(f"samples beyond {_LARGEST:g} can't be compressed; scale the cube, or name such samples as nodata")
    if not mask.any():
        return Prepared(pixels, height, width, None)
    same = bool((mask == mask[:, :1]).all())
    shape = height, width, 1 if same else bands
    encoded = entropy_coder.encode_exact(mask[:, :1].reshape(shape) if same else mask.reshape(shape))
    counts = (~mask).sum(0)
    means = np.where(mask, 0, pixels).sum(0, dtype=np.float64) / np.maximum(counts, 1)
    means = means.astype(pixels.dtype) if pixels.dtype.kind == "f" else np.rint(means).astype(pixels.dtype)
    return Prepared(np.where(mask, means, pixels), height, width, Missing(mask, bytes([same]) + encoded))


def _whole(pixels: Array, nodata: float | None) -> bool:
    """Whether the extremes alone, which cost little, tell that no sample is missing or too large."""
    low, high = float(pixels.min()), float(pixels.max())
    return low >= -_LARGEST and high <= _LARGEST and (nodata is None or not low <= nodata <= high)


def lossy_payload(tile: Prepared, made: Lossy | None) -> bytes:
    mask = tile.missing.encoded if tile.missing else b""
    return _HEAD.pack(_NOTHING if made is None else _LOSSY, len(mask)) + mask + (b"" if made is None else made.to_bytes())


def near_payload(tile: Prepared, bound: int) -> bytes:
    mask = tile.missing.encoded if tile.missing else b""
    if tile.empty:
        return _HEAD.pack(_NOTHING, len(mask)) + mask
    made = near_lossless.encode(tile.pixels, tile.height, tile.width, bound, limits(tile.pixels.dtype))  # type: ignore[arg-type]
    return _HEAD.pack(_NEAR, len(mask)) + mask + made


def analysed(tile: Prepared) -> Analysis | None:
    return None if tile.empty else Analysis(tile.pixels, tile.height, tile.width)


def overhead(tile: Prepared) -> int:
    """Bytes of a payload that no step changes."""
    return _HEAD.size + (len(tile.missing.encoded) if tile.missing else 0)


def decode(
    payload: bytes, shape: tuple[int, int, int], dtype: np.dtype[np.generic], bound: int | None, nodata: float | None, version: int
) -> Array:
    """(h, w, B). Raises InputError for what no encoder wrote; other damage, which a check sum has to find, gives some samples."""
    if len(payload) < _HEAD.size:
        raise InputError("a tile is cut short")
    kind, size = _HEAD.unpack_from(payload)
    begin = _HEAD.size + size
    if begin > len(payload) or kind > _NEAR or (kind == _NEAR and bound is None):
        raise InputError("a tile is damaged")
    flat = shape[0] * shape[1], shape[2]
    out = np.zeros(flat, dtype)
    if kind == _LOSSY:
        lossy = Lossy.from_bytes(payload[begin:], shape, version)
        if out.dtype.kind != "f":
            lossy.whole(out, *limits(dtype))
        else:
            # a damaged basis may ask for more than the type holds
            with np.errstate(over="ignore"):
                for strip, spectra in lossy.spectra():
                    out[strip] = spectra
    elif kind == _NEAR:
        assert bound is not None
        out[...] = near_lossless.decode(payload[begin:], shape, bound, limits(dtype), version)
    if size:
        mask = decoded_mask(payload[_HEAD.size : begin], shape, version)
        out[mask] = missing_value(dtype, nodata)
    return out.reshape(shape)


def limits(dtype: np.dtype[np.generic]) -> near_lossless.Range:
    info = np.iinfo(dtype)  # type: ignore[type-var]
    return near_lossless.Range(int(info.min), int(info.max))


def missing_value(dtype: np.dtype[np.generic], nodata: float | None) -> float:
    if nodata is not None:
        return nodata
    return math.nan if dtype.kind == "f" else 0


def decoded_mask(data: bytes, shape: tuple[int, int, int], version: int) -> NDArray[np.bool_]:
    same = data[0] == 1
    bands = 1 if same else shape[2]
    mask = entropy_coder.decode_exact(data[1:], (shape[0], shape[1], bands), version) != 0
    return np.broadcast_to(mask, shape).reshape(-1, shape[2])
