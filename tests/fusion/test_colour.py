"""Chroma is kept, weighted or blended, and never appears where the visible frame has none."""

from __future__ import annotations

from typing import get_args

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgefuse.fusion.colour import FLOOR, join, split
from edgefuse.fusion.options import Colour

BGR = (70, 110, 160)
sizes = st.tuples(st.integers(1, 40), st.integers(1, 40))


def flat(colour: tuple[int, int, int] = BGR, shape: tuple[int, int] = (6, 8)) -> NDArray[np.uint8]:
    return np.full((*shape, 3), colour, np.uint8)


def chroma_of(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return Cr and Cb around 0, by their definition."""
    b, g, r = (image[..., k].astype(float) for k in range(3))
    y = 0.299 * r + 0.587 * g + 0.114 * b
    return np.stack([0.713 * (r - y), 0.564 * (b - y)], -1)


def test_a_grey_frame_is_its_own_luma() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(3, 4)
    luma, chroma = split(image)
    assert luma is image
    assert chroma is None
    assert join(luma, None, np.zeros((3, 4), np.float32), "balanced") is luma


def test_split_follows_bt_601() -> None:
    luma, chroma = split(flat())
    assert luma.shape == (6, 8)
    assert chroma is not None
    assert chroma.shape == (6, 8, 2)
    assert (luma == round(0.299 * 160 + 0.587 * 110 + 0.114 * 70)).all()
    np.testing.assert_allclose(chroma - 128.0, chroma_of(flat()), atol=1)


@settings(max_examples=30, deadline=None)
@given(sizes, st.integers(0, 2**32 - 1))
def test_keep_gives_the_picture_back(size: tuple[int, int], seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    luma, chroma = split(image)
    back = join(luma, chroma, np.zeros(size, np.float32), "keep")
    assert np.abs(back.astype(int) - image).max() <= 2


@settings(max_examples=30, deadline=None)
@given(sizes, st.integers(0, 2**32 - 1), st.sampled_from(get_args(Colour)), st.booleans())
def test_any_size_comes_back_as_bgr_with_the_fused_luma(size: tuple[int, int], seed: int, mode: Colour, mapped: bool) -> None:
    rng = np.random.default_rng(seed)
    fused = rng.integers(60, 200, size, dtype=np.uint8)
    _, chroma = split(rng.integers(110, 146, (*size, 3), dtype=np.uint8))
    assert chroma is not None
    before = chroma.copy()
    out = join(fused, chroma, rng.random(size, np.float32) if mapped else None, mode)
    assert (out.shape, out.dtype) == ((*size, 3), np.uint8)
    assert np.abs(split(out)[0].astype(int) - fused).max() <= 1
    np.testing.assert_array_equal(chroma, before)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0, None])
@pytest.mark.parametrize(("mode", "weight"), [("keep", lambda m: 1.0), ("balanced", lambda m: 0.3 + 0.7 * m), ("benchmark", lambda m: m)])
def test_chroma_is_weighed_by_mode(mode: Colour, weight, share: float | None) -> None:  # type: ignore[no-untyped-def]
    luma, chroma = split(flat())
    blending_map = None if share is None else np.full(luma.shape, share, np.float32)
    expected = chroma_of(flat()) * weight(0.5 if share is None else share)
    np.testing.assert_allclose(chroma_of(join(luma, chroma, blending_map, mode)), expected, atol=1.5)


def test_each_pixel_has_its_own_weight() -> None:
    luma, chroma = split(flat(shape=(1, 5)))
    blending_map = np.linspace(0, 1, 5, dtype=np.float32)[None]
    strength = np.abs(chroma_of(join(luma, chroma, blending_map, "benchmark"))[0, :, 0])
    assert strength[0] <= 0.5
    np.testing.assert_allclose(strength, np.linspace(0, strength[-1], 5), atol=1)
    assert strength[-1] > 20


@pytest.mark.parametrize("mode", get_args(Colour))
@settings(max_examples=15, deadline=None)
@given(st.integers(0, 255), st.floats(0, 1, width=32))
def test_neutral_stays_neutral(mode: Colour, level: int, share: float) -> None:
    _, chroma = split(flat((level, level, level)))
    fused = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert chroma is not None
    out = join(fused, np.broadcast_to(chroma[:1, :1], (16, 16, 2)), np.full((16, 16), share, np.float32), mode)
    np.testing.assert_array_equal(out, np.dstack([fused] * 3))


def test_weighing_does_not_shift_the_hue() -> None:
    # half of the chroma, rounded to nearest, so that +31 and -31 stay symmetric
    chroma = np.array([[[128 + 31, 128 - 31], [128 - 31, 128 + 31]]], np.uint8)
    luma = np.full((1, 2), 128, np.uint8)
    weighed = cv2.cvtColor(join(luma, chroma, np.full((1, 2), 0.5, np.float32), "benchmark"), cv2.COLOR_BGR2YCrCb)[..., 1:]
    np.testing.assert_allclose(weighed.astype(int) - 128, [[[15.5, -15.5], [-15.5, 15.5]]], atol=1)


def test_extreme_chroma_does_not_wrap_round() -> None:
    chroma = np.array([[[0, 255], [255, 0]]], np.uint8)
    luma = np.full((1, 2), 128, np.uint8)
    for mode in ("balanced", "benchmark"):
        out = join(luma, chroma, np.ones((1, 2), np.float32), mode)
        np.testing.assert_array_equal(out, join(luma, chroma, None, "keep"))


def test_floors_are_those_of_the_documentation() -> None:
    assert FLOOR == {"keep": 1.0, "balanced": 0.3, "benchmark": 0.0}
