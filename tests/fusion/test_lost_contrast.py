"""The lost contrast by its formula; the compiled and the NumPy version give the same bits."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgefuse.fusion.lost_contrast import SCALES, STEPS, CompiledLostContrast, LostContrast, NumpyLostContrast, largest
from edgefuse.util import compiled
from edgefuse.util.arrays import UInt8Array
from tests.fusion.pairs import random

needs_compiler = pytest.mark.skipif(compiled.library() is None, reason="EdgeFuse was installed without a C compiler")
WAYS = [pytest.param(NumpyLostContrast, id="numpy"), pytest.param(CompiledLostContrast, id="compiled", marks=needs_compiler)]


def body(level: int = 200, around: int = 60, shape: tuple[int, int] = (24, 32)) -> UInt8Array:
    """Return a warm square of 3 x 3 cells on a uniform background."""
    picture = np.full(shape, around, np.uint8)
    picture[10:13, 14:17] = level
    return picture


@pytest.mark.pi
@pytest.mark.parametrize("way", WAYS)
def test_by_the_formula(way: type[LostContrast]) -> None:
    infrared, fused = body(), body(76)
    planes = way(infrared.shape).planes(infrared, fused, 0.95)
    # centre of 3, ring of 7 without it: flat, so s is 0; C = 140 / 4, K = 16 / 4
    assert planes[1][11, 15] == int(min(35, 2) * min(1, 4 * (0.95 - 16 / 140)) * 1 * STEPS)
    assert planes[1][2, 2] == 0
    losses = largest(way(infrared.shape), infrared, fused, 0.95)
    assert (losses[8:15, 12:19] == planes[1][11, 15]).all()
    assert losses[3, 3] == 0


@pytest.mark.parametrize("way", WAYS)
def test_what_the_picture_shows_is_not_lost(way: type[LostContrast]) -> None:
    infrared = body()
    assert not largest(way(infrared.shape), infrared, infrared, 0.95).any()
    assert not largest(way(infrared.shape), infrared, body(255, 5), 0.95).any()
    # differences below 15 levels and colder objects do not count
    assert not largest(way(infrared.shape), body(74), body(60), 0.95).any()
    assert not largest(way(infrared.shape), body(10), body(60), 0.95).any()


@pytest.mark.parametrize("way", WAYS)
def test_the_more_is_to_be_kept_the_more_is_lost(way: type[LostContrast]) -> None:
    infrared, fused = cv2.blur(random((40, 48), 1), (3, 3)), cv2.blur(random((40, 48), 2), (3, 3))
    before = np.zeros(infrared.shape, np.uint8)
    for keep in (0.5, 0.95, 1.1, 1.25):
        losses = largest(way(infrared.shape), infrared, fused, keep)
        assert np.all(losses >= before)
        before = losses
    assert before.max() > 0


@needs_compiler
@settings(max_examples=100, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3, 5]), st.sampled_from([0.5, 0.95, 1.25]), st.integers(0, 2**32 - 1))
def test_compiled_and_not_agree_to_the_bit(height: int, width: int, smooth: int, keep: float, seed: int) -> None:
    pictures = [cv2.blur(random((height, width), seed + k), (smooth, smooth)).reshape(height, width) for k in range(2)]
    one, other = (way((height, width)).planes(*pictures, keep) for way in (NumpyLostContrast, CompiledLostContrast))
    assert len(one) == len(other) == len(SCALES)
    for a, b in zip(one, other, strict=True):
        assert np.array_equal(a, b)
