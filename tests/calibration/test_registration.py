"""Calibration files and warping: geometry by property-based tests, and a refusal of every malformed file that names the key."""

from __future__ import annotations

import datetime
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgefuse.calibration import registration
from edgefuse.calibration.registration import Calibration, Lens, Registration, centred_homography, corners, misfit, project
from edgefuse.errors import CalibrationError, OutputError

WIDE = Lens(np.array([[90, 0, 47.5], [0, 91, 39.5], [0, 0, 1.0]]), np.array([-0.25, 0.06, 0.001, 0.0, 0.0]))


def calibration(homography: np.ndarray, visible: tuple[int, int] = (96, 80), infrared: tuple[int, int] = (48, 40)) -> Calibration:
    made = datetime.date(2026, 11, 21)
    return Calibration(
        homography=homography, visible_size=visible, infrared_size=infrared, method="points", error_px=0.25, made=made, images=("0f" * 32,)
    )


@st.composite
def homographies(draw: st.DrawFn, visible: tuple[int, int] = (96, 80), infrared: tuple[int, int] = (48, 40)) -> np.ndarray:
    """Generate homographies that fill the frame with small rotation, scale, shift and tilt."""
    angle, scale = np.deg2rad(draw(st.floats(-20, 20))), draw(st.floats(0.6, 1.5))
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]) @ np.diag([scale, scale, 1])
    middle = np.array([[1, 0, 47.5], [0, 1, 39.5], [0, 0, 1]])
    move = np.array([[1, 0, draw(st.floats(-20, 20))], [0, 1, draw(st.floats(-20, 20))], [0, 0, 1]])
    tilt = np.array([[1, 0, 0], [0, 1, 0], [draw(st.floats(-1e-3, 1e-3)), draw(st.floats(-1e-3, 1e-3)), 1]])
    return move @ middle @ tilt @ turn @ np.linalg.inv(middle) @ centred_homography(visible, infrared)


@given(homographies())
def test_save_and_load_round_trip_and_inverse_mapping(tmp_path_factory: pytest.TempPathFactory, homography: np.ndarray) -> None:
    made = replace(calibration(homography), distance_m=3.5, visible_lens=WIDE)
    points = corners(made.infrared_size)
    assert np.allclose(project(np.linalg.inv(made.homography), project(made.homography, points)), points, atol=1e-6)
    path = tmp_path_factory.mktemp("calibration") / "calibration.toml"
    registration.save(made, path)
    again = registration.load(path)
    assert np.array_equal(again.homography, made.homography)
    assert (again.distance_m, again.images, again.made, again.error_px) == (made.distance_m, made.images, made.made, made.error_px)
    assert again.visible_lens is not None
    assert np.array_equal(again.visible_lens.distortion, WIDE.distortion)
    assert again.infrared_lens is None


@settings(max_examples=30)
@given(homographies())
def test_each_pixel_comes_from_its_position_under_the_homography(homography: np.ndarray) -> None:
    made = calibration(homography)
    # on a ramp, interpolation is exact up to the table's 1/32 pixel and rounding
    y, x = np.mgrid[:40, :48]
    out = Registration(made, (96, 80), (48, 40)).apply((x * 4 + y).astype(np.uint8) + 1)
    gy, gx = np.mgrid[:80, :96]
    there = project(np.linalg.inv(made.homography), np.stack([gx, gy], axis=-1).reshape(-1, 2).astype(float)).reshape(80, 96, 2)
    inside = ((there >= 0) & (there <= (47, 39))).all(axis=2)
    outside = ((there < -0.51) | (there > (47.51, 39.51))).any(axis=2)
    assert np.abs(out[inside] - (there[inside] @ (4, 1) + 1)).max(initial=0) < 0.8
    assert not out[outside].any()


