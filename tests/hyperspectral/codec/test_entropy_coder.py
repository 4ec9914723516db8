"""The entropy coder restores what it encoded; the compiled and the Python version write the same bytes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgefuse.hyperspectral import efz
from edgefuse.hyperspectral.codec import entropy_coder, entropy_tables, wavelet
from edgefuse.hyperspectral.codec.subbands import bands
from edgefuse.util import compiled
from edgefuse.util.arrays import Int32Array

needs_core = pytest.mark.skipif(not compiled.library(), reason="no compiled core")


@pytest.fixture
def python(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Disable the compiled core within the block."""
    monkeypatch.setattr(compiled, "library", lambda: None)
    return monkeypatch


def numbers(seed: int, shape: tuple[int, int, int], size: float) -> Int32Array:
    return np.round(np.random.default_rng(seed).laplace(size=shape) * size).clip(-(2**26), 2**26).astype(np.int32)


shapes = st.tuples(st.integers(1, 24), st.integers(1, 24), st.integers(1, 3))
sizes = st.sampled_from([0, 0.3, 5, 200, 3e4, 8e6])


@needs_core
@settings(max_examples=40, deadline=None)
@given(st.integers(0, 99), shapes, sizes, st.integers(0, 3), st.sampled_from([1.0, 0.4, 1.7]))
def test_python_writes_and_reads_the_same_bits(seed: int, shape: tuple[int, int, int], size: float, levels: int, scale: float) -> None:
    data = numbers(seed, shape, size)
    mine = data.copy()
    wavelet.transform(data, levels)
    lossy, exact = entropy_coder.encode(data, levels, scale), entropy_coder.encode_exact(mine)
    made = entropy_coder.decode(lossy, shape, levels)
    back = made.copy()
    wavelet.transform(back, levels, inverse=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "library", lambda: None)
        other = mine.copy()
        wavelet.transform(other, levels)
        assert np.array_equal(other, data)
        assert entropy_coder.encode(other, levels, scale) == lossy
        assert entropy_coder.encode_exact(mine) == exact
        assert np.array_equal(entropy_coder.decode(lossy, shape, levels), made)
        assert np.array_equal(entropy_coder.decode_exact(exact, shape), mine)
        wavelet.transform(made, levels, inverse=True)
    assert np.array_equal(made, back)


@needs_core
@settings(max_examples=20, deadline=None)
@given(st.binary(max_size=60), shapes, st.integers(0, 3))
def test_any_bytes_give_the_same_planes_in_every_version(data: bytes, shape: tuple[int, int, int], levels: int) -> None:
    for version in range(1, efz.VERSION + 1):
        lossy, exact = entropy_coder.decode(data, shape, levels, version), entropy_coder.decode_exact(data, shape, version)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(compiled, "library", lambda: None)
            assert np.array_equal(entropy_coder.decode(data, shape, levels, version), lossy)
            assert np.array_equal(entropy_coder.decode_exact(data, shape, version), exact)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 99), st.tuples(st.integers(1, 50), st.integers(1, 50), st.integers(1, 5)), sizes)
def test_exact_is_exact(seed: int, shape: tuple[int, int, int], size: float) -> None:
    data = numbers(seed, shape, size)
    assert np.array_equal(entropy_coder.decode_exact(entropy_coder.encode_exact(data), shape), data)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 99), st.tuples(st.integers(1, 50), st.integers(1, 50), st.integers(1, 5)), st.integers(0, 5))
def test_the_wavelet_is_undone(seed: int, shape: tuple[int, int, int], levels: int) -> None:
    data = numbers(seed, shape, 1e5)
    made = data.copy()
    wavelet.transform(made, levels)
    wavelet.transform(made, levels, inverse=True)
    assert np.array_equal(made, data)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (16, 16), (37, 50)])
@pytest.mark.parametrize("levels", range(6))
def test_bands_hold_every_sample_once(shape: tuple[int, int], levels: int) -> None:
    seen = np.zeros(shape, int)
    for band in bands(*shape, levels)[0]:
        part = seen[band.y :: band.step, band.x :: band.step]
        assert part.shape == (band.height, band.width) or 0 in part.shape
        part += 1
    assert (seen == 1).all()


def test_a_quantiser_s_error_is_small_and_its_bits_few() -> None:
    """On a smooth picture the error per step is the same for all steps, and the bits fall as the step grows."""
    y, x = np.mgrid[:64, :64]
    picture = (3000 * np.sin(x / 9) * np.cos(y / 7) * entropy_tables.ONE).astype(np.int32)[..., None]
    coefficients = picture.copy()
    wavelet.transform(coefficients, 3)
    sizes = []
    for scale in (1.0, 0.1):
        sent = entropy_coder.encode(coefficients, 3, scale)
        made = entropy_coder.decode(sent, picture.shape, 3)
        wavelet.transform(made, 3, inverse=True)
        error = np.sqrt(np.mean((made / entropy_tables.ONE - picture * scale / entropy_tables.ONE) ** 2))
        assert error < 0.4  # 0.29 steps for a uniform error, and a little more from rate-distortion optimisation
        sizes.append(len(sent))
    assert sizes[1] < 0.6 * sizes[0] < 64 * 64


def test_what_is_likely_takes_next_to_nothing() -> None:
    """A carry that propagates through all bytes written, and probabilities at the end of their range."""
    assert len(entropy_coder.encode_exact(np.zeros((200, 200, 3), np.int32))) <= 4
    same = np.full((200, 200, 3), 7, np.int32)
    assert len(entropy_coder.encode_exact(same)) < 200 * 200 * 3 / 8 * 1.05  # signs
    assert np.array_equal(entropy_coder.decode_exact(entropy_coder.encode_exact(same), same.shape), same)


def test_the_tables_are_part_of_the_format(monkeypatch: pytest.MonkeyPatch) -> None:
    entropy_tables.tables.__wrapped__()
    monkeypatch.setattr(entropy_tables.math, "exp", lambda x: 1.0)
    with pytest.raises(ArithmeticError, match="other machines could not decode its files"):
        entropy_tables.tables.__wrapped__()
