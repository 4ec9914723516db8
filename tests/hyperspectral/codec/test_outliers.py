"""Outliers, fill values and masks: exact, at a few bytes, and the other samples keep their quality."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgefuse.errors import InputError
from edgefuse.hyperspectral.codec import exact, masks, spectral_edge, tile
from edgefuse.util import compiled
from tests.hyperspectral.cubes import mixed

SHAPE = (64, 64, 24)
SHARED = Path(__file__).resolve().parents[4] / "shared/data/hsi"
OUTLIERS = {
    "hot": (np.uint16, lambda x: x.__setitem__((40, 40, 10), 65535)),
    "some hot": (np.int16, lambda x: x.__setitem__(((3, 9, 30, 31, 50), (60, 2, 41, 41, 17), (5, 6, 5, 9, 5)), 32767)),
    "fill": (np.int16, lambda x: x.__setitem__(slice(0, 8), -9999)),
    "fill but in two bands": (np.int16, lambda x: x.__setitem__((slice(0, 8), slice(None), slice(2, None)), -9999)),
    "saturated": (np.uint16, lambda x: x.__setitem__((slice(9, 12), slice(9, 12)), 65535)),
    "float fill": (np.float32, lambda x: x.__setitem__(slice(0, 8), -9999)),
    "lowest float": (np.float32, lambda x: x.__setitem__(slice(0, 8), np.finfo(np.float32).min)),
    "1e20": (np.float64, lambda x: x.__setitem__((slice(0, 8), slice(0, 30)), 1e20)),
    "infinity": (np.float32, lambda x: x.__setitem__((4, 4), np.inf)),
    "hot float": (np.float32, lambda x: x.__setitem__((4, 4, 4), -1e6)),
    "hot double": (np.float64, lambda x: x.__setitem__((4, 4, 4), 1e300)),
}


def error(a: Any, b: Any, valid: Any) -> float:
    return float(np.mean((a[valid].astype(np.float64) - b[valid]) ** 2))


@pytest.mark.parametrize("target", [{"bpppc": 0.5}, {"bpppc": 2.0}])
@pytest.mark.parametrize("kind", OUTLIERS)
def test_outliers_are_exact_and_the_rest_keeps_its_quality(kind: str, target: dict[str, float]) -> None:
    dtype, change = OUTLIERS[kind]
    plain: Any = mixed(SHAPE, np.dtype(dtype).name)
    cube = plain.copy()
    change(cube)
    valid = cube == plain
    data = spectral_edge.encode(cube, **target)
    made = spectral_edge.decode(data)
    assert data[4] == 3
    assert np.array_equal(made[~valid], cube[~valid])
    assert 8 * len(data) / cube.size <= target["bpppc"]
    without = error(plain, spectral_edge.decode(spectral_edge.encode(plain, **target)), valid)
    # 0.8 dB at most, on so small a tile
    assert error(cube, made, valid) < 1.2 * without


@pytest.mark.parametrize("share", [0.05, 0.25, 0.9])
def test_a_target_counts_the_samples_that_are_there(share: float) -> None:
    cube: Any = mixed(SHAPE)
    there = np.zeros(SHAPE, bool)
    there[:, : round(64 * share)] = True
    cube[~there] = -9999
    for nodata in (-9999, None):
        made = spectral_edge.decode(spectral_edge.encode(cube, nodata=nodata, psnr=50.0))
        assert np.array_equal(made[~there], cube[~there])
        assert 10 * np.log10(1e8 / error(cube, made, there)) >= 50


@pytest.mark.parametrize("dtype", ["int16", "uint16", "uint8", "int32", "float32", "float64"])
@pytest.mark.parametrize("psnr", [60.0, 85.0, 200.0])
def test_any_psnr_is_reached(dtype: str, psnr: float) -> None:
    cube = mixed((24, 20, 8), dtype)
    peak = {"f": 1.0, "u": 1e4, "i": 1e4}[cube.dtype.kind] if dtype != "uint8" else 255
    made = spectral_edge.decode(spectral_edge.encode(cube, psnr=psnr))
    assert error(cube, made, ...) <= peak**2 / 10 ** (psnr / 10)


def scenes() -> dict[str, Any]:
    rng = np.random.default_rng(5)
    heavy = mixed((48, 48, 16), "float32") * np.float32(1)
    heavy[rng.random(heavy.shape) < 0.02] *= 30
    spiked: Any = mixed((48, 48, 16))
    spiked[7, 9, 3], spiked[::5, 3] = 32767, -9999
    return {"int16": mixed((48, 48, 16)), "uint8": mixed((40, 40, 8), "uint8"), "float32": mixed((40, 40, 12), "float32"),
            "heavy tails": heavy, "outliers": spiked, "int32": mixed((40, 40, 8), "int32"),
            "noise": mixed((32, 32, 8), noise=900.0)}  # fmt: skip


RATES = (0.1, 0.25, 0.5, 1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 32, 64)


def check_more_rate_never_costs_quality(cube: Any) -> None:
    # where lossless fits, lossless it is; a lossy code may happen to be exact, and a little smaller
    fits = len(spectral_edge.encode(cube, max_error=0)) if cube.dtype.kind in "iu" and cube.dtype.itemsize <= 2 else np.inf
    before = np.inf
    for rate in RATES:
        if rate < 0.5 and cube.size < 20000:
            continue
        data = spectral_edge.encode(cube, bpppc=float(rate))
        assert 8 * len(data) <= rate * cube.size
        now = error(cube, spectral_edge.decode(data), ...)
        assert now <= before, rate
        assert now == 0 or 8 * fits > rate * cube.size, rate
        before = now
    assert before == 0


@pytest.mark.parametrize("name", scenes())
def test_more_rate_never_costs_quality(name: str) -> None:
    check_more_rate_never_costs_quality(scenes()[name])


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(SHARED.glob("*.npz")) or [None], ids=lambda path: path.stem if path else "none")
def test_more_rate_never_costs_quality_of_real_scenes(path: Path | None) -> None:
    if path is None:
        pytest.skip("../shared/data/hsi is not here")
    with np.load(path) as file:
        cube = file["cube"]
    # one file holds tiles of a scene: side by side
    check_more_rate_never_costs_quality(np.concatenate([*cube], axis=1) if cube.ndim == 4 else np.ascontiguousarray(cube))


def test_a_mask_that_bands_share_is_coded_once() -> None:
    cube: Any = mixed(SHAPE)
    y, x = np.mgrid[:64, :64]
    cube[(y + x < 30) | (y + x > 100)] = -9999
    corners = len(tile.prepared(cube, -9999).section)
    cube[:, :, 6:9] = -9999
    bands = len(tile.prepared(cube, -9999).section)
    cube[:, 40, 20] = -9999
    column = len(tile.prepared(cube, -9999).section)
    assert bands <= corners + 40
    assert column <= bands + 60
    made = spectral_edge.decode(spectral_edge.encode(cube, nodata=-9999, bpppc=1.0))
    assert np.array_equal(made == -9999, cube == -9999)


@settings(max_examples=60, deadline=None)
@given(st.tuples(st.integers(1, 20), st.integers(1, 20), st.integers(1, 9)), st.integers(0, 99), st.sampled_from([0, 0.01, 0.5, 1]))
def test_masks_come_back(shape: tuple[int, int, int], seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    mask = (rng.random((shape[0] * shape[1], shape[2])) < share) | (rng.random(shape[2]) < 0.3)
    assert np.array_equal(masks.decode(masks.encode(mask, *shape[:2]), shape), mask)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=80), st.integers(0, 255))
def test_a_damaged_section_is_an_error_or_wrong_samples(data: bytes, areas: int) -> None:
    payload = struct.pack("<BI", 0, len(data) + 2) + bytes([2, areas]) + data
    try:
        made = tile.decode(payload, (5, 4, 3), np.dtype("int16"), None, None, 3)
    except InputError:
        return
    assert made.shape == (5, 4, 3)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32", "float64"])
def test_exact_tiles_come_back_to_the_bit(dtype: str) -> None:
    pixels = np.frombuffer(np.random.default_rng(0).bytes(60 * 8), dtype)[:60].reshape(12, 5).copy()
    data = exact.encode(pixels)
    assert exact.decode(data, (12, 5), pixels.dtype).tobytes() == pixels.tobytes()
    for damaged in (data[:-3], data[:9] + bytes(5) + data[14:], b"", data * 3):
        with pytest.raises(InputError):
            exact.decode(damaged[:-1], (12, 5), pixels.dtype)


@pytest.mark.skipif(not compiled.library(), reason="no compiled core")
def test_without_the_compiled_core_the_same_file(monkeypatch: pytest.MonkeyPatch) -> None:
    cube: Any = mixed((20, 24, 5))
    cube[3, 4, 2], cube[:, 7, 1], cube[0] = 32767, -9999, -32768
    data = spectral_edge.encode(cube, nodata=-9999, bpppc=2.0)
    made = spectral_edge.decode(data)
    monkeypatch.setattr(compiled, "library", lambda: None)
    assert spectral_edge.encode(cube, nodata=-9999, bpppc=2.0) == data
    assert np.array_equal(spectral_edge.decode(data), made)


def test_bright_targets_stay_with_the_others() -> None:
    cube: Any = mixed(SHAPE)
    cube[30, 30] = cube[30, 30] * 8
    assert spectral_edge.encode(cube, bpppc=1.0)[4] == 2


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("others", [(), (np.inf,), (np.nan, -np.inf)])
def test_samples_too_large_for_the_transform_are_coded_apart_at_any_rate(others: tuple[float, ...], seed: int) -> None:
    rng = np.random.default_rng(seed)
    cube = (rng.integers(-1000, 1000, (32, 33, 4)) * 1e-4).astype(np.float32)
    for value in (3e38, *others):
        cube[tuple(rng.integers(0, cube.shape))] = value
    apart = ~(np.abs(cube) < 1)
    file = io.BytesIO()
    # 4 bits make the coder compare with a tile whose outliers are not coded apart
    spectral_edge.encode_to(file, cube, spectral_edge.Target(bpppc=4.0), nodata=None, about={})
    back = spectral_edge.decode(file.getvalue())
    assert np.array_equal(back[apart], cube[apart], equal_nan=True)
    assert np.abs(back[~apart] - cube[~apart]).max() < 0.05