def test_the_edge_of_the_view_is_not_darkened() -> None:
    out = Registration(calibration(centred_homography((96, 80), (48, 40), 0.5)), (96, 80), (48, 40)).apply(np.full((40, 48), 200, np.uint8))
    assert set(np.unique(out)) == {0, 200}
    assert np.count_nonzero(out) == 48 * 40


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_pure_scaling_and_identity(dtype: type) -> None:
    frame = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (40, 48)).astype(dtype)
    assert Registration(calibration(np.eye(3), (48, 40)), (48, 40), (48, 40)).apply(frame) is frame
    scaled = Registration(calibration(centred_homography((96, 80), (48, 40))), (96, 80), (48, 40)).apply(frame)
    assert np.array_equal(scaled, cv2.resize(frame, (96, 80), interpolation=cv2.INTER_LINEAR))


def test_the_output_buffer_is_reused_and_its_border_stays_black() -> None:
    register = Registration(calibration(centred_homography((96, 80), (48, 40), 0.6)), (96, 80), (48, 40))
    first = register.apply(np.full((40, 48), 9, np.uint8))
    second = register.apply(np.zeros((40, 48), np.uint8))
    assert first is second
    assert not second.any()


def test_lenses_bend_the_grid_as_opencv_bends_points() -> None:
    made = replace(calibration(centred_homography((96, 80), (96, 80), 0.8), infrared=(96, 80)), visible_lens=WIDE, infrared_lens=WIDE)
    spot = np.array([[60.0, 30.0]])  # in the unprocessed infrared picture
    flat = cv2.undistortPoints(spot[:, None], WIDE.matrix, WIDE.distortion, P=WIDE.matrix).reshape(-1, 2)
    rays = np.append((project(made.homography, flat) - WIDE.matrix[:2, 2]) / np.diag(WIDE.matrix)[:2], [[1.0]], axis=1)
    expected = cv2.projectPoints(rays[:, None], np.zeros(3), np.zeros(3), WIDE.matrix, WIDE.distortion)[0].reshape(2)
    frame = np.zeros((80, 96), np.uint8)
    frame[29:32, 59:62] = 255
    y, x = np.nonzero(Registration(made, (96, 80), (96, 80)).apply(frame) > 127)
    assert np.hypot(x.mean() - expected[0], y.mean() - expected[1]) < 0.5


def test_sizes_are_checked() -> None:
    made = calibration(centred_homography((96, 80), (48, 40)))
    with pytest.raises(CalibrationError, match=r"visible frames of 96x80, these are 97x80; .*edgefuse calibrate"):
        Registration(made, (97, 80), (48, 40))
    with pytest.raises(CalibrationError, match="infrared frames of 48x40, these are 40x48"):
        Registration(made, (96, 80), (40, 48))
    with pytest.raises(CalibrationError, match="infrared frame is 40x48"):
        Registration(made, (96, 80), (48, 40)).apply(np.zeros((48, 40), np.uint8))


@pytest.mark.parametrize(
    ("homography", "words"),
    [
        (np.zeros((3, 3)), "not 0"),
        (np.ones((3, 3)), "horizon|singular"),
        (np.diag([0, 1.0, 1]), "singular"),
        (np.diag([1e-9, 1e-9, 1]), "singular"),
        (np.full((3, 3), np.nan), "finite"),
        (np.array([[1, 0, 500.0], [0, 1, 0], [0, 0, 1]]), "do not overlap"),
        (np.array([[1, 0, 0], [0, 1, 0], [-0.05, 0, 1]]), "horizon"),
        (np.diag([1e8, 1e8, 1]), "far outside"),
        (np.diag([1, 1, 1e-300]), "not 0"),
    ],
)
def test_impossible_homographies(homography: np.ndarray, words: str) -> None:
    with pytest.raises(CalibrationError, match=words):
        calibration(homography)


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=9, max_size=9))
def test_any_nine_numbers_are_accepted_or_refused(numbers: list[float]) -> None:
    try:
        made = calibration(np.array(numbers).reshape(3, 3))
    except CalibrationError:
        return
    assert misfit(made.homography, (96, 80), (48, 40)) is None
    Registration(made, (96, 80), (48, 40)).apply(np.zeros((40, 48), np.uint8))


GOOD = """format = 1
visible_size = [96, 80]
infrared_size = [48, 40]
homography = [[2, 0, 0.5], [0, 2, 0.5], [0, 0, 1]]
method = "points"
error_px = 0.5
made = 2026-11-21
"""


