from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgefuse.sharpening.psf import Psf, apply, cell_edges, cells


@given(
    st.integers(1, 12), st.integers(2, 9), st.floats(0.3, 3), st.floats(-3, 3), st.integers(0, 11), st.integers(1, 12),
)  # fmt: skip
def test_weights_sum_to_one_and_stay_in_the_image(count: int, ratio: int, fwhm: float, shift: float, start: int, size: int) -> None:
    start %= count
    stop = min(count, start + size)
    first, weights = Psf(ratio, fwhm, shift).rows(start, stop, count * ratio)
    assert first >= 0
    assert first + weights.shape[1] <= count * ratio
    assert weights.shape[0] == stop - start
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-5)
    assert weights.min() >= 0


def test_a_window_sees_what_the_whole_sees() -> None:
    psf = Psf(4, 1.2, 0.5, -1)
    _, whole = psf.rows(0, 20, 80)
    first, part = psf.rows(5, 9, 80)
    np.testing.assert_allclose(part, whole[5:9, first : first + part.shape[1]], atol=1e-7)


def test_a_shift_moves_the_centre() -> None:
    first, weights = Psf(4, dy=0.5).rows(5, 6, 80)
    assert abs(weights[0] @ np.arange(first, first + weights.shape[1]) - (4 * 5 + 1.5 + 0.5)) < 1e-4


@given(st.integers(2, 9), st.integers(0, 5), st.integers(1, 6))
def test_cells_cover_pixels_twice_a_side(ratio: int, begin: int, count: int) -> None:
    edges = cell_edges(begin, begin + count, ratio, 2)
    assert (edges[0], edges[-1], len(edges)) == (begin * ratio, (begin + count) * ratio, 2 * count + 1)
    assert np.diff(edges).min() >= 1
    weights = cells(*Psf(ratio).rows(begin, begin + count, 12 * ratio), edges)
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-5)


def test_a_constant_image_stays_constant() -> None:
    psf = Psf(3, 1.4)
    (_, down), (_, across) = psf.rows(0, 5, 15), psf.columns(0, 7, 21)
    np.testing.assert_allclose(apply(down, across, np.full((15, 21, 2), 3.5, np.float32)), 3.5, rtol=1e-6)
