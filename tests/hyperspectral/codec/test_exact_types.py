"""Lossless coding of floats and 32-bit integers keeps every bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import edgefuse
from edgefuse.hyperspectral.codec import exact, spectral_edge
from tests.hyperspectral.cubes import mixed

SHARED = Path(__file__).resolve().parents[4] / "shared/data/hsi"


def odd(dtype: str) -> NDArray[Any]:
    """A scene with all that a float may be: infinities, NaN with payloads and of both signs, both zeros, denormals, the extremes."""
    cube = mixed((20, 18, 6), dtype)
    word = np.dtype(f"u{cube.dtype.itemsize}")
    limits = np.finfo(cube.dtype)
    cube[0, :, 0], cube[1, :3, 1], cube[2, 2, :2] = -0.0, np.inf, (limits.max, limits.smallest_subnormal)
    cube[3, 3, 3], cube[4:6] = -np.inf, -9999
    nan = np.array(np.nan, cube.dtype).view(word)
    cube[7, :4, 2] = np.array([nan, nan | word.type(1), nan | word.type(77), ~word.type(0)], word).view(cube.dtype)
    return cube


def bits(cube: NDArray[Any]) -> NDArray[Any]:
    return cube.view(f"u{cube.dtype.itemsize}")


@pytest.mark.parametrize("nodata", [None, -9999, 0, float("nan")])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_bit_of_floats(dtype: str, nodata: float | None) -> None:
    cube = odd(dtype)
    efz = edgefuse.compress(cube, nodata=nodata)
    assert np.array_equal(bits(edgefuse.decompress(efz)), bits(cube))
    assert "bound" not in edgefuse.hyperspectral.efz.Header.from_text(efz[9 : 9 + int.from_bytes(efz[5:9], "little")]).settings


@pytest.mark.parametrize("dtype", ["int32", "uint32"])
def test_32_bit_integers(dtype: str) -> None:
    cube = mixed((20, 18, 6), dtype)
    cube[0, 0], cube[1, 1] = np.iinfo(dtype).min, np.iinfo(dtype).max
    efz = edgefuse.compress(cube, nodata=5)
    assert np.array_equal(edgefuse.decompress(efz), cube)
    assert len(efz) < cube.nbytes


@pytest.mark.parametrize("value", [0.0, np.nan, 1e30, -9999.0])
def test_a_cube_of_one_value(value: float) -> None:
    cube = np.full((9, 8, 3), value, np.float32)
    assert np.array_equal(bits(edgefuse.decompress(edgefuse.compress(cube, nodata=value))), bits(cube))


def test_several_tiles_and_the_other_byte_order() -> None:
    cube = odd("float32").astype(">f4")
    data = spectral_edge.encode(cube, max_error=0)
    assert np.array_equal(bits(spectral_edge.decode(data)), bits(cube.astype(np.float32)))
    import io

    stream = io.BytesIO()
    spectral_edge.encode_to(stream, cube, spectral_edge.Target(max_error=0), side=8)
    decoded = spectral_edge.decode(stream.getvalue())
    assert np.array_equal(bits(decoded), bits(cube.astype(np.float32)))


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data/hsi is not here")
def test_shared_float_scenes() -> None:
    cases = 0
    for path in sorted(SHARED.glob("*.npz")):
        cube = np.load(path)["cube"][:96, :96]
        if cube.dtype.kind == "f":
            cases += 1
            assert np.array_equal(bits(edgefuse.decompress(edgefuse.compress(cube))), bits(cube)), path.name
    assert cases


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("offset", range(4))
def test_words_are_aligned_wherever_the_file_s_bytes_lie(count: int, offset: int) -> None:
    wanted = np.arange(7, 7 + count, dtype=np.int32)
    stored = bytes(offset) + exact.values(wanted)
    words = exact.from_values(memoryview(stored)[offset:], count, np.dtype(np.int32))
    assert words.flags.aligned
    assert np.array_equal(words, wanted)
