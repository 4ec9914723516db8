"""The compiled passes over a tile find what NumPy finds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgefuse.hyperspectral.codec import extremes, outliers
from edgefuse.util import compiled
from tests.hyperspectral.cubes import mixed

pytestmark = pytest.mark.skipif(compiled.library() is None, reason="needs the compiled core")

TYPES = "uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"
sizes = st.tuples(st.integers(1, 90), st.integers(1, 70))


def pixels_of(size: tuple[int, int], dtype: str, seed: int) -> NDArray[Any]:
    """Make pixels with ties and with the smallest and the largest value of their type."""
    rng, kind = np.random.default_rng(seed), np.dtype(dtype)
    if kind.kind == "f":
        values = np.array([0, -0.0, 1.5, -7, np.finfo(kind).max, np.finfo(kind).min, np.finfo(kind).tiny], kind)
    else:
        values = np.array([0, 1, 7, 100, np.iinfo(kind).max, np.iinfo(kind).min], kind)
    return np.where(rng.random(size) < 0.3, rng.choice(values, size), rng.integers(0, 60, size).astype(kind))


def of_both(monkeypatch: pytest.MonkeyPatch, work: Any) -> tuple[Any, Any]:
    """Return what `work` returns with the compiled core, and without it."""
    with monkeypatch.context() as patch:
        first = work()
        patch.setattr(compiled, "library", lambda: None)
        return first, work()


@settings(max_examples=120, deadline=None)
@given(sizes, st.sampled_from(TYPES), st.integers(0, 99), st.data())
def test_extremes_and_tails_are_those_of_numpy(size: tuple[int, int], dtype: str, seed: int, data: st.DataObject) -> None:
    pixels = pixels_of(size, dtype, seed)
    number = data.draw(st.integers(0, size[0] - 1))
    with pytest.MonkeyPatch.context() as monkeypatch:
        first, second = of_both(monkeypatch, lambda: (*extremes.extremes(pixels), *extremes.tails(pixels, number)))
    assert np.array_equal(first, second)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("at", [0, 1, 39])
def test_nan_and_infinities_are_extremes(dtype: str, at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.arange(40 * 35, dtype=dtype).reshape(40, 35)
    pixels[at, 3], pixels[at, 30], pixels[at, 34] = np.nan, np.inf, -np.inf
    first, second = of_both(monkeypatch, lambda: extremes.extremes(pixels))
    assert np.isnan(first[0][3])
    assert np.isnan(first[1][3])
    assert (first[1][30], first[0][34]) == (np.inf, -np.inf)
    assert np.array_equal(first, second, equal_nan=True)


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(16, 300), st.integers(1, 40)), st.sampled_from(TYPES), st.integers(0, 9), st.sampled_from([1.0, 3.0, 30.0, 1e4])
)
def test_the_same_samples_are_coded_apart(size: tuple[int, int], dtype: str, seed: int, far: float) -> None:
    """Hot samples in bright pixels, in dark ones and beside a constant band, near the limits of what is an outlier."""
    rng = np.random.default_rng(seed)
    pixels = mixed((size[0], 1, size[1]), dtype, seed).reshape(size).astype(np.float64)
    pixels[:, 0] = pixels[0, 0]
    pixels[rng.integers(size[0], size=3)] *= 6
    extent = np.ptp(pixels) / 8
    for _ in range(6):
        pixels[rng.integers(size[0]), rng.integers(size[1])] += far * extent * rng.choice((-1, 1))
    if np.dtype(dtype).kind != "f":
        limits = np.iinfo(dtype)
        pixels = np.rint(pixels).clip(limits.min, limits.max)
    tile = np.ascontiguousarray(pixels.astype(dtype))
    kinds = outliers.Suspicion(fills=False)
    with pytest.MonkeyPatch.context() as monkeypatch:
        first, second = of_both(monkeypatch, lambda: (outliers.suspected(tile, *extremes.extremes(tile)), outliers.find(tile, None, kinds)))
    assert first[0] == second[0]
    assert (first[1] is None) == (second[1] is None)
    if first[1] is not None:
        assert np.array_equal(first[1].mask, second[1].mask)


def test_a_hot_sample_is_found_and_a_bright_pixel_is_not() -> None:
    tile = np.random.default_rng(0).integers(100, 200, (400, 40)).astype(np.uint16)
    tile[7] *= 20
    tile[9, 5] = 4000
    suspects = outliers.find(tile, None, outliers.Suspicion(fills=False))
    assert suspects is not None
    assert np.argwhere(suspects.mask).tolist() == [[9, 5]]
