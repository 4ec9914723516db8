"""Quantised spectral basis of a tile (mean spectrum and K vectors), and conversion between components and spectra.

The decoder's spectra are sums of products of integers below 2^52, which float64 represents exactly. So the result depends neither on the
order in which BLAS sums nor on its instructions, and every machine decodes the same samples.
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

_HEAD = struct.Struct("<dBHI")  # quantiser step, fraction bits of a vector, number of vectors, bytes of their coefficients
_QUARTERS = 1 << 28, 225726413, 189812531, 159612671  # 2^28 * 2^(-i / 4) for i = 0..3
_DELTA_FLAG = 128  # flag: the row is stored as differences between neighbouring bands
_VECTOR_ERROR = 1.4  # quantisation error of a vector, in quantiser steps, after weighting by sqrt(pixels) * deviation
_MAX_BITS = 20
SCORES = 2.0**28  # largest magnitude of a component in 256ths of a step; the wavelet transform then stays within 32 bits
# limits of a file's basis, beside the number of pixels, which exceeds that of the vectors that an encoder keeps
_MIN_VECTORS, _MAX_ELEMENTS = 64, 1 << 24
STRIP = 512  # pixels per block; its working set fits the L2 cache
_BLOCK = 1 << 19  # largest elements of a block of spectra, or of vectors as float64


@dataclass(frozen=True)
class Basis:
    """Quantised mean spectrum and vectors."""

    step: float
    """Quantiser step that the basis was made for, in the cube's units."""
    bits: int
    """Fraction bits of a vector."""
    mean: Int32Array
    """(B,), mean spectrum in units of `mean_step`."""
    numbers: Int32Array
    """(K, B): vectors, each quantised with its own step."""
    finenesses: NDArray[np.uint8]
    """(1 + K,): the mean's step is `step` * 2^(-finenesses[0] / 4), that of vector k is 2^(-finenesses[1 + k] / 4)."""

    @property
    def mean_step(self) -> float:
        fineness = int(self.finenesses[0])
        return self.step * _QUARTERS[fineness % 4] / (1 << 28 + fineness // 4)

    @property
    def vectors(self) -> NDArray[np.int64]:
        """(K, B), in units of 2^-bits."""
        return self.rows(0, len(self.numbers))

    def rows(self, begin: int, end: int) -> NDArray[np.int64]:
        """Return the vectors `begin` to `end`, in units of 2^-bits."""
        factors = np.array([_QUARTERS[f % 4] >> (f // 4) for f in self.finenesses[1 + begin : 1 + end].tolist()], np.int64)
        shift = 28 - self.bits
        return np.asarray(self.numbers[begin:end] * factors[:, None] + (1 << shift - 1) >> shift)

    @functools.cached_property
    def encoded(self) -> bytes:
        """Serialised basis, which `from_bytes` reads."""
        rows = np.concatenate([self.mean[None], self.numbers])
        differences = np.diff(rows, axis=1, prepend=0)
        use_differences = np.log2(np.abs(differences) + 1).sum(1) < np.log2(np.abs(rows) + 1).sum(1)
        data = entropy_coder.encode_exact(np.where(use_differences[:, None], differences, rows)[..., None].astype(np.int32))
        flags = self.finenesses | (use_differences * _DELTA_FLAG).astype(np.uint8)
        return _HEAD.pack(self.step, self.bits, len(self.numbers), len(data)) + flags.tobytes() + data

    @classmethod
    def from_bytes(cls, data: bytes | memoryview, bands: int, pixels: int, version: int) -> Basis:
        """Parse `encoded` for a tile of `pixels`. Raises InputError for damaged data."""
        if len(data) < _HEAD.size:
            raise InputError("a tile's basis is truncated")
        step, bits, count, size = _HEAD.unpack_from(data)
        flags = np.frombuffer(data, np.uint8, min(count + 1, len(data) - _HEAD.size), _HEAD.size)
        fits = count <= min(bands, max(pixels, _MIN_VECTORS)) and count * bands <= _MAX_ELEMENTS
        if not (1e-30 < step < 1e30 and bits <= _MAX_BITS and fits and len(data) == _HEAD.size + count + 1 + size):
            raise InputError("a tile's basis is damaged")
        rows = entropy_coder.decode_exact(data[_HEAD.size + count + 1 :], (count + 1, bands, 1), version)[..., 0]
        for row in np.flatnonzero(flags >= _DELTA_FLAG):
            np.cumsum(rows[row], dtype=np.int32, out=rows[row])
        return cls(step, bits, rows[0], rows[1:], flags % _DELTA_FLAG)


def quantised(mean: Float64Array, vectors: Float64Array, deviations: Float64Array, pixels: int, step: float) -> Basis:
    """Quantise the mean (B,) and the vectors (B, K) as coarsely as the components' standard deviations (K,) allow.

    Components must then be computed from `Basis.vectors`, not from `vectors`.
    """
    # an error in the mean affects every pixel, as one in a vector does
    weights = np.sqrt(pixels) * np.concatenate([[1.0], np.maximum(deviations / step, 1e-30)])
    fineness = np.clip(np.round(4 * np.log2(weights / _VECTOR_ERROR)), 0, 4 * _MAX_BITS - 1).astype(np.uint8)
    numbers = np.rint(vectors.T * np.exp2(fineness[1:, None] / 4)).astype(np.int32)
    # the sums must stay below 2^52
    bound = np.abs(mean).max(initial=0) + 8 * (deviations * np.abs(vectors).max(0, initial=0)).sum() + step
    bits = int(np.clip(51 - np.ceil(np.log2(bound / step * ONE * 4)), 1, _MAX_BITS))
    mean_steps = np.rint(mean * (np.exp2(fineness[0] / 4) / step)).astype(np.int32)
    return Basis(step, bits, mean_steps, numbers, fineness)


def vector_bits(bands: int, pixels: int, deviations: Float64Array) -> Float64Array:
    """Estimate the bits (K,) of vectors whose components have these standard deviations (K,), in steps."""
    return np.asarray(0.5 * bands * np.log2(1 + 6 * pixels / bands * np.square(deviations / _VECTOR_ERROR)) + 10)


def projection(basis: Basis) -> Float64Array:
    """Return the (B, K) matrix that maps pixels minus the mean to components, by least squares."""
    vectors = basis.vectors.T / (1 << basis.bits)
    # the pseudo-inverse gives a vector that was rounded to zero no component
    return np.asarray(vectors @ np.linalg.pinv(vectors.T @ vectors, rcond=1e-9, hermitian=True))


def scores(pixels: NDArray[np.generic], matrix: Float64Array, offset: Float64Array, precise: bool = False) -> tuple[Int32Array, float]:
    """Return round(pixels (n, B) @ matrix (B, K) - offset (K,)) as int32 (n, K), and the largest magnitude.

    Magnitudes above `SCORES` are clipped to it.

    precise: compute in float64 rather than float32.
    """
    kind: type[np.float32 | np.float64] = np.float64 if precise else np.float32
    out, largest = np.empty((len(pixels), matrix.shape[1]), np.int32), 0.0
    matrix, offset = matrix.astype(kind), offset.astype(kind)
    for strip in strips(len(pixels)):
        product: NDArray[np.floating] = np.matmul(pixels[strip].astype(kind), matrix)
        product -= offset
        extreme = max(float(product.max(initial=0)), -float(product.min(initial=0)))
        if not extreme <= SCORES:
            np.clip(product, -SCORES, SCORES, out=product)
        largest = max(largest, extreme)
        out[strip] = np.rint(product, out=product)
    return out, largest


def spectra(components: Int32Array, basis: Basis, step: float) -> Iterator[tuple[slice, Float64Array]]:
    """Yield the pixels (n, B) of components (n, K) in 256ths of `step`, in strips. A strip is valid until the next one is requested."""
    mean, unit = units(basis, step)
    for strip, part in sums(components, basis):
        part += mean
        part *= unit
        yield strip, part


def units(basis: Basis, step: float) -> tuple[Float64Array, float]:
    """Return the integer mean (B,) to add to `sums`, and the unit of the result in the cube's units."""
    unit = step / (ONE << basis.bits)
    return np.rint(basis.mean * (basis.mean_step / unit)), unit


def sums(components: Int32Array, basis: Basis) -> Iterator[tuple[slice, Float64Array]]:
    """Yield the pixels (n, B) minus the mean, in `units`, in strips. A strip is valid until the next one is requested."""
    count, bands = basis.numbers.shape
    rows = max(1, _BLOCK // bands)
    whole = basis.vectors.astype(np.float64) if count <= rows else None
    height = min(max(1, min(STRIP, _BLOCK // bands)), len(components))
    buffer = np.empty((height, bands))
    for strip in strips(len(components), height):
        part = buffer[: strip.stop - strip.start]
        if whole is not None:
            np.matmul(components[strip].astype(np.float64), whole, out=part)
        else:
            # a large basis is converted block by block; the sums are exact in any order
            part[...] = 0
            for begin in range(0, count, rows):
                block = basis.rows(begin, min(begin + rows, count)).astype(np.float64)
                part += components[strip, begin : begin + len(block)].astype(np.float64) @ block
        yield strip, part


def strips(count: int, height: int = STRIP) -> list[slice]:
    """Split `count` pixels into slices of at most `height`."""
    return [slice(at, min(at + height, count)) for at in range(0, count, height)]
