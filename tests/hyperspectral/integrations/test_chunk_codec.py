"""Chunks of arrays as .efz files: lossless by default, else within the bound, whatever their axes and their order in memory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from edgefuse.errors import EdgeFuseError, InputError, SettingsError
from edgefuse.hyperspectral.codec import spectral_edge
from edgefuse.hyperspectral.integrations import chunk_codec
from edgefuse.hyperspectral.integrations.chunk_codec import ChunkCodec, decode
from tests.hyperspectral.cubes import mixed


def cube(dtype: str = "int16", seed: int = 1) -> Any:
    return mixed((16, 12, 5), dtype, seed)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "float32", "float64"])
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("order", ["C", "F"])
def test_chunks_come_back_to_the_bit(dtype: str, axis: int, order: Any) -> None:
    chunk = np.asarray(np.moveaxis(mixed((9, 8, 4), dtype, 2), -1, axis), order=order)
    if dtype.startswith("float"):
        chunk[1, 1, 1:3] = np.nan, -0.0
    again = decode(ChunkCodec(bands_axis=axis).encode(chunk))
    assert again.tobytes("A") == chunk.tobytes("A")
    assert (again.shape, again.dtype, again.flags.f_contiguous) == (chunk.shape, chunk.dtype, chunk.flags.f_contiguous)


@pytest.mark.parametrize("shape", [(7,), (5, 6), (3, 1, 4), (2, 3, 4, 5), ()])
def test_arrays_of_any_number_of_axes(shape: tuple[int, ...]) -> None:
    chunk = np.random.default_rng(0).integers(0, 100, shape).astype(np.int32)
    again = decode(ChunkCodec().encode(np.asarray(chunk)))
    assert again.shape == shape
    np.testing.assert_array_equal(again, chunk)


def test_a_chunk_is_an_efz_file() -> None:
    np.testing.assert_array_equal(spectral_edge.decode(ChunkCodec().encode(cube())), cube())


@pytest.mark.parametrize(
    ("dtype", "options"),
    [
        ("int16", {"max_error": 2}), ("uint16", {"max_error": 2.5}), ("float32", {"max_error": 1e-3}),
        ("float32", {"relative_error": 1e-3}),
        ("int16", {"psnr": 50.0}), ("int16", {"bpppc": 3.0}), ("float32", {"psnr": 40.0, "peak": 0.5}),
    ],
)  # fmt: skip
def test_what_was_asked_for_is_held(dtype: str, options: dict[str, float]) -> None:
    data = ChunkCodec(**options).encode(cube(dtype))
    error = np.abs(decode(data).astype(float) - cube(dtype))
    assert len(data) < len(ChunkCodec().encode(cube(dtype)))
    if "max_error" in options:
        assert error.max() <= options["max_error"]
    elif "relative_error" in options:
        assert (error <= options["relative_error"] * np.abs(cube(dtype).astype(float))).all()
    elif "psnr" in options:
        assert 20 * np.log10(options.get("peak", 10000) / np.sqrt(np.mean(error**2))) > options["psnr"] - 0.02
    else:
        assert 8 * len(data) / error.size <= options["bpppc"]


def test_missing_samples_come_back_exactly() -> None:
    chunk = cube()
    chunk[:3, :4] = -9999
    again = decode(ChunkCodec(max_error=3, nodata=-9999).encode(chunk))
    np.testing.assert_array_equal(again == -9999, chunk == -9999)


def test_a_chunk_that_decodes_to_something_else_is_never_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    good = spectral_edge.decode
    monkeypatch.setattr(chunk_codec.spectral_edge, "decode", lambda data: good(data) + np.int16(3))
    for options, wrong in (
        ({}, "the decoded cube differs"),
        ({"max_error": 2}, "off by [0-9.]+, allowed are 2"),
        ({"psnr": 75.0}, "[0-9.]+ dB; please"),
    ):
        with pytest.raises(EdgeFuseError, match=f"does not decode to what was asked for .*{wrong}"):
            ChunkCodec(**options).encode(cube())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_error": 1, "psnr": 40}, "exclude each other"), ({"bpppc": 0}, "give a number of"), ({"psnr": "x"}, "give a number of"),
        ({"psnr": 40, "peak": 0}, "peak is 0; give a number of 1e-30 to 1e[+]30"), ({"psnr": 40, "peak": math.inf}, "peak is inf"),
        ({"bands_axis": 1.5}, "give the number of the axis"),
    ],
)  # fmt: skip
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        ChunkCodec(**options)


def test_arrays_that_it_can_t_code_are_refused() -> None:
    with pytest.raises(SettingsError, match="complex64 samples can't be coded by edgefuse"):
        ChunkCodec().encode(np.zeros((2, 2, 2), np.complex64))
    with pytest.raises(SettingsError, match="the array has 3 axes"):
        ChunkCodec(bands_axis=3).encode(cube())
    with pytest.raises(SettingsError, match="can't be -1"):
        ChunkCodec(nodata=-1).encode(cube("uint8"))


def test_damaged_chunks_are_refused() -> None:
    data = bytearray(ChunkCodec(bands_axis=0).encode(cube()))
    data[-60] ^= 1
    with pytest.raises(InputError):
        decode(bytes(data))
    with pytest.raises(InputError, match=r"not an \.efz file"):
        decode(b"something else")
