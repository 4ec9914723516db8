"""Payload of a tile: the samples that are coded apart, such as missing ones, then the others, coded lossy, near-lossless or exactly."""

from __future__ import annotations

import math
import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import InputError
from edgefuse.hyperspectral import efz
from edgefuse.hyperspectral.codec import exact, infill, near_lossless, predicted_tile, separate_samples
from edgefuse.hyperspectral.codec.extremes import extremes
from edgefuse.hyperspectral.codec.lossy import Analysis, Lossy
from edgefuse.hyperspectral.codec.outliers import MAX_MAGNITUDE, Array, Mask, Outliers, Suspicion, find, suspected

INTEGERS = "uint8", "int8", "uint16", "int16"  # types that can be coded near-lossless
_HEAD = struct.Struct("<BI")  # kind of payload, bytes of the section of samples that are coded apart
_EMPTY, _LOSSY, _NEAR_LOSSLESS, _LOSSLESS, _EXACT, _PREDICTED = range(6)


class Apart(NamedTuple):
    """Samples of a tile that are not coded with the others: missing ones, fill values, outliers (separate_samples.py)."""

    mask: NDArray[np.bool_]
    """(h * w, B)"""
    section: bytes
    """How the payload stores them."""
    version: int
    """Format version that the section needs."""


class Prepared(NamedTuple):
    """A tile whose samples that are coded apart are replaced."""

    pixels: Array
    """(h * w, B), finite."""
    height: int
    width: int
    apart: Apart | None

    @property
    def empty(self) -> bool:
        """Whether no sample is left to code."""
        return self.apart is not None and bool(self.apart.mask.all())

    @property
    def section(self) -> bytes:
        """Section of the payload with the samples that are coded apart; empty if there are none."""
        return self.apart.section if self.apart else b""


def prepared(cube: Array, nodata: float | None, outliers: bool = True) -> Prepared:
    """Prepare the samples `cube` (h, w, B) of a tile. Samples equal to `nodata` and NaN are missing. Raises InputError.

    outliers: look for finite samples that are far from all others, to code them apart. Those too large for the transform always are.
    """
    height, width, bands = cube.shape
    pixels = np.ascontiguousarray(cube).reshape(-1, bands)
    low, high = extremes(pixels)
    numbers = bool(np.isfinite(low).all() and np.isfinite(high).all())
    missing = _missing(pixels, nodata, low, high, numbers)
    rest = pixels
    if missing is not None:
        rest = infill.filled(pixels, missing if numbers else missing | ~np.isfinite(pixels), width)
        low, high = extremes(rest)
    kinds = suspected(rest, low, high) if np.isfinite(low).all() and np.isfinite(high).all() else Suspicion()
    if not outliers and _largest(rest, low, high) <= MAX_MAGNITUDE:
        kinds = Suspicion(False, False)
    found = find(pixels, missing, kinds, numbers) if any(kinds) or not numbers else None
    if found is None:
        return Prepared(rest, height, width, None if missing is None else _apart(pixels, missing, None, height, width))
    missing = np.zeros(pixels.shape, bool) if missing is None else missing
    separate = _apart(pixels, missing, found, height, width)
    return Prepared(infill.filled(pixels, separate.mask, width), height, width, separate)


def _largest(pixels: Array, low: Array, high: Array) -> float:
    """Return the largest magnitude of the finite samples (n, B), whose extremes by band are `low` and `high`."""
    largest = max(-float(low.min()), float(high.max()))
    if math.isfinite(largest):
        return largest
    return float(np.abs(pixels, out=np.zeros(pixels.shape), where=np.isfinite(pixels)).max())


def _missing(pixels: Array, nodata: float | None, low: Array, high: Array, numbers: bool) -> Mask | None:
    """Return the mask (n, B) of missing samples; None if there are none."""
    if nodata is None or math.isnan(nodata):
        return None if numbers or not (mask := np.isnan(pixels)).any() else mask
    if numbers and not low.min() <= nodata <= high.max():
        return None
    return mask if (mask := pixels == nodata).any() else None


def _apart(pixels: Array, missing: Mask, found: Outliers | None, height: int, width: int) -> Apart:
    section, version = separate_samples.encode(pixels, missing, found, height, width)
    return Apart(missing | found.mask if found else missing, section, version)


class Payload(NamedTuple):
    """Payload of a tile."""

    data: bytes
    version: int
    """Format version that it needs."""


def lossy_payload(tile: Prepared, made: Lossy | None) -> Payload:
    """Return the payload of a lossy tile; None: no sample is left to code."""
    return _payload(tile, _EMPTY, b"") if made is None else _payload(tile, _LOSSY, made.to_bytes())


def near_payload(tile: Prepared, bound: int) -> Payload:
    """Return the payload of a near-lossless tile with a maximum error of `bound`, the one that the file's header states."""
    return _payload(tile, _EMPTY, b"") if tile.empty else _payload(tile, _NEAR_LOSSLESS, _near(tile, bound))


