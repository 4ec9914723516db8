"""Lossy, near-lossless and exact tiles (efz.md)."""

import zlib

import numpy as np

from tests.hyperspectral.plain_decoder.fields import Fields, to_type
from tests.hyperspectral.plain_decoder.planes import decode_planes, inverse_wavelet

QUARTERS = 1 << 28, 225726413, 189812531, 159612671


def decode_basis(data, bands, version):
    """Return the step, the fractional bits, the mean in units of its step, that step, and the vectors (K, B)."""
    f = Fields(data)
    step, bits, count, _ = f.take("dBHI")
    fineness = np.frombuffer(f.bytes(count + 1), np.uint8)
    numbers = decode_planes(f.bytes(), (1, count + 1, bands), version)[0]
    numbers = np.where(fineness[:, None] > 127, np.cumsum(numbers, 1), numbers)
    exponents = (fineness % 128).tolist()
    factors = np.array([QUARTERS[e % 4] >> e // 4 for e in exponents[1:]], np.int64)
    vectors = numbers[1:] * factors[:, None] + (1 << 27 - bits) >> 28 - bits
    return step, bits, numbers[0], step * QUARTERS[exponents[0] % 4] / (1 << 28 + exponents[0] // 4), vectors


def decode_lossy(f, shape, dtype, version):
    levels, scale, size = f.take("BII")
    step, bits, mean, mean_step, vectors = decode_basis(f.bytes(size), shape[2], version)
    components = decode_planes(f.bytes(), (len(vectors), *shape[:2]), version, levels)
    for plane in components:
        inverse_wavelet(plane, levels)
    unit = step * 65536 / scale / (1 << 8 + bits)
    mean = np.rint(mean * (mean_step / unit)).astype(np.int64)
    with np.errstate(over="ignore"):
        return to_type((components.reshape(len(vectors), shape[0] * shape[1]).T @ vectors + mean) * unit, dtype)


def decode_within(f, shape, dtype, version, bound):
    base, size = f.take("II")
    out = decode_lossy(Fields(f.bytes(base)), shape, dtype, version).astype(np.int64)
    weights = np.clip(decode_planes(f.bytes(size), (1, shape[2], 4), version)[0], -1 << 18, 1 << 18)
    errors = np.clip(decode_planes(f.bytes(), (shape[2], *shape[:2]), version).reshape(shape[2], -1), -1 << 18, 1 << 18)
    for b in range(shape[2]):
        total = sum(errors[b - 1 - i] * weights[b, i] for i in range(min(4, b))) + np.int64(32)
        errors[b] = np.clip(np.clip(total >> 6, -1 << 18, 1 << 18) + errors[b] * (2 * bound + 1), -1 << 18, 1 << 18)
    return to_type(out + errors.T, dtype)


def decode_exact(data, shape, dtype):
    words = np.frombuffer(zlib.decompress(data), np.uint8).reshape(dtype.itemsize, shape[2], -1).T
    return np.cumsum(np.ascontiguousarray(words).view(f"u{dtype.itemsize}")[..., 0], 0, f"u{dtype.itemsize}").view(dtype)
