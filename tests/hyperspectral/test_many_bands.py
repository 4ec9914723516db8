"""Memory and time of encoding cubes of many bands: they grow with the samples, not with the square of the bands."""

from __future__ import annotations

import math

import pytest

from tests.support.memory import measure

_FIXED_BYTES, _TILE_BYTES = 32 << 20, 128 << 20  # beside the samples; a tile holds 2^21 samples at most


@pytest.mark.parametrize("target", ["", *(pytest.param(t, marks=pytest.mark.slow) for t in ("bpppc=1", "psnr=45"))])
def test_few_pixels_of_5000_bands_take_little_memory(target: str) -> None:
    """A covariance of 5000 bands takes 100 to 200 MB, and each of its copies as much; its eigenvectors take minutes."""
    took = measure("tests.hyperspectral.many_bands", "encode", "2x2x5000", "uint16", target)
    assert took.extra < _FIXED_BYTES, took
    assert took.seconds < 20, took


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "dtype", "target"),
    [
        ("64x64x2000", "uint16", ""), ("64x64x2000", "uint16", "psnr=60"), ("16x16x10000", "float32", ""),
        ("16x16x10000", "float32", "psnr=60"), ("8x8x20000", "uint16", "bpppc=1"),
    ],
)  # fmt: skip
def test_memory_grows_with_the_samples(shape: str, dtype: str, target: str) -> None:
    took = measure("tests.hyperspectral.many_bands", "encode", shape, dtype, target, timeout_s=280)
    samples = math.prod(map(int, shape.split("x")))
    # the decoded cube and the input, here as arrays, take some too
    assert took.extra < _TILE_BYTES + 16 * samples, took
