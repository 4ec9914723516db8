"""`spectral-edge`: each target (bytes, dB, counts) is met for all shapes and types, and golden files that every version must decode."""

from __future__ import annotations

import io
import struct
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgefuse.errors import InputError
from edgefuse.hyperspectral import efz
from edgefuse.hyperspectral.codec import rate_control, spectral_edge
from edgefuse.hyperspectral.codec.cube_tiles import CubeTiles
from edgefuse.util import compiled
from tests.hyperspectral.cubes import mixed, scene

GOLDEN = Path(__file__).parent / "golden"
SCENES = Path(__file__).resolve().parents[4] / "shared" / "data" / "hsi"
TYPES = "uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"

shapes = st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 12))


@settings(max_examples=80, deadline=None)
@given(
    shapes,
    st.sampled_from(TYPES[:4]),
    st.sampled_from([0, 1, 2, 5, 300]),
    st.sampled_from(["mixed", "any", "extremes", "constant"]),
    st.integers(0, 9),
)
def test_no_sample_is_off_by_more_than_the_bound(shape: tuple[int, int, int], dtype: str, bound: int, kind: str, seed: int) -> None:
    info, rng = np.iinfo(dtype), np.random.default_rng(seed)
    cube: Any = {
        "mixed": lambda: mixed(shape, dtype, seed),
        "any": lambda: rng.integers(info.min, info.max, shape, dtype, endpoint=True),
        "extremes": lambda: rng.choice(np.array([info.min, info.max], dtype), shape),
        "constant": lambda: np.full(shape, info.max, dtype),
    }[kind]()
    made = spectral_edge.decode(spectral_edge.encode(cube, max_error=bound))
    assert made.dtype == cube.dtype
    assert made.shape == cube.shape
    assert np.abs(made.astype(np.int64) - cube.astype(np.int64)).max() <= bound


@settings(max_examples=60, deadline=None)
@given(shapes, st.sampled_from(TYPES), st.sampled_from([{"bpppc": 0.5}, {"bpppc": 3.0}, {"psnr": 30.0}, {"psnr": 70.0}]), st.integers(0, 9))
def test_any_shape_and_type(shape: tuple[int, int, int], dtype: str, target: dict[str, float], seed: int) -> None:
    cube = mixed(shape, dtype, seed)
    data = spectral_edge.encode(cube, **target)
    made = spectral_edge.decode(data)
    assert made.dtype == cube.dtype
    assert made.shape == cube.shape
    if "psnr" in target and cube.dtype.kind == "f":
        error = np.mean((made.astype(np.float64) - cube) ** 2)
        assert -10 * np.log10(error + 1e-20) > target["psnr"] - 0.05