def exact_payload(tile: Prepared) -> Payload:
    """Return the payload of a tile that is coded exactly, in a file whose header states no bound."""
    if tile.pixels.dtype.name in INTEGERS:
        return _payload(tile, _LOSSLESS, _near(tile, 0))
    return _payload(tile, _EXACT, exact.encode(tile.pixels))


def bits_payload(samples: Array, nodata: float | None) -> Payload:
    """Return the payload of a tile (h, w, B) of floats or 32-bit integers with every bit: NaN payloads, -0.0, missing samples."""
    if (data := predicted_tile.encode(samples, nodata)) is not None:
        return Payload(_HEAD.pack(_PREDICTED, 0) + data, predicted_tile.VERSION)
    pixels = np.ascontiguousarray(samples).reshape(-1, samples.shape[2])
    return Payload(_HEAD.pack(_EXACT, 0) + exact.encode(pixels), separate_samples.VERSION)


def bounded_payload(samples: Array, nodata: float | None, error: float, relative: bool) -> Payload:
    """Return the payload of a tile (h, w, B) of floats or 32-bit integers with errors of at most `error`.

    relative: `error` is a share of each sample's magnitude. Exact where that is no longer.
    """
    encode = predicted_tile.encode_relative if relative else predicted_tile.encode_within
    data = encode(samples, nodata, error)
    if data is None:
        return bits_payload(samples, nodata)
    if predicted_tile.may_be_shorter_exactly(samples, nodata) and (bits := predicted_tile.encode(samples, nodata)) is not None:
        data = min(data, bits, key=len)
    return Payload(_HEAD.pack(_PREDICTED, 0) + data, predicted_tile.VERSION)


def unit(tile: Prepared) -> int:
    """Return the distance of neighbouring values that `exact_payload` makes use of: 1 for integers of 8 and 16 bits, else 0."""
    return int(tile.pixels.dtype.name in INTEGERS)


def _near(tile: Prepared, bound: int) -> bytes:
    return near_lossless.encode(tile.pixels, tile.height, tile.width, bound, limits(tile.pixels.dtype))


def _payload(tile: Prepared, kind: int, data: bytes) -> Payload:
    version = separate_samples.VERSION if kind in (_LOSSLESS, _EXACT) else tile.apart.version if tile.apart else efz.PLAIN_VERSION
    return Payload(_HEAD.pack(kind, len(tile.section)) + tile.section + data, version)


def analysed(tile: Prepared) -> Analysis | None:
    """Analyse a tile for lossy coding; None if no sample is left to code."""
    return None if tile.empty else Analysis(tile.pixels, tile.height, tile.width, tile.apart.mask if tile.apart else None)


def overhead(tile: Prepared) -> int:
    """Return the bytes of a payload that do not depend on the quantiser step."""
    return _HEAD.size + len(tile.section)


def decode(
    payload: bytes, shape: tuple[int, int, int], dtype: np.dtype[np.generic], bound: int | None, nodata: float | None, version: int
) -> Array:
    """Decode to (h, w, B). Raises InputError for an invalid structure; other damage, which the checksum detects, gives wrong samples."""
    if len(payload) < _HEAD.size:
        raise InputError("a tile is truncated")
    kind, size = _HEAD.unpack_from(payload)
    begin = _HEAD.size + size
    most = _PREDICTED if version >= predicted_tile.VERSION else _EXACT if version >= separate_samples.VERSION else _NEAR_LOSSLESS
    if begin > len(payload) or kind > most or (kind == _NEAR_LOSSLESS and bound is None):
        raise InputError("a tile is damaged")
    # views, because a copy of a payload may take a fourth of the memory that decoding may take
    view = memoryview(payload)
    out: Array
    if kind == _LOSSY:
        lossy = Lossy.from_bytes(view[begin:], shape, version)
        out = lossy.floats(dtype) if dtype.kind == "f" else lossy.whole(dtype, *limits(dtype))
    elif kind == _EXACT:
        out = exact.decode(view[begin:], (shape[0] * shape[1], shape[2]), dtype)
    elif kind == _PREDICTED:
        out = predicted_tile.decode(view[begin:], shape, dtype)
    elif kind in (_NEAR_LOSSLESS, _LOSSLESS):
        if dtype.name not in INTEGERS:
            raise InputError("a tile is damaged")
        allowed = bound if kind == _NEAR_LOSSLESS and bound is not None else 0
        out = near_lossless.decode(view[begin:], shape, allowed, limits(dtype), dtype, version)
    else:
        out = np.zeros((shape[0] * shape[1], shape[2]), dtype)
    if size:
        separate_samples.restore(out, view[_HEAD.size : begin], shape[:2], missing_value(dtype, nodata), version)
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
