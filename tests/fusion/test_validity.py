"""Detection of infrared frames, and borders of them, that show nothing."""

from __future__ import annotations

import numpy as np
import pytest

from edgefuse.fusion.validity import blank_border, is_blank
from tests.fusion.pairs import random


def scene(level: int = 100) -> np.ndarray:
    return random((60, 80), 1, level - 40, level + 40)


def test_one_level_all_over_is_blank_noise_or_not() -> None:
    assert is_blank(np.full((60, 80), 90, np.uint8))
    # a standard deviation of 6 after averaging 8 x 8 pixels
    assert is_blank(np.rint(90 + np.random.default_rng(0).normal(0, 0.75, (60, 80))).astype(np.uint8))
    assert not is_blank(scene())


@pytest.mark.parametrize("turn", range(4))
@pytest.mark.parametrize("white", [True, False])
def test_a_border_is_found_on_every_side(turn: int, white: bool) -> None:
    image = scene()
    image[:5] = 255 if white else 0
    image = np.ascontiguousarray(np.rot90(image, turn))
    found = blank_border(image, white=white)
    assert found is not None
    # and the neighbouring cells, which contain part of it
    expected = np.zeros((60, 80), np.uint8)
    expected[:6] = 1
    np.testing.assert_array_equal(found, np.rot90(expected, turn))
    assert blank_border(image, white=not white) is None


def test_a_border_is_followed_into_the_frame() -> None:
    image = scene()
    image[:, :3] = 255
    image[20:30, :15] = 255
    image[40:44, 60:64] = 255  # a hot spot elsewhere
    found = blank_border(image, white=True)
    assert found is not None
    assert found[25, 14] == 1
    assert found[42, 62] == 0
    assert found[10, 10] == 0


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


@pytest.mark.parametrize("white", [True, False])
def test_nothing_but_one_level(white: bool) -> None:
    found = blank_border(np.full((8, 8), 255 if white else 0, np.uint8), white=white)
    assert found is not None
    assert found.all()
