"""The spectral basis as it is sent: a mean spectrum and K vectors, quantised; and from components to spectra and back.

A decoder's spectra are sums of products of integers, below 2^52: floating-point numbers of 64 bits hold them exactly, so BLAS may sum in
any order and use any instruction, and every machine decodes the same.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import InputError
from edgefuse.hyperspectral.codec import entropy_coder
from edgefuse.hyperspectral.codec.entropy_tables import ONE
from edgefuse.util.arrays import Float64Array, Int32Array

_HEAD = struct.Struct("<dBHI")  # step, bits of a vector's fraction, vectors, bytes of the numbers
_QUARTERS = 1 << 28, 225726413, 189812531, 159612671  # 2^28 2^(-i / 4)
_DELTA = 128  # a row is sent as differences from band to band
_COARSE = 1.4  # a vector's step, in what an error of `step` in all its samples weighs
_MOST_BITS = 20
STRIP = 512  # pixels at a time: what they need lies in the second-level cache


@dataclass(frozen=True)
class Basis:
    step: float
    """Of the quantiser that it was made for, in the cube's units."""
    bits: int
    """Of a vector's fraction."""
    mean: Int32Array
    """(B,), in its steps."""
    numbers: Int32Array
    """(K, B), in steps of each vector."""
    finenesses: NDArray[np.uint8]
    """(1 + K,): a vector's step is 2^(-fineness / 4), the mean's, which comes first, so much of `step`."""

    @property
    def mean_step(self) -> float:
        fineness = int(self.finenesses[0])
        return self.step * _QUARTERS[fineness % 4] / (1 << 28 + fineness // 4)

    @property
    def vectors(self) -> NDArray[np.int64]:
        """(K, B), in units of 2^-bits."""
        factors = np.array([_QUARTERS[f % 4] >> (f // 4) for f in self.finenesses[1:].tolist()], np.int64)
        shift = 28 - self.bits
        return np.asarray(self.numbers * factors[:, None] + (1 << shift - 1) >> shift)

    @functools.cached_property
    def encoded(self) -> bytes:
        rows = np.concatenate([self.mean[None], self.numbers])
        steps = np.diff(rows, axis=1, prepend=0)
        smooth = np.log2(np.abs(steps) + 1).sum(1) < np.log2(np.abs(rows) + 1).sum(1)
        data = entropy_coder.encode_exact(np.where(smooth[:, None], steps, rows)[..., None].astype(np.int32))
        flags = self.finenesses | (smooth * _DELTA).astype(np.uint8)
        return _HEAD.pack(self.step, self.bits, len(self.numbers), len(data)) + flags.tobytes() + data

    @classmethod
    def from_bytes(cls, data: bytes, bands: int, version: int) -> Basis:
        """Raises InputError for what `encoded` never was."""
        if len(data) < _HEAD.size:
            raise InputError("a tile's basis is cut short")
        step, bits, count, size = _HEAD.unpack_from(data)
        flags = np.frombuffer(data, np.uint8, min(count + 1, len(data) - _HEAD.size), _HEAD.size)
        if not (1e-30 < step < 1e30 and bits <= _MOST_BITS and count <= bands and len(data) == _HEAD.size + count + 1 + size):
            raise InputError("a tile's basis is damaged")
        rows = entropy_coder.decode_exact(data[_HEAD.size + count + 1 :], (count + 1, bands, 1), version)[..., 0]
        smooth = flags >= _DELTA
        rows[smooth] = np.cumsum(rows[smooth], axis=1, dtype=np.int32)
        return cls(step, bits, rows[0], rows[1:], flags % _DELTA)


def quantised(mean: Float64Array, vectors: Float64Array, deviations: Float64Array, pixels: int, step: float) -> Basis:
    """`vectors` (B, K) as coarse as components of such standard deviations allow. The components are then those of `Basis.vectors`."""
    # an error in the mean, too, is one of every pixel
    weights = np.sqrt(pixels) * np.concatenate([[1.0], np.maximum(deviations / step, 1e-30)])
    fineness = np.clip(np.round(4 * np.log2(weights / _COARSE)), 0, 4 * _MOST_BITS - 1).astype(np.uint8)
    numbers = np.rint(vectors.T * np.exp2(fineness[1:, None] / 4)).astype(np.int32)
    # the sums must stay below 2^52
    most = np.abs(mean).max(initial=0) + 8 * (deviations * np.abs(vectors).max(0, initial=0)).sum() + step
    bits = int(np.clip(51 - np.ceil(np.log2(most / step * ONE * 4)), 1, _MOST_BITS))
    whole = np.rint(mean * (np.exp2(fineness[0] / 4) / step)).astype(np.int32)
    return Basis(step, bits, whole, numbers, fineness)


def vector_bits(bands: int, pixels: int, deviations: Float64Array) -> Float64Array:
    """About the bits that vectors take, of components with such standard deviations in steps."""
    return np.asarray(0.5 * bands * np.log2(1 + 6 * pixels / bands * np.square(deviations / _COARSE)) + 10)


def projection(basis: Basis) -> Float64Array:
    """(B, K): what makes pixels, less the mean, their components, by least squares."""
    vectors = basis.vectors.T / (1 << basis.bits)
    # a vector that was rounded to nothing has no component
    return np.asarray(vectors @ np.linalg.pinv(vectors.T @ vectors, rcond=1e-9, hermitian=True))


def scores(pixels: NDArray[np.generic], matrix: Float64Array, offset: Float64Array) -> Int32Array:
    """pixels (n, B) times matrix (B, K), less offset (K,), rounded."""
    out = np.empty((len(pixels), matrix.shape[1]), np.int32)
    matrix, offset = matrix.astype(np.float32), offset.astype(np.float32)
    for strip in strips(len(pixels)):
        made = pixels[strip].astype(np.float32) @ matrix
        made -= offset
        np.clip(made, -(2.0**27), 2.0**27, out=made)
        out[strip] = np.rint(made, out=made)
    return out


def spectra(components: Int32Array, basis: Basis, step: float) -> Iterator[tuple[slice, Float64Array]]:
    """The pixels (n, B), strip by strip, of components (n, K) in 256ths of `step`. A strip is valid until the next is asked for."""
    mean, unit = units(basis, step)
    for strip, part in sums(components, basis):
        part += mean
        part *= unit
        yield strip, part


def units(basis: Basis, step: float) -> tuple[Float64Array, float]:
    """What is to be added to `sums`, whole numbers, and what the result is in then."""
    unit = step / (ONE << basis.bits)
    return np.rint(basis.mean * (basis.mean_step / unit)), unit


def sums(components: Int32Array, basis: Basis) -> Iterator[tuple[slice, Float64Array]]:
    """The pixels (n, B) less the mean, in `units`. A strip is valid until the next is asked for."""
    vectors = basis.vectors.astype(np.float64)
    made = np.empty((min(STRIP, len(components)), vectors.shape[1]))
    for strip in strips(len(components)):
        part = made[: strip.stop - strip.start]
        np.matmul(components[strip].astype(np.float64), vectors, out=part)
        yield strip, part


def strips(count: int) -> list[slice]:
    return [slice(at, min(at + STRIP, count)) for at in range(0, count, STRIP)]
