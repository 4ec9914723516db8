"""Automatic calibration on synthetic streets: a known misregistration is recovered, and unsuitable input is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgefuse.calibration.automatic import estimate, recheck
from edgefuse.calibration.refine import higher_order_terms, motion_homography
from edgefuse.calibration.registration import centred_homography, corners, project
from edgefuse.calibration.views import digests, views
from edgefuse.errors import CalibrationError
from edgefuse.frames import Frame, FramePair
from tests.calibration.scenes import displaced, shrunk, similarity, street


def _off(homography: np.ndarray, truth: np.ndarray, size: tuple[int, int]) -> float:
    return float(np.hypot(*(project(homography, corners(size)) - project(truth, corners(size))).T).mean())


@pytest.mark.parametrize(("scene", "degrees", "scale", "right", "down"), [("day", 4, 0.93, 17, -14), ("night", -5, 1.09, -20, 9)])
def test_a_known_displacement_is_recovered(scene: str, degrees: float, scale: float, right: float, down: float) -> None:
    warp = similarity((320, 240), degrees, scale, right, down)
    result = estimate(views([displaced(street(2, scene), warp)]))
    assert result.doubt is None
    assert _off(result.homography, np.linalg.inv(warp), (320, 240)) < 1.5
    assert result.error_px < 2


def test_a_small_infrared_frame_with_a_narrow_view_and_several_pairs() -> None:
    # two streets with one camera set-up: the infrared camera has 120 x 90 pixels and sees about three quarters of the width
    warp = similarity((320, 240), 2, 1.33, 8, -6)
    pairs = [shrunk(displaced(street(seed), warp), (120, 90)) for seed in (3, 4)]
    result = estimate(views(pairs), 0.75)
    assert result.doubt is None
    truth = np.linalg.inv(warp) @ centred_homography((320, 240), (120, 90))
    assert _off(result.homography, truth, (120, 90)) < 2
    left, residual = recheck(views(pairs), truth)
    assert left.doubt is None
    assert residual < 2
    off = np.array([[1, 0, 6], [0, 1, 0], [0, 0, 1.0]])
    assert recheck(views(pairs), off @ truth)[1] == pytest.approx(6, abs=1.5)


def test_frames_of_two_scenes_are_refused() -> None:
    one, two = street(2), street(5, "night")
    turned = np.ascontiguousarray(two.infrared.data[::-1, ::-1])
    result = estimate(views([FramePair(one.visible, Frame(turned, "infrared", 0, "x"), 0)]), 1.0)
    assert result.doubt is not None


def test_noise_and_blank_frames_are_refused() -> None:
    one = street(2)
    noise = np.random.default_rng(0).integers(0, 256, (240, 320)).astype(np.uint8)
    assert estimate(views([FramePair(one.visible, Frame(noise, "infrared", 0, "x"), 0)]), 1.0).doubt is not None
    flat = np.full((240, 320), 90, np.uint8)
    with pytest.raises(CalibrationError, match="demo_00000: the infrared frame shows one brightness all over"):
        estimate(views([FramePair(one.visible, Frame(flat, "infrared", 0, "x"), 0)]))
    with pytest.raises(CalibrationError, match="demo_00000: the visible frame shows one brightness all over"):
        estimate(views([FramePair(Frame(flat, "visible", 0, "demo_00000"), one.infrared, 0)]))


def test_pairs_of_several_sizes_or_none_are_refused() -> None:
    one = street(2)
    with pytest.raises(CalibrationError, match=r"demo_00000: its infrared frame is 120x90, that of demo_00000 320x240"):
        views([one, shrunk(one, (120, 90))])
    with pytest.raises(CalibrationError, match="no pair"):
        views([])


def test_digests_are_of_pixels() -> None:
    one, two = street(2), street(3)
    assert digests([one, two])[:2] == digests([one])
    assert len({*digests([one, two])}) == 4


@given(st.lists(st.floats(-5, 5), min_size=8, max_size=8))
def test_a_motion_moves_points_by_its_parameters(move: list[float]) -> None:
    size, made = (320, 240), motion_homography(np.array(move), (320, 240))
    middle = np.array([[159.5, 119.5]])
    # to first order the centre moves by the two shifts
    assert np.abs(project(made, middle) - middle - move[:2]).max() < 1
    # and the terms left after rotation, scale and shift are the last four parameters
    alone = motion_homography(np.array([0, 0, 0, 0, *move[4:]]), size) @ centred_homography(size, (160, 120))
    assert np.abs(higher_order_terms(alone, size, (160, 120)) - move[4:]).max() < 0.8
