"""The encoder's decisions: rotation of the components for local statistics, predicted bytes, and which components to keep."""

from __future__ import annotations

import numpy as np
import pytest

from edgefuse.hyperspectral.codec import entropy_coder, entropy_tables, klt, rate_model, wavelet
from edgefuse.hyperspectral.codec.lossy import Analysis
from edgefuse.util.arrays import Float64Array
from tests.hyperspectral.cubes import mixed, scene


def cost(covariances: Float64Array, turn: Float64Array) -> float:
    return float(np.log(np.einsum("mkk->mk", turn.T @ covariances @ turn) + 0.08).sum(1).mean())


@pytest.mark.parametrize("size", [1, 2, 7, 30])
def test_a_rotation_that_makes_all_places_diagonal_is_found(size: int) -> None:
    rng = np.random.default_rng(size)
    hidden = np.linalg.qr(np.eye(size) + 0.3 * rng.normal(size=(size, size)))[0]
    variances = np.exp(rng.normal(0, 2, (40, size)))
    covariances = (hidden * variances[:, None]) @ hidden.T
    turn = klt.rotation(covariances, np.full(40, 100.0), 1.0)
    assert np.abs(turn.T @ turn - np.eye(size)).max() < 1e-9
    least, first = float(np.log(variances + 0.08).sum(1).mean()), cost(covariances, np.eye(size))
    assert cost(covariances, turn) <= first + 1e-6
    assert cost(covariances, turn) - least <= 0.05 * (first - least) + 1e-3


def test_a_rotation_of_nothing_is_none() -> None:
    assert np.array_equal(klt.rotation(np.zeros((1, 3, 3)), np.ones(1), 1.0), np.eye(3))
    assert klt.rotation(np.zeros((0, 0, 0)), np.zeros(0), 1.0).shape == (0, 0)


@pytest.mark.parametrize("scale", [0.02, 0.1, 1.0])
def test_bytes_are_foreseen(scale: float) -> None:
    cube = mixed((96, 80, 5), noise=20)
    data = np.ascontiguousarray(cube.astype(np.int32) * entropy_tables.ONE)
    wavelet.transform(data, 4)
    estimates = rate_model.magnitudes(data, 4)
    assert estimates.sum() == pytest.approx(data.size, rel=0.02)
    expected = rate_model.counted(estimates, np.array([1 / scale]), 0)[0]
    assert len(entropy_coder.encode(data, 4, scale)) == pytest.approx(expected, rel=0.25)


def test_components_that_are_worth_nothing_are_left_out() -> None:
    cube = mixed((64, 64, 30), noise=3.0)
    analysis = Analysis(cube.reshape(-1, 30), 64, 64)
    few, many = analysis.at(60.0), analysis.at(1.0)
    assert 1 <= len(few.basis.numbers) < 10 < len(many.basis.numbers) <= 30
    assert (rate_model.worth(np.array([[0.01, 0.05], [0.02, 9.0]]), np.array([50.0, 50.0])) > 1).tolist() == [False, True]


@pytest.mark.parametrize("count", [1, 2, 9, 39])
def test_few_pixels_have_the_principal_components_of_their_covariance(count: int) -> None:
    pixels = np.random.default_rng(count).normal(0, 1, (count, 40)) @ np.diag(np.linspace(9, 1, 40))
    mean, variances, vectors = klt.principal(pixels)
    covariance = np.cov(pixels.T, bias=True)
    assert len(variances) == 40
    assert vectors.shape == (40, count - 1)  # the mean takes one dimension
    np.testing.assert_allclose(variances, np.linalg.eigvalsh(covariance)[::-1].clip(0), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose((vectors * variances[: count - 1]) @ vectors.T, covariance, atol=1e-4)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(count - 1), atol=1e-9)
    np.testing.assert_allclose(mean, pixels.mean(0), rtol=1e-5, atol=1e-6)


def test_only_the_first_components_have_local_covariances() -> None:
    coefficients = np.random.default_rng(0).integers(-9999, 9999, (16, 12, 7)).astype(np.int32)
    every, few = rate_model.local(coefficients, 2, 7), rate_model.local(coefficients, 2, 3)
    assert few.leading.shape == (len(few.counts), 3, 3)
    assert np.array_equal(few.leading, every.leading[:, :3, :3])
    assert np.array_equal(few.variances, np.einsum("mkk->mk", every.leading))
    assert few.counts.sum() == 16 * 12
    assert rate_model.local(coefficients[..., :0], 2, 3).variances.shape == (1, 0)


def test_a_rate_is_used_where_vectors_take_most_of_it() -> None:
    """With as many bands as pixels the vectors of a step that seems right exceed the size; a coarser one is searched for."""
    cube = scene((12, 12, 300)).astype(np.int32)
    analysis = Analysis(cube.reshape(-1, 300), 12, 12)
    size = cube.size // 8
    encoded = analysis.within(size)
    assert size * 0.5 <= len(encoded.to_bytes()) <= size
    assert analysis.error(encoded) < 50  # the noise has a variance of 25
