"""One tile with a largest absolute error: a lossy base, and what it misses, quantised so that no sample is off by more than the bound.

The base is a decoder's, bit for bit (lossy.py), so encoder and decoder miss the same. Where it stops, neighbouring bands still resemble
each other: a band's misses are predicted from those of the four bands before, by weights that are sent, and the rest is coded.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import InputError
from edgefuse.hyperspectral.codec import entropy_coder
from edgefuse.hyperspectral.codec.lossy import Analysis, Lossy
from edgefuse.util.arrays import Int32Array

_HEAD = struct.Struct("<II")  # bytes of the base, of the weights
_BEFORE = 4  # bands that predict one
_UNIT = 64  # of a weight
_LARGEST = 1 << 18  # no sample of 16 bits, and none that is predicted from them, is beyond
_NOISE = 6.0  # of the noise is the base's step


class Range(NamedTuple):
    least: int
    most: int


def encode(pixels: NDArray[np.integer], height: int, width: int, bound: int, limits: Range) -> bytes:
    """Pixels (h w, B) of integers within `limits`, at most 17 bits apart, none of which a decoder gets wrong by more than `bound`."""
    analysis = Analysis(pixels, height, width)
    # the weaker half of the components is noise, or nothing
    noise = float(np.sqrt(np.median(analysis.variances)))
    base = analysis.at(max(2 * bound + 1, _NOISE * noise))
    missed = np.ascontiguousarray((pixels - _rounded(base, limits, pixels.shape)).T, np.int32)
    weights = _weights(missed)
    sent = np.empty_like(missed)
    known = np.zeros_like(missed)
    for band in range(len(missed)):
        predicted = _predicted(known, weights, band)
        rest = missed[band] - predicted
        sent[band] = np.sign(rest) * ((np.abs(rest) + bound) // (2 * bound + 1))
        known[band] = predicted + sent[band] * (2 * bound + 1)
    base_bytes, weight_bytes = base.to_bytes(), entropy_coder.encode_exact(weights[..., None])
    head = _HEAD.pack(len(base_bytes), len(weight_bytes))
    return head + base_bytes + weight_bytes + entropy_coder.encode_exact(sent.T.reshape(height, width, -1))


def decode(data: bytes, shape: tuple[int, int, int], bound: int, limits: Range, version: int) -> Int32Array:
    """(h w, B), within `limits`. Raises InputError for what `encode` never wrote; other damage gives some pixels."""
    if len(data) < _HEAD.size:
        raise InputError("a tile is cut short")
    base_size, weight_size = _HEAD.unpack_from(data)
    begin, middle = _HEAD.size + base_size, _HEAD.size + base_size + weight_size
    if middle > len(data):
        raise InputError("a tile is damaged")
    bands, count = shape[2], shape[0] * shape[1]
    made = _rounded(Lossy.from_bytes(data[_HEAD.size : begin], shape, version), limits, (count, bands))
    weights = np.clip(entropy_coder.decode_exact(data[begin:middle], (bands, _BEFORE, 1), version)[..., 0], -_LARGEST, _LARGEST)
    sent = np.ascontiguousarray(entropy_coder.decode_exact(data[middle:], shape, version).reshape(count, bands).T)
    known = np.zeros_like(sent)
    for band in range(bands):
        step = np.clip(sent[band], -_LARGEST, _LARGEST).astype(np.int64) * (2 * bound + 1)
        known[band] = np.clip(_predicted(known, weights, band) + step, -_LARGEST, _LARGEST)
    return np.clip(made + known.T, limits.least, limits.most)


def _rounded(base: Lossy, limits: Range, shape: tuple[int, ...]) -> Int32Array:
    made = np.empty(shape, np.int32)
    base.whole(made, limits.least, limits.most)
    return made


def _weights(missed: Int32Array) -> Int32Array:
    """(B, 4): least squares."""
    some = missed[:, :: max(1, missed.shape[1] // 4096)].astype(np.float64)
    gram = some @ some.T
    found = np.zeros((len(missed), _BEFORE), np.int32)
    for band in range(1, len(missed)):
        before = np.arange(band - 1, max(-1, band - 1 - _BEFORE), -1)
        part = gram[np.ix_(before, before)]
        part += np.eye(len(before)) * (1e-6 * np.trace(part) + 1)
        found[band, : len(before)] = np.rint(np.clip(np.linalg.solve(part, gram[before, band]), -4, 4) * _UNIT)
    return found


def _predicted(known: Int32Array, weights: Int32Array, band: int) -> Int32Array:
    total = np.zeros(known.shape[1], np.int64)
    for i, weight in enumerate(weights[band].tolist()):
        if weight and band - 1 - i >= 0:
            total += known[band - 1 - i].astype(np.int64) * weight
    return np.clip(total + _UNIT // 2 >> _UNIT.bit_length() - 1, -_LARGEST, _LARGEST).astype(np.int32)
