from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edgefuse.errors import InputError
from edgefuse.metrics.flicker import CELL, STILL_CELL, Flicker

frames = arrays(np.uint8, (3, 6, 7))


def grey(level: int) -> np.ndarray:
    return np.full((4, 6), level, np.uint8)


def test_by_hand() -> None:
    flicker = Flicker(threshold=4)
    flicker.add(grey(10), grey(20), grey(100))
    moved = grey(12)
    moved[:, :3] = 200  # half of the visible frame changes, so changes of the fused frame there do not count
    fused = grey(103)
    fused[:, :3] = 250
    flicker.add(moved, grey(19), fused)
    figures = flicker.figures
    assert (figures.fused, figures.visible, figures.infrared, figures.still) == (3.0, 2.0, 1.0, 0.5)


def test_the_threshold_itself_is_still() -> None:
    for step, still in ((4, 1.0), (5, 0.0)):
        flicker = Flicker(threshold=4)
        flicker.add(grey(10), grey(10), grey(10))
        flicker.add(grey(10), grey(10 - step), grey(10))
        assert flicker.figures.still == still


def test_a_mask_beats_the_threshold() -> None:
    flicker = Flicker()
    still = np.zeros((4, 6), bool)
    still[0] = True
    flicker.add(grey(10), grey(10), grey(10), still)
    flicker.add(grey(90), grey(10), grey(30), still)
    assert flicker.figures.fused == 20
    assert flicker.figures.visible == 80
    assert flicker.figures.still == 0.25


def test_nothing_is_counted_across_a_cut_nor_from_one_frame() -> None:
    flicker = Flicker()
    assert math.isnan(flicker.figures.fused)
    flicker.add(grey(10), grey(10), grey(10))
    assert math.isnan(flicker.figures.fused)
    flicker.cut()
    flicker.add(grey(10), grey(10), grey(90))
    flicker.add(grey(10), grey(10), grey(91))
    assert flicker.figures.fused == 1


def test_colour_counts_by_luma() -> None:
    grey_one, colour_one = Flicker(), Flicker()
    for level in (10, 13):
        grey_one.add(grey(level), grey(20), grey(level + 1))
        colour_one.add(cv2.cvtColor(grey(level), cv2.COLOR_GRAY2BGR), grey(20), cv2.cvtColor(grey(level + 1), cv2.COLOR_GRAY2BGR))
    assert grey_one.figures == colour_one.figures


@given(frames, frames, st.integers(0, 254))
def test_a_picture_of_one_input_flickers_as_that_does_and_no_more_than_the_threshold(
    visible: np.ndarray, infrared: np.ndarray, threshold: int
) -> None:
    flicker = Flicker(threshold)
    for v, i in zip(visible, infrared, strict=True):
        flicker.add(v, i, v)
    figures = flicker.figures
    if figures.still:
        assert figures.fused == figures.visible <= threshold
        assert figures.infrared <= threshold
    else:
        assert math.isnan(figures.fused)


def street(*levels: int) -> np.ndarray:
    """Return 32 x 69 pixels: each cell of 16 x 16 has its own level, in reading order; the last five columns belong to no cell."""
    picture = np.zeros((32, 69), np.uint8)
    for k, level in enumerate(levels):
        picture[16 * (k // 4) : 16 * (k // 4) + 16, 16 * (k % 4) : 16 * (k % 4) + 16] = level
    return picture


def test_a_step_is_the_largest_change_of_a_cell_that_neither_input_changed() -> None:
    flicker = Flicker()
    flicker.add(street(100, 100, 100), street(50, 50, 50), street(10, 10, 10))
    # the first cell changes in the visible frame, the second in the infrared one, so changes of the fused picture there do not count
    flicker.add(street(116, 100, 100), street(50, 66, 50), street(200, 200, 43))
    assert flicker.figures.step == 33
    # a change within the limit counts as none
    flicker.add(street(116 - STILL_CELL, 100, 100), street(50, 66, 50), street(160, 200, 43))
    assert flicker.figures.step == 40
    fused = street(160, 200, 43)
    fused[:, 64:] = 255  # not a complete cell
    fused[0, 0] = 96  # one pixel hardly changes a cell's mean
    flicker.add(street(101, 100, 100), street(50, 66, 50), fused)
    assert flicker.figures.step == 40


def test_a_step_is_of_means_not_of_pixels() -> None:
    flicker = Flicker()
    fused = street(10)
    fused[:16:2, :16] = 90
    flicker.add(street(5), street(5), street(10))
    flicker.add(street(5), street(5), fused)
    assert flicker.figures.step == 40


def test_no_step_across_a_cut_nor_of_pictures_smaller_than_a_cell_nor_where_all_moves() -> None:
    flicker = Flicker()
    for level in (0, 200):
        flicker.add(street(), street(), street(*[level] * 8))
        flicker.cut()
    assert math.isnan(flicker.figures.step)
    small = Flicker()
    for level in (0, 200):
        small.add(grey(1), grey(1), grey(level))
    assert math.isnan(small.figures.step)
    assert small.figures.fused == 200
    moving = Flicker()
    for level in (0, 200):
        moving.add(street(*[level] * 8), street(), street(*[level] * 8))
    assert math.isnan(moving.figures.step)


def test_a_mask_says_which_cells_are_still() -> None:
    flicker, still = Flicker(), np.ones((32, 69), bool)
    still[3, 3] = False
    for k in range(2):
        flicker.add(street(90 * k, 90 * k), street(), street(100 * k, 70 * k), still)
    assert flicker.figures.step == 70


@given(arrays(np.uint8, (3, 2, 2 * CELL, 2 * CELL)))
def test_the_average_steps_by_no_more_than_its_inputs_may(frames: np.ndarray) -> None:
    flicker = Flicker()
    for visible, infrared in frames:
        flicker.add(visible, infrared, ((visible.astype(int) + infrared) // 2).astype(np.uint8))
    assert not flicker.figures.step > STILL_CELL + 1


def test_bad_input() -> None:
    flicker = Flicker()
    flicker.add(grey(1), grey(1), grey(1))
    with pytest.raises(InputError, match="differ in size"):
        flicker.add(grey(1), grey(1), grey(1)[1:])
    with pytest.raises(InputError, match="6x3 after 6x4"):
        flicker.add(grey(1)[1:], grey(1)[1:], grey(1)[1:])
    with pytest.raises(InputError, match="expected bool"):
        flicker.add(grey(1), grey(1), grey(1), grey(1))
    with pytest.raises(InputError, match="threshold 255"):
        Flicker(255)
