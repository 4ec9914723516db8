"""Compares the closed form with its formula."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgefuse.fusion.closed_form_map import BIAS, BLUR, DEPARTURE, DEVIATION, SHARES, ClosedForm, CompiledClosedForm, NumpyClosedForm
from edgefuse.util import compiled
from edgefuse.util.arrays import UInt8Array
from tests.fusion.pairs import random

needs_compiler = pytest.mark.skipif(compiled.library() is None, reason="EdgeFuse was installed without a C compiler")
WAYS = [pytest.param(NumpyClosedForm, id="numpy"), pytest.param(CompiledClosedForm, id="compiled", marks=needs_compiler)]


def mean_of(x: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """Return the mean of each `side` x `side` neighbourhood; the frame is mirrored about its edge pixels."""
    # np.pad mirrors small frames as often as needed, as OpenCV does
    reach = side // 2
    wide = np.pad(x, reach, "reflect") if min(x.shape) > 1 else np.pad(x, reach, "edge")
    return np.lib.stride_tricks.sliding_window_view(wide, (side, side)).mean(axis=(2, 3))


def plain(visible: UInt8Array, infrared: UInt8Array) -> NDArray[np.float64]:
    z = np.full(visible.shape, BIAS)
    for sign, image, departure, deviation in zip((1, -1), (visible, infrared), DEPARTURE, DEVIATION, strict=True):
        x = image.astype(np.float64)
        sigma = np.sqrt(np.maximum(mean_of((x - x.mean()) ** 2, 5) - mean_of(x - x.mean(), 5) ** 2, 0))
        z += sign * (departure * np.abs(x - x.mean()) + deviation * sigma)
    share = mean_of(mean_of(1 / (1 + np.exp(-np.clip(z, -500, 500))), BLUR[0]), BLUR[0])
    return SHARES[0] + (SHARES[1] - SHARES[0]) * share


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("shape", [(12, 16), (60, 80), (16, 12)], ids=str)
@pytest.mark.parametrize("seed", range(4))
def test_it_is_its_formula(way: type[ClosedForm], shape: tuple[int, int], seed: int) -> None:
    a, b = (cv2.blur(random(shape, seed + k), (3, 3)) for k in (0, 50))
    np.testing.assert_allclose(way(shape)(a, b), plain(a, b), atol=2e-3)


@pytest.mark.parametrize("way", WAYS)
def test_it_stays_in_its_range_and_takes_the_frame_that_shows_more(way: type[ClosedForm]) -> None:
    form = way((16, 20))
    busy, flat = random((16, 20), 1), np.full((16, 20), 90, np.uint8)
    for a, b in ((busy, flat), (flat, busy), (flat, flat), (busy, busy)):
        share = form(a, b)
        assert share.dtype == np.float32
        assert share.min() >= SHARES[0] - 1e-6
        assert share.max() <= SHARES[1] + 1e-6
    assert form(busy, flat).mean() > 0.95
    assert form(flat, busy).mean() < 0.12
    # neither frame has contrast, so only the bias counts
    np.testing.assert_allclose(form(flat, flat), SHARES[0] + (SHARES[1] - SHARES[0]) / (1 + np.exp(-BIAS)), atol=1e-5)


@pytest.mark.parametrize("way", WAYS)
def test_it_knows_no_left_and_right_and_no_black_and_white(way: type[ClosedForm]) -> None:
    form, a, b = way((16, 24)), random((16, 24), 1), random((16, 24), 2)
    share = form(a, b)
    np.testing.assert_allclose(form(a[:, ::-1].copy(), b[:, ::-1].copy())[:, ::-1], share, atol=1e-5)
    np.testing.assert_allclose(form(a[::-1].copy(), b[::-1].copy())[::-1], share, atol=1e-5)
    np.testing.assert_allclose(form(255 - a, 255 - b), share, atol=1e-4)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("shape", [(4, 4), (4, 60), (8, 4)], ids=str)
def test_the_smallest_frames(way: type[ClosedForm], shape: tuple[int, int]) -> None:
    share = way(shape)(random(shape, 1), random(shape, 2))
    assert share.shape == shape
    assert np.isfinite(share).all()


@needs_compiler
@settings(max_examples=100, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3, 5]), st.integers(0, 2**32 - 1))
def test_compiled_and_not_agree_to_the_bit(height: int, width: int, smooth: int, seed: int) -> None:
    pictures = [cv2.blur(random((height, width), seed + k), (smooth, smooth)).reshape(height, width) for k in range(2)]
    one, other = (way((height, width))(*pictures) for way in (NumpyClosedForm, CompiledClosedForm))
    assert np.array_equal(one, other)