@pytest.mark.parametrize("rate", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("side", [256, 32])
def test_a_file_is_as_long_as_asked(rate: float, side: int) -> None:
    cube = mixed((90, 70, 30))
    stream = io.BytesIO()
    size = spectral_edge.encode_to(stream, cube, spectral_edge.Target(bpppc=rate), side=side)
    assert size == len(stream.getvalue())
    assert 0.9 * rate < 8 * size / cube.size <= rate


def test_more_bytes_are_better() -> None:
    cube = mixed((64, 64, 20))
    errors = [np.mean((spectral_edge.decode(spectral_edge.encode(cube, bpppc=r)).astype(float) - cube) ** 2) for r in (0.15, 0.4, 1, 3)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1


@pytest.mark.parametrize("target", [{"bpppc": 2.0}, {"bpppc": 14.0}, {"psnr": 50.0}, {"max_error": 0}, {"max_error": 2}], ids=str)
def test_the_file_and_the_cube_are_the_same_for_any_number_of_threads(target: dict[str, Any]) -> None:
    cube = scene((48, 32, 12))
    files, cubes = [], []
    for threads in (1, 2, 9):
        stream = io.BytesIO()
        size = spectral_edge.encode_to(stream, cube, spectral_edge.Target(**target), side=16, threads=threads)
        assert "bpppc" not in target or 8 * size <= target["bpppc"] * cube.size
        files.append(stream.getvalue())
        made = np.zeros_like(cube)
        for place, samples in spectral_edge.Decoder(io.BytesIO(files[0])).tiles(threads):
            made[place] = samples
        cubes.append(made)
    assert len(set(files)) == 1
    assert all(np.array_equal(made, cubes[0]) for made in cubes)


@pytest.mark.parametrize("rate", [1.0, 3.0])
def test_tiles_of_all_kinds_share_a_rate_the_same_way_on_any_number_of_threads(rate: float) -> None:
    """Flat, noisy, empty and spotted tiles: what one takes changes what those after it get."""
    rng = np.random.default_rng(7)
    cube = scene((60, 56, 6))
    cube[:20, :30] = 1000
    cube[24:36, 8:30] += rng.integers(0, 900, (12, 22, 6)).astype(cube.dtype)
    cube[40:48, 16:40] = 65535
    cube[rng.random(cube.shape[:2]) < 0.02] = 65535
    files = set()
    for threads in (1, 2, 3, 16):
        stream = io.BytesIO()
        size = spectral_edge.encode_to(stream, cube, spectral_edge.Target(bpppc=rate), nodata=65535, side=12, threads=threads)
        assert rate < 2 or 8 * size <= rate * cube.size  # at lower rates a tile may take more than is left
        files.add(stream.getvalue())
    assert len(files) == 1


@pytest.mark.parametrize("target", [{"bpppc": 4.0}, {"psnr": 50.0}, {"max_error": 0}], ids=str)
def test_an_error_of_a_tile_ends_the_others(target: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    whole, begun = CubeTiles.samples, []

    def samples(self: CubeTiles, number: int) -> Any:
        begun.append(number)
        if number == 9 and begun.count(number) == 1 + ("bpppc" in target):  # with a rate all are read before
            raise OSError("tile 9 can't be read")
        return whole(self, number)

    monkeypatch.setattr(CubeTiles, "samples", samples)
    monkeypatch.setattr(rate_control, "_SAMPLED_TILES", 10000)
    with pytest.raises(OSError, match="tile 9 can't be read"):
        spectral_edge.encode_to(io.BytesIO(), scene((80, 80, 6)), spectral_edge.Target(**target), side=8, threads=4)
    assert len(begun) < 100 + 9 + 16
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("edgefuse-tile")]


@pytest.mark.parametrize("asked", [50.0, 56.0, 65.0, 80.0])
def test_a_psnr_is_met_from_above_and_closely(asked: float) -> None:
    cube = mixed((64, 64, 40), noise=40.0)
    made = spectral_edge.decode(spectral_edge.encode(cube, psnr=asked)).astype(float)
    reached = 10 * np.log10(1e8 / np.square(made - cube).mean())
    assert asked <= reached < asked + 0.1


def test_a_first_tile_without_detail_does_not_spoil_the_rate_of_the_others() -> None:
    cube = scene((40, 40, 8))
    plain = spectral_edge.encode_to(io.BytesIO(), cube, spectral_edge.Target(bpppc=2.0), side=20)
    cube[:20, :20] = 1000
    stream = io.BytesIO()
    assert spectral_edge.encode_to(stream, cube, spectral_edge.Target(bpppc=2.0), side=20) > 0.9 * plain
    error = spectral_edge.decode(stream.getvalue()).astype(float) - cube
    assert np.abs(error[:20, :20]).max() < 5
    each = [np.square(error[rows, columns]).mean() for rows, columns in ((slice(20), slice(20, 40)), (slice(20, 40), slice(40)))]
    assert max(each) < 2 * min(each)


def test_it_beats_a_step_per_sample() -> None:
    """On structured data it takes two bits per sample less than the entropy of the samples."""
    cube = mixed((64, 64, 40), noise=1.0)
    counts = np.unique(cube, return_counts=True)[1] / cube.size
    assert 8 * len(spectral_edge.encode(cube, max_error=0)) / cube.size < -(counts * np.log2(counts)).sum() - 2


@pytest.mark.parametrize("target", [{"bpppc": 2.0}, {"psnr": 50.0}, {"max_error": 0}])
def test_missing_samples_stay_missing(target: dict[str, float]) -> None:
    cube = mixed((30, 40, 6))
    cube[4:9, 3:20] = -9999
    cube[20, 20, 2] = -9999
    made = spectral_edge.decode(spectral_edge.encode(cube, nodata=-9999, **target))
    assert np.array_equal(made == -9999, cube == -9999)
    if target.get("max_error") == 0:
        assert np.array_equal(made, cube)


def test_what_is_no_number_is_missing() -> None:
    cube = mixed((30, 40, 6), "float32")
    cube[4:9, 3:20], cube[20, 20, 2], cube[0, 0, 0] = np.nan, np.inf, -np.inf
    made = spectral_edge.decode(spectral_edge.encode(cube, bpppc=6.0))
    assert np.array_equal(np.isnan(made), np.isnan(cube))
    assert np.array_equal(made[np.isinf(cube)], cube[np.isinf(cube)])
    assert np.abs(made[np.isfinite(cube)] - cube[np.isfinite(cube)]).max() < 0.01
    nothing = np.full((5, 6, 3), np.nan)
    assert np.isnan(spectral_edge.decode(spectral_edge.encode(nothing, psnr=40.0))).all()


@pytest.mark.parametrize(
    ("cube", "target", "message"),
    [
        (np.zeros((3, 3), np.uint8), {"bpppc": 1.0}, "rows, columns and bands"),
        (np.zeros((3, 0, 3), np.uint8), {"bpppc": 1.0}, "rows, columns and bands"),
        (np.zeros((3, 3, 3), np.complex64), {"bpppc": 1.0}, "complex64 samples can't be compressed"),
        (np.zeros((3, 3, 3), np.uint8), {}, "one of bpppc, psnr, max_error and relative_error"),
        (np.zeros((3, 3, 3), np.uint8), {"bpppc": 1.0, "psnr": 40.0}, "not bpppc and psnr"),
        (np.zeros((3, 3, 3), np.uint8), {"bpppc": -1.0}, "above 0"),
        (np.zeros((3, 3, 3), np.uint8), {"psnr": 0.0}, "above 0"),
        (np.zeros((3, 3, 3), np.uint8), {"max_error": -1}, "0 \\(lossless\\) or more"),
        (np.zeros((3, 3, 3), np.uint8), {"max_error": 0.5}, "whole counts, such as 2$"),
        (np.zeros((3, 3, 3), np.uint16), {"max_error": 70000}, "max_error is 70000, and the samples are uint16; give 65535 at most"),
        (np.zeros((3, 3, 3), np.uint16), {"relative_error": 0.1}, "floats and integers of 32 bits"),
        (np.zeros((3, 3, 3), np.float32), {"relative_error": 0.0}, "a share of each sample"),
        (np.full((3, 3, 3), 1e30), {"psnr": 40.0}, "beyond"),
    ],
)
def test_what_can_t_be_done_is_said(cube: np.ndarray[Any, Any], target: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        spectral_edge.encode(cube, **target)


def test_the_other_byte_order() -> None:
    cube = mixed((20, 20, 4), "uint16")
    assert spectral_edge.encode(cube.astype(">u2"), max_error=0) == spectral_edge.encode(cube, max_error=0)


@pytest.mark.skipif(not compiled.library(), reason="no compiled core")
@pytest.mark.parametrize("target", [{"bpppc": 1.0}, {"max_error": 1}])
def test_without_the_compiled_core_the_same_file(target: dict[str, float], monkeypatch: pytest.MonkeyPatch) -> None:
    cube = mixed((20, 24, 5))
    cube[3, 4] = 0
    data = spectral_edge.encode(cube, nodata=0, **target)
    made = spectral_edge.decode(data)
    monkeypatch.setattr(compiled, "library", lambda: None)
    assert spectral_edge.encode(cube, nodata=0, **target) == data
    assert np.array_equal(spectral_edge.decode(data), made)


@pytest.mark.parametrize("core", ["compiled", "python"])
@pytest.mark.parametrize("file", sorted(GOLDEN.glob("*.efz")), ids=lambda p: p.stem)
def test_golden_files_are_read_for_ever(file: Path, core: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if core == "python":
        monkeypatch.setattr(compiled, "library", lambda: None)
    expected = np.load(file.with_suffix(".npy"))
    made = spectral_edge.decode(file.read_bytes())
    assert made.dtype == expected.dtype
    assert np.array_equal(made, expected, equal_nan=made.dtype.kind == "f")


def test_the_golden_files_of_version_3_hold_what_only_version_3_has() -> None:
    """Tiles without loss in a lossy file (kinds 3 and 4), and sections of several areas and single samples (first byte 2)."""
    kinds, sections = set(), set()
    for file in GOLDEN.glob("v3-*.efz"):
        stream = io.BytesIO(file.read_bytes())
        assert stream.getvalue()[4] == 3
        for begin in (efz.offsets(stream) or [])[:-1]:
            kind, size = struct.unpack_from("<BI", stream.getvalue(), begin + 16)
            kinds.add(kind)
            sections |= {stream.getvalue()[begin + 21]} if size else set()
    assert kinds == {1, 2, 3, 4}
    assert sections == {1, 2}


@pytest.mark.skipif(not SCENES.is_dir(), reason="needs the scenes in ../shared")
def test_a_real_scene_at_a_tenth_of_a_bit() -> None:
    cube = np.load(SCENES / "abu_urban_1.npz")["cube"]
    data = spectral_edge.encode(cube, bpppc=0.1)
    made = spectral_edge.decode(data).astype(np.float64)
    assert 8 * len(data) / cube.size <= 0.1
    # PCA with JPEG 2000 reaches 55.2 dB
    assert 10 * np.log10(1e8 / np.mean((made - cube) ** 2)) > 59