def test_a_file_written_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(GOOD)
    made = registration.load(path)
    assert made.homography.dtype == np.float64
    assert (made.visible_size, made.infrared_size, made.distance_m, made.images) == ((96, 80), (48, 40), None, ())


@pytest.mark.parametrize(
    ("old", "new", "key", "expected"),
    [
        ("format = 1", "format = 2", "format", "expected 1"),
        ("format = 1\n", "", "format", "expected 1"),
        ("[96, 80]", "[96]", "visible_size", "two whole numbers"),
        ("[96, 80]", "[96.0, 80]", "visible_size", "two whole numbers"),
        ("[96, 80]", "[96, 100000]", "visible_size", "8 to 8192"),
        ("[96, 80]", "true", "visible_size", "two whole numbers"),
        ("[48, 40]", "[0, 40]", "infrared_size", "8 to 8192"),
        ("[0, 2, 0.5], ", "", "homography", "three rows of three"),
        ("[0, 2, 0.5]", "[0, 2, true]", "homography", "three rows of three"),
        ("[0, 2, 0.5]", '[0, 2, "1"]', "homography", "three rows of three"),
        ("[0, 2, 0.5]", "[0, 2, nan]", "homography", "finite"),
        ("[0, 2, 0.5]", "[2, 0, 0.5]", "homography", "singular"),
        ("[0, 2, 0.5]", f"[0, 1{'0' * 400}, 0.5]", "homography", "three rows of three"),
        ('"points"', '"guessed"', "method", "one of points, target, automatic"),
        ('"points"', "[]", "method", "one of points"),
        ("error_px = 0.5", "error_px = -1", "error_px", "0 or more"),
        ("error_px = 0.5", "error_px = inf", "error_px", "0 or more"),
        ("2026-11-21", '"yesterday"', "made", "a date, such as"),
        ("2026-11-21", "2026-11-21T10:00:00", "made", "a date, such as"),
        ("made = 2026-11-21\n", "", "made", "but it is missing"),
        ("made", "distance_m = 0\nmade", "distance_m", "above 0"),
        ("made", 'images = ["../x"]\nmade', "images", "sha256"),
        ("made", "colour = 1\nmade", "colour", "unknown key"),
        ("made", "visible_lens = 1\nmade", "visible_lens", "expected a table"),
        ("made", "visible_lens = {camera_matrix = [[0, 0, 1], [0, 9, 1], [0, 0, 1]], distortion = [0, 0, 0, 0]}\nmade",
         r"visible_lens\.camera_matrix", "fx and fy 1 or more"),
        ("made", "visible_lens = {camera_matrix = [[9, 1e308, 1], [0, 9, 1], [0, 0, 1]], distortion = [0, 0, 0, 0]}\nmade",
         r"visible_lens\.camera_matrix", "fx and fy 1 or more"),
        ("made", "visible_lens = {camera_matrix = [[9, 0, 1], [0, 9, 1], [0, 0, 1]], distortion = [0, 0, 0, nan]}\nmade",
         r"visible_lens\.distortion", "none above 1e6"),
        ("made", "infrared_lens = {camera_matrix = [[9, 0, 1], [0, 9, 1], [0, 0, 1]], distortion = [0, 0]}\nmade",
         r"infrared_lens\.distortion", "4, 5, 8, 12, 14"),
        ("format", "= format", "not valid TOML", ""),
    ],
)  # fmt: skip
def test_an_invalid_file_error_names_file_key_and_expectation(tmp_path: Path, old: str, new: str, key: str, expected: str) -> None:
    path = tmp_path / "c.toml"
    assert old in GOOD
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(CalibrationError, match=rf"^{path}: {key}.*{expected}"):
        registration.load(path)


def test_missing_and_binary_files(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match=r"cannot read .*No such file.*edgefuse calibrate"):
        registration.load(tmp_path / "none.toml")
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(CalibrationError, match="not valid TOML"):
        registration.load(tmp_path / "b.toml")
    with pytest.raises(OutputError, match="cannot write"):
        registration.save(calibration(centred_homography((96, 80), (48, 40))), tmp_path / "no folder" / "c.toml")
