"""Weights that predict the samples of a tile (predictive_coder.py): fitted by least squares for each band, and stored with the tile."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import InputError
from edgefuse.hyperspectral.codec import entropy_coder, exact
from edgefuse.hyperspectral.codec.prediction_plan import FLOATS, UNSIGNED, Plan, Skipped, Words
from edgefuse.util.arrays import Float64Array, Int32Array

_HEAD = struct.Struct("<B5BB3I")  # dropped bits, taps, whether all bands share their weights, bytes of shifts, bias and weights
_ONE = 1 << 14  # fixed-point scale of a weight
_MOST_WEIGHT = 1 << 18
_MOST_TAPS = 32
_BITS = 30  # of fixed-point values
_SAMPLED = 8192  # pixels that the weights are fitted to
_FEW = 64  # pixels below which all bands share their weights
_FAR = 64.0  # largest value, as a multiple of the usual ones, that the fixed-point numbers hold
_MOST_SHIFT = 1100

Taps = tuple[int, int, int, int, int]


def plan(words: Words, height: int, width: int, kinds: Int32Array, skipped: Skipped | None) -> Plan:
    """Return how the words (h * w, B) are predicted. kinds: (B,), as in `Plan`."""
    floats = kinds == FLOATS
    bits = int(np.bitwise_or.reduce(words[:, floats] if skipped is None else np.where(skipped[:, floats], 0, words[:, floats]), axis=None))
    dropped = (bits & -bits).bit_length() - 1 if bits else 0
    values, shifts = _fixed(words, kinds, skipped)
    count = len(words)
    taps: Taps = (12, 3, 3, 1, 1) if count >= 2048 else (4, 2, 2, 1, 1) if count >= _FEW else (2, 1, 1, 0, 0)
    weights, bias = _fit(values, height, width, taps, skipped)
    return Plan(kinds, shifts, dropped, taps, weights, bias)


def _fixed(words: Words, kinds: Int32Array, skipped: Skipped | None) -> tuple[Int32Array, Int32Array]:
    """Return the words as fixed-point numbers (h * w, B), skipped ones as the mean of their band, and the shifts (B,)."""
    result, shifts = np.zeros(words.shape, np.int32), np.zeros(words.shape[1], np.int32)
    item = words.dtype.itemsize
    for band, kind in enumerate(kinds.tolist()):
        column = np.ascontiguousarray(words[:, band])
        values = column.view(f"f{item}") if kind == FLOATS else column if kind == UNSIGNED else column.view(f"i{item}")
        numbers = values.astype(np.float64)
        known = np.isfinite(numbers) if skipped is None else np.isfinite(numbers) & ~skipped[:, band]
        if not known.any():
            continue
        size = np.abs(numbers[known])
        largest = min(float(size.max()), _FAR * float(np.quantile(size[:: max(1, len(size) // 4096)], 0.99)) or math.inf)
        exponent = math.frexp(largest)[1]
        shifts[band] = max(-_MOST_SHIFT, min(_MOST_SHIFT, _BITS - 1 - exponent)) if kind == FLOATS else max(0, exponent - _BITS)
        scale = int(shifts[band]) if kind == FLOATS else -int(shifts[band])
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = np.clip(np.ldexp(numbers, scale), -(2.0**_BITS), 2.0**_BITS)
        scaled[~known] = scaled[known].mean()
        result[:, band] = scaled
    return result, shifts


def _fit(values: Int32Array, height: int, width: int, taps: Taps, skipped: Skipped | None) -> tuple[Int32Array, Int32Array]:
    """Return weights (B, taps) and bias (B,)."""
    bands, total = values.shape[1], sum(taps)
    weights, bias = np.zeros((bands, total), np.int32), np.zeros(bands, np.int32)
    pixels = _neighbours(height, width, skipped)
    if len(pixels[0]) < 2:
        bias[:] = values[0]
        return weights, bias
    if len(pixels[0]) < _FEW:
        return _shared(values, pixels, taps), bias
    for band in range(bands):
        columns, places = _columns(values, pixels, taps, band)
        target = values[pixels[0], band].astype(np.float64)
        solved = np.zeros(0)
        means = columns.mean(0)
        if columns.shape[1]:
            centred = columns - means
            gram = centred.T @ centred
            gram += np.eye(len(gram)) * (1e-9 * np.trace(gram) / len(gram) + 1e-3)
            solved = np.linalg.solve(gram, centred.T @ (target - target.mean()))
        weights[band, places] = np.rint(np.clip(solved * _ONE, 1 - _MOST_WEIGHT, _MOST_WEIGHT - 1))
        rest = float(target.mean() - means @ (weights[band, places] / _ONE))
        bias[band] = round(max(1.0 - 2**31, min(2.0**31 - 1, rest)))
    return weights, bias


def _shared(values: Int32Array, pixels: Sequence[NDArray[np.intp]], taps: Taps) -> Int32Array:
    """Return weights (B, taps) that are the same for all bands, for tiles of few pixels."""
    bands = values.shape[1]
    gram, right = np.eye(sum(taps)) * 1e-3, np.zeros(sum(taps))
    for band in range(0, bands, max(1, bands // 512)):
        columns, places = _columns(values, pixels, taps, band)
        target = values[pixels[0], band].astype(np.float64)
        gram[np.ix_(places, places)] += columns.T @ columns
        right[places] += columns.T @ target
    gram += np.eye(len(gram)) * (1e-9 * np.trace(gram) / len(gram))
    row = np.rint(np.clip(np.linalg.solve(gram, right) * _ONE, 1 - _MOST_WEIGHT, _MOST_WEIGHT - 1)).astype(np.int32)
    return np.ascontiguousarray(np.broadcast_to(row, (bands, len(row))))


def _neighbours(height: int, width: int, skipped: Skipped | None) -> list[NDArray[np.intp]]:
    """Return numbers of some pixels without skipped samples, and of their neighbours: left, above, above left, above right."""
    count, upright = height * width, height >= width
    lines, length = (height, width) if upright else (width, height)
    kept = np.arange(1, count) if skipped is None else np.flatnonzero(~_lined(np.asarray(skipped.any(1)), height, width))
    kept = kept[kept > 0]
    if len(kept) < _FEW:
        kept = np.arange(1, count)
    chosen = kept[:: max(1, -(-len(kept) // _SAMPLED))]
    y, x = np.divmod(chosen, length)
    left = np.where(x > 0, chosen - 1, chosen - length)
    above = np.where(y > 0, chosen - length, left)
    corner = np.where((x > 0) & (y > 0), chosen - length - 1, above)
    right = np.where((y > 0) & (x + 1 < length), chosen - length + 1, above)
    places = chosen, left, above, corner, right
    return list(places) if upright else [(p % length) * lines + p // length for p in places]


def _lined(mask: NDArray[np.bool_], height: int, width: int) -> NDArray[np.bool_]:
    """Return a mask of pixels in the order in which they are coded."""
    return mask if height >= width else np.ascontiguousarray(mask.reshape(height, width).T).ravel()


def _columns(values: Int32Array, pixels: Sequence[NDArray[np.intp]], taps: Taps, band: int) -> tuple[Float64Array, list[int]]:
    """Return what predicts a band, (n, m), and the places of these columns among the taps."""
    columns: list[Float64Array] = []
    places: list[int] = []
    first = 0
    for pixel, count, end in zip(pixels, taps, (band, *[band + 1] * 4), strict=True):
        known = min(count, end)
        columns.append(values[pixel, end - known : end].astype(np.float64))
        places += range(first + count - known, first + count)
        first += count
    return np.concatenate(columns, 1), places


def to_bytes(made: Plan) -> bytes:
    """Serialise a plan, without its kinds."""
    shared = len(made.weights) > 1 and bool((made.weights == made.weights[0]).all())
    rows = made.weights[:1] if shared else made.weights
    parts = exact.values(made.shifts.astype(np.int16)), exact.values(made.bias), entropy_coder.encode_exact(rows[..., None])
    return _HEAD.pack(made.dropped, *made.taps, shared, *map(len, parts)) + b"".join(parts)


def from_bytes(data: bytes | memoryview, kinds: Int32Array, item: int) -> tuple[Plan, bytes | memoryview]:
    """Parse `to_bytes`; returns the rest, too. item: bytes of a word. Raises InputError for an invalid structure."""
    if len(data) < _HEAD.size:
        raise InputError("a tile is truncated")
    dropped, *taps, shared, shifts, bias, weights = _HEAD.unpack_from(data)
    ends = np.cumsum([_HEAD.size, shifts, bias, weights]).tolist()
    bands, total = len(kinds), sum(taps)
    if ends[-1] > len(data) or total > _MOST_TAPS or dropped >= 8 * item or shared > 1:
        raise InputError("a tile is damaged")
    found = exact.from_values(data[ends[0] : ends[1]], bands, np.dtype(np.int16)).astype(np.int32)
    if (np.abs(found) > _MOST_SHIFT).any() or ((kinds != FLOATS) & ((found < 0) | (found > 40))).any():
        raise InputError("a tile is damaged")
    rows = entropy_coder.decode_exact(data[ends[2] : ends[3]], (1 if shared else bands, total, 1))[..., 0] if total else np.zeros((1, 0))
    limited = np.clip(rows, -_MOST_WEIGHT, _MOST_WEIGHT).astype(np.int32)
    whole = np.ascontiguousarray(np.broadcast_to(limited, (bands, total)))
    offsets = np.ascontiguousarray(exact.from_values(data[ends[1] : ends[2]], bands, np.dtype(np.int32)))
    return Plan(kinds, found, dropped, (taps[0], taps[1], taps[2], taps[3], taps[4]), whole, offsets), data[ends[3] :]
