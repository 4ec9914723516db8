"""Predictive coding of floats and 32-bit integers: to the bit, and within an absolute or relative error, the same with and without C."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import edgefuse
from edgefuse.errors import EdgeFuseError, SettingsError
from edgefuse.hyperspectral import verification
from edgefuse.hyperspectral.codec import number_grids, predicted_tile, spectral_edge
from edgefuse.hyperspectral.codec.relative import Cells
from edgefuse.util import compiled
from tests.hyperspectral.codec.test_exact_types import bits, odd
from tests.hyperspectral.cubes import mixed

TYPES = "float32", "float64", "int32", "uint32"
shapes = st.tuples(st.integers(1, 14), st.integers(1, 14), st.integers(1, 7))


def version(efz: bytes) -> int:
    return efz[4]


def typed(shape: tuple[int, int, int], dtype: str, seed: int) -> Any:
    return np.abs(mixed(shape, "int16", seed)).astype(dtype) * (1000 if dtype.endswith("int32") else 1)


@pytest.mark.skipif(not compiled.library(), reason="no compiled core")
@pytest.mark.parametrize("nodata", [None, -9999])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint32"])
def test_the_python_coder_writes_the_same_bytes(dtype: str, nodata: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    cube = odd(dtype)[:9, :12, :4] if dtype.startswith("float") else mixed((9, 12, 4), dtype)
    if dtype == "int32":
        cube[2:5] = -9999
    if dtype == "uint32":
        nodata, cube[5] = None, 0xFFFFFFFF
    data = spectral_edge.encode(cube, max_error=0, nodata=nodata)
    assert version(data) == 4
    monkeypatch.setattr(compiled, "library", lambda: None)
    assert spectral_edge.encode(cube, max_error=0, nodata=nodata) == data
    assert np.array_equal(bits(spectral_edge.decode(data)), bits(cube))


@settings(max_examples=60, deadline=None)
@given(shapes, st.sampled_from(TYPES), st.sampled_from(["mixed", "any", "few", "constant"]), st.integers(0, 9))
def test_any_shape_and_content_to_the_bit(shape: tuple[int, int, int], dtype: str, kind: str, seed: int) -> None:
    rng, word = np.random.default_rng(seed), np.dtype(f"u{np.dtype(dtype).itemsize}")
    cube: Any = {
        "mixed": lambda: typed(shape, dtype, seed),
        "any": lambda: rng.integers(0, np.iinfo(word).max, shape, word, endpoint=True).view(dtype),
        "few": lambda: rng.choice(rng.integers(0, np.iinfo(word).max, 3, word, endpoint=True), shape).view(dtype),
        "constant": lambda: np.full(shape, 7, dtype),
    }[kind]()
    assert np.array_equal(bits(spectral_edge.decode(spectral_edge.encode(cube, max_error=0))), bits(cube))


@settings(max_examples=60, deadline=None)
@given(
    shapes, st.sampled_from(TYPES), st.sampled_from(["max_error", "relative_error"]), st.sampled_from([1e-6, 1e-3, 0.3]), st.integers(0, 9)
)
def test_no_valid_sample_errs_by_more(shape: tuple[int, int, int], dtype: str, target: str, error: float, seed: int) -> None:
    cube = typed(shape, dtype, seed)
    if dtype.startswith("float"):
        cube = cube * cube.dtype.type(0.37)
        cube[0, 0, 0], cube[-1, -1, -1] = np.inf, np.nan
    cube[cube.shape[0] // 2] = 77
    limit = error * 4000 if target == "max_error" else error
    made = edgefuse.decompress(edgefuse.compress(cube, nodata=77, check=False, **{target: limit}))  # type: ignore[arg-type]
    assert made.dtype == cube.dtype
    valid = np.isfinite(cube) & (cube != 77)
    allowed = limit if target == "max_error" else limit * np.abs(cube[valid].astype(np.float64))
    assert (np.abs(made[valid].astype(np.float64) - cube[valid].astype(np.float64)) <= allowed).all()
    assert np.array_equal(bits(made[~valid]), bits(cube[~valid]))


@pytest.mark.parametrize("target", [{"max_error": 1e-3}, {"relative_error": 0.01}])
def test_fill_values_that_nobody_declared_stay_exact(target: dict[str, float], tmp_path: Path) -> None:
    cube = mixed((20, 20, 5), "float32")
    cube[:3, :9], cube[12:, 5, 2], cube[0, 19, :] = 41234.5, -3.0e38, np.nan
    report: Any = edgefuse.compress(cube, tmp_path / "a.efz", **target)  # type: ignore[call-overload]
    assert report["likely_fills"]
    made = edgefuse.decompress(tmp_path / "a.efz")
    assert np.array_equal(made[:3, :9], cube[:3, :9])
    assert np.isnan(made[0, 19]).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scale", ["times 0.0001", "over 10000", "0 to 1 by band"])
def test_counts_in_another_unit_take_what_the_counts_take(dtype: str, scale: str) -> None:
    counts = mixed((40, 40, 8), "int32", 3)
    cube = counts.astype(dtype)
    if scale == "times 0.0001":
        cube = (counts * 1e-4).astype(dtype)
    elif scale == "over 10000":
        cube = cube / cube.dtype.type(10000)
    else:
        low, high = counts.min((0, 1)), counts.max((0, 1))
        cube = ((counts - low) / (high - low)).astype(dtype)
    assert cube.dtype == dtype
    data = spectral_edge.encode(cube, max_error=0)
    assert np.array_equal(spectral_edge.decode(data), cube)
    # the scaling by each band in float64 is not always given back to the bit: then each value has a correction
    assert len(data) < len(spectral_edge.encode(counts, max_error=0)) * (1.6 if scale.startswith("0 to") else 1.1)


def test_floats_rounded_twice_are_found_on_a_corrected_grid() -> None:
    counts = np.random.default_rng(4).integers(100, 4000, 3000)
    column = (np.float32(0.37) + counts.astype(np.float32) * np.float32(1.7e-4)) - np.float32(0.37)
    found = number_grids.find(column, None)
    assert found is not None
    assert found.kind == number_grids.CORRECTED
    assert number_grids.find(np.random.default_rng(5).normal(size=3000).astype(np.float32), None) is None


def test_a_smooth_float_scene_is_shorter_than_its_differences() -> None:
    rng = np.random.default_rng(1)
    cube = (mixed((48, 48, 12), "float64", 2) * rng.uniform(0.5, 1.5, 12)).astype(np.float32)
    cube *= (1 + 0.05 * np.sin(np.arange(48) / 9)[:, None, None]).astype(np.float32)
    differences = predicted_tile.exact.encode(cube.reshape(-1, 12))
    assert len(spectral_edge.encode(cube, max_error=0)) < 0.9 * len(differences)


def test_random_bits_need_no_version_4() -> None:
    cube = np.random.default_rng(0).integers(0, 1 << 32, (40, 40, 6), np.uint32).view(np.float32)
    data = spectral_edge.encode(cube, max_error=0)
    assert version(data) == 3
    assert np.array_equal(bits(spectral_edge.decode(data)), bits(cube))
    assert version(spectral_edge.encode(mixed((9, 9, 3), "int16"), max_error=0)) == 2


def test_the_payload_is_refused_in_older_versions_and_beyond_its_size() -> None:
    data = predicted_tile.encode(mixed((12, 12, 4), "float32"), None)
    assert data is not None
    from edgefuse.errors import InputError
    from edgefuse.hyperspectral.codec import tile

    payload = struct.pack("<BI", 5, 0) + data
    assert tile.decode(payload, (12, 12, 4), np.dtype("f4"), None, None, 4).shape == (12, 12, 4)
    for bad, at in ((payload, 3), (payload + bytes(1 << 16), 4), (payload[:40], 4)):
        with pytest.raises(InputError):
            tile.decode(bad, (12, 12, 4), np.dtype("f4"), None, None, at)
    with pytest.raises(InputError):
        tile.decode(payload, (12, 12, 4), np.dtype("u2"), None, None, 4)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint32"])
@pytest.mark.parametrize("error", [1e-6, 1e-3, 0.1])
def test_cells_hold_the_relative_error(dtype: str, error: float) -> None:
    kind = np.dtype(dtype)
    least = 0 if dtype == "uint32" else -1
    if kind.kind == "f":
        values = np.concatenate([np.geomspace(1e-30, 1e30, 20001), [1.0, 1.125, np.nextafter(2, 0), 2.0, 0.0]])
    else:
        values = np.concatenate([np.arange(5000.0), np.geomspace(5000, np.iinfo(kind).max, 5000).round()])
    values = np.concatenate([values, values * least]).astype(kind)
    cells = Cells(error, kind)
    made = cells.values(cells.numbers(values), kind).astype(np.float64)
    held = np.abs(made - values.astype(np.float64)) <= error * np.abs(values.astype(np.float64))
    assert held.mean() > 0.995  # the last bits of float32 at 1e-6 are stored apart
    assert held.all() or (dtype, error) == ("float32", 1e-6)


def test_a_missed_bound_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cube = mixed((16, 16, 4), "float32")
    report: Any = edgefuse.compress(cube, tmp_path / "a.efz", max_error=1e-3)
    assert 0 < report["quality"]["max_error"] <= 1e-3
    assert report["settings"]["max_error"] == 1e-3
    each, more = verification.Compressed.each, np.float32(1.01)
    spoilt: Any = lambda self, work, *how, **named: each(self, lambda w, s: work(w, s * more), *how, **named)  # noqa: E731
    monkeypatch.setattr(verification.Compressed, "each", spoilt)
    for target in ({"max_error": 1e-3}, {"relative_error": 1e-3}):
        with pytest.raises(EdgeFuseError, match=r"off by .* allowed are"):
            edgefuse.compress(cube, tmp_path / "b.efz", **target)  # type: ignore[call-overload]
    assert not (tmp_path / "b.efz").exists()
    with pytest.raises(SettingsError, match="--max-error and --relative-error"):
        edgefuse.compress(cube, max_error=1, relative_error=0.1)
