"""Covariances with low-resolution pixels, in NumPy and compiled, compared with the formula."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgefuse.sharpening import covariance
from edgefuse.sharpening.covariance import Grid, covariances
from edgefuse.sharpening.psf import Psf
from edgefuse.util import compiled
from edgefuse.util.arrays import Float32Array


def grid(rows: int, columns: int, features: int, seed: int, ratio: int = 4) -> Grid:
    rng = np.random.default_rng(seed)
    y, x = ((np.arange(n, dtype=np.float32) + np.float32(0.5)) / ratio for n in (rows, columns))
    similarity, scale = rng.normal(0, 0.5, (rows, columns, features)), rng.uniform(0.2, 1, (rows, columns))
    return Grid(similarity.astype(np.float32), scale.astype(np.float32), y, x)


def seen(rows: int, columns: int, psf: Psf) -> tuple[Float32Array, Float32Array]:
    """Return weights for all pixels of an image."""
    computed = []
    for count in (rows, columns):
        first, weights = psf.rows(0, count // psf.ratio, count)
        whole = np.zeros((len(weights), count), np.float32)
        whole[:, first : first + weights.shape[1]] = weights
        computed.append(whole)
    return computed[0], computed[1]


def by_the_formula(points: Grid, cells: Grid, weights: tuple[Float32Array, Float32Array], near: float) -> Float32Array:
    apart = np.sqrt(np.square(points.features[:, :, None, None].astype(float) - cells.features).sum(4) + 2e-3)
    down, across = (np.exp(-np.abs(a[:, None] - b) / near) for a, b in ((points.y, cells.y), (points.x, cells.x)))
    every = down[:, None, :, None] * across[None, :, None, :] / (1 + apart)
    every *= points.scale[:, :, None, None] * cells.scale
    computed = np.einsum("prst,ms,nt->pmnr", every, *weights, optimize=True)
    return computed.reshape(len(points.y), -1, len(points.x))


@given(
    st.integers(1, 5), st.integers(1, 19), st.integers(1, 4), st.integers(1, 5), st.integers(1, 9), st.floats(0.5, 30), st.integers(0, 99)
)
def test_it_is_the_formula(rows: int, columns: int, down: int, across: int, features: int, near: float, seed: int) -> None:
    points, cells = grid(rows, columns, features, seed), grid(4 * down, 4 * across, features, seed + 1)
    weights = seen(4 * down, 4 * across, Psf(4))
    weights[0][:, 2] = 0  # a row of cells without weight
    computed, right = covariances(points, cells, weights, near), by_the_formula(points, cells, weights, near)
    assert computed.shape == right.shape
    np.testing.assert_allclose(computed, right, atol=3e-5)


@pytest.mark.parametrize("features", [1, 4, 6, 8, 16, 21])
def test_compiled_and_not_are_one(features: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if not compiled.library():
        pytest.skip("no compiled core")
    window = grid(24, 20, features, 3)
    weights = seen(24, 20, Psf(4))
    fast = covariances(window, window, weights, 12.0)
    monkeypatch.setattr(compiled, "library", lambda: None)
    np.testing.assert_allclose(fast, covariances(window, window, weights, 12.0), atol=3e-6)


def test_places_that_are_one_are_wholly_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's cusp is smoothed, and rounding never gives the root of a negative number, even with the largest features."""
    place = Grid(np.full((4, 4, 8), 10, np.float32), np.ones((4, 4), np.float32), *(np.zeros(4, np.float32),) * 2)
    weights = (np.full((1, 4), 0.25, np.float32),) * 2
    for computed in (covariance.covariances(place, place, weights, 1.0), _plain(place, weights, monkeypatch)):
        np.testing.assert_allclose(computed, 1 / (1 + np.sqrt(2e-3)), atol=0.02)


def _plain(place: Grid, weights: tuple[Float32Array, Float32Array], monkeypatch: pytest.MonkeyPatch) -> Float32Array:
    monkeypatch.setattr(compiled, "library", lambda: None)
    return covariances(place, place, weights, 1.0)
