"""Detection of infrared frames, and borders of them, that show nothing."""

from __future__ import annotations

import numpy as np
import pytest

from edgefuse.fusion.validity import BLACK, black, blank_border, hidden, is_blank, sky
from tests.fusion.pairs import random


def scene(level: int = 100) -> np.ndarray:
    return random((60, 80), 1, level - 40, level + 40)


def test_one_level_all_over_is_blank_noise_or_not() -> None:
    assert is_blank(np.full((60, 80), 90, np.uint8))
    # a standard deviation of 6 after averaging 8 x 8 pixels
    assert is_blank(np.rint(90 + np.random.default_rng(0).normal(0, 0.75, (60, 80))).astype(np.uint8))
    assert not is_blank(scene())


@pytest.mark.parametrize("turn", range(4))
def test_a_border_is_found_on_every_side(turn: int) -> None:
    image = scene()
    image[:5] = 255
    image = np.ascontiguousarray(np.rot90(image, turn))
    mask = blank_border(image, white=True)
    assert mask is not None
    # and the neighbouring cells, which contain part of it
    expected = np.zeros((60, 80), np.uint8)
    expected[:6] = 1
    np.testing.assert_array_equal(mask, np.rot90(expected, turn))
    assert blank_border(255 - image, white=True) is None


def test_a_border_is_followed_into_the_frame() -> None:
    image = scene()
    image[:, :3] = 255
    image[20:30, :15] = 255
    image[40:44, 60:64] = 255  # a hot spot elsewhere
    mask = blank_border(image, white=True)
    assert mask is not None
    assert mask[25, 14] == 1
    assert mask[42, 62] == 0
    assert mask[10, 10] == 0


def test_a_hot_body_cut_off_by_the_frame_is_no_border() -> None:
    image = scene()
    image[35:, 30:50] = 255
    image[20:32, :9] = 254
    assert blank_border(image, white=True) is None


def test_bodies_beside_each_other_are_no_border() -> None:
    image = scene()
    for left in (2, 22, 42, 62):
        image[40:, left : left + 12] = 255
    assert blank_border(image, white=True) is None


def test_a_black_border_is_found() -> None:
    image = scene()
    image[:5] = 0
    mask = blank_border(image, white=False)
    assert mask is not None
    assert mask[:6].all()
    assert not mask[6:].any()


def test_hidden_is_a_sky_by_day_and_a_black_margin_but_not_what_is_cold() -> None:
    quarter = scene()
    quarter[20:40, 20:60] = 0
    visible = np.full((30, 40), 200, np.uint8)
    # a cold ground that is bright to the eye
    assert hidden(black(quarter), sky(black(quarter), visible), blank_border(quarter, white=False)) is None
    quarter[:10] = 0
    assert sky(black(quarter), visible) is not None
    visible[:] = 30
    assert sky(black(quarter), visible) is None
    shown = hidden(black(quarter), sky(black(quarter), visible), blank_border(quarter, white=False))
    assert shown is not None
    assert (shown[:5] == 1).all()
    assert not shown[6:].any()


def test_nothing_but_one_level() -> None:
    mask = blank_border(np.full((8, 8), 255, np.uint8), white=True)
    assert mask is not None
    assert mask.all()


def test_black_falls_with_the_level_and_with_the_share_of_a_cell() -> None:
    levels = np.arange(256, dtype=np.uint8).repeat(2).reshape(1, 512).repeat(2, 0)
    shown = black(np.ascontiguousarray(levels))
    assert shown.dtype == np.float32
    assert shown.shape == (1, 256)
    np.testing.assert_allclose(shown[0], np.clip(1 - np.arange(256) / BLACK, 0, 1), atol=1e-6)
    half = np.full((2, 2), 90, np.uint8)
    half[0] = 0
    np.testing.assert_allclose(black(half), 0.5, atol=0.002)


def test_a_sky_is_black_to_one_camera_and_bright_to_the_other() -> None:
    dark, light = np.full((4, 6), 20, np.uint8), np.full((4, 6), 200, np.uint8)
    nothing, everything = np.zeros((4, 6), np.float32), np.ones((4, 6), np.float32)
    assert sky(everything, dark) is None
    assert sky(nothing, light) is None
    mask = sky(everything, light)
    assert mask is not None
    assert (mask == 1).all()
    low = everything.copy()
    low[0] = 0
    assert sky(low, light) is None
