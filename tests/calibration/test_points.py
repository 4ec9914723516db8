"""Homographies from points: exact ones are recovered, outliers rejected, degenerate point sets refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgefuse.calibration import points
from edgefuse.calibration.registration import Lens, corners, project
from edgefuse.errors import CalibrationError
from tests.calibration.test_registration import homographies

VISIBLE, INFRARED = (96, 80), (48, 40)


def _pairs(homography: np.ndarray, infrared: np.ndarray) -> np.ndarray:
    visible = project(homography, infrared)
    inside = ((visible >= 0) & (visible <= (95, 79))).all(axis=1)
    return np.concatenate([visible, infrared], axis=1)[inside]


GRID = np.stack(np.meshgrid(np.linspace(2, 45, 6), np.linspace(3, 36, 5)), axis=-1).reshape(-1, 2)


@settings(max_examples=50)
@given(homographies())
def test_any_homography_is_recovered_from_its_points(homography: np.ndarray) -> None:
    pairs = _pairs(homography, GRID)
    if len(pairs) < 12:
        return
    fitted = points.fit(pairs, VISIBLE, INFRARED)
    assert np.abs(project(fitted.homography, GRID) - project(homography, GRID)).max() < 1e-3
    assert fitted.error_px < 1e-3
    assert fitted.used.all()


@settings(max_examples=30)
@given(homographies(), st.integers(0, 2**31))
def test_outliers_are_rejected_and_noise_is_averaged(homography: np.ndarray, seed: int) -> None:
    pairs = _pairs(homography, GRID)
    if len(pairs) < 20:
        return
    rng = np.random.default_rng(seed)
    pairs[:, :2] = np.clip(pairs[:, :2] + rng.normal(0, 0.2, (len(pairs), 2)), 0, (95, 79))
    wrong = rng.choice(len(pairs), 3, replace=False)
    pairs[wrong, 0] = (pairs[wrong, 0] + 40) % 95
    fitted = points.fit(pairs, VISIBLE, INFRARED)
    assert not fitted.used[wrong].any()
    assert 0.05 < fitted.error_px < 0.6
    assert np.hypot(*(project(fitted.homography, GRID) - project(homography, GRID)).T).mean() < 0.6


def test_four_points_are_enough_and_fit_exactly() -> None:
    homography = np.array([[2, 0.05, 1], [-0.03, 1.9, 2], [0, 0, 1]])
    fitted = points.fit(_pairs(homography, np.array([(1.0, 1), (44, 2), (43, 36), (2, 35)])), VISIBLE, INFRARED)
    assert np.allclose(project(fitted.homography, corners(INFRARED)), project(homography, corners(INFRARED)))
    assert fitted.error_px < 1e-4


def test_lens_distortion_is_removed_first() -> None:
    lens = Lens(np.array([[90, 0, 47.5], [0, 91, 39.5], [0, 0, 1.0]]), np.array([-0.25, 0.06, 0.001, 0.0, 0.0]))
    homography = np.array([[1.8, 0, 3], [0, 1.8, 3], [0, 0, 1]])
    bent = np.concatenate([project(homography, GRID), GRID], axis=1)
    flat = bent.copy()
    flat[:, :2] = points.undistorted(bent[:, :2], lens)
    expected = points.fit(flat, VISIBLE, INFRARED).homography
    assert np.allclose(points.fit(bent, VISIBLE, INFRARED, lens).homography, expected, atol=1e-6)
    assert not np.allclose(expected, homography, atol=1e-3)


SQUARE = [(1, 1, 1, 1), (90, 1, 44, 1), (90, 70, 44, 35), (1, 70, 1, 35)]


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        ([], "0 pairs of points; 4 is the fewest"),
        (SQUARE[:3], "3 pairs of points; 4 is the fewest"),
        ([(k * 9.0, k * 7.0, k * 4.0, k * 3.0) for k in range(10)], "on a line or coincide"),
        ([SQUARE[0]] * 6, "on a line or coincide"),
        ([*SQUARE[:2], (50, 1, 25, 1), (20, 1, 10, 1)], "on a line"),
        ([*SQUARE[:2], (50, 1, 25, 1), (20, 70, 10, 35)], "on a line"),
        ([*SQUARE[:3], (96, 2, 3, 3)], "the point 96,2 lies outside the visible frame of 96x80"),
        ([*SQUARE[:3], (2, 2, 3, -1)], "the point 3,-1 lies outside the infrared frame of 48x40"),
        ([SQUARE[0], (*SQUARE[1][:2], *SQUARE[2][2:]), (*SQUARE[2][:2], *SQUARE[1][2:]), SQUARE[3]], "check which point belongs to which"),
        ([*SQUARE, (40, 10, 44, 20)], "contradict each other by"),
        ([(i * 7 % 90, i * 11 % 70, i * 13 % 44, i * 17 % 35) for i in range(12)], "agree to 1 px; check which point"),
    ],
)
def test_unusable_points_are_refused(pairs: list[tuple[float, ...]], words: str) -> None:
    with pytest.raises(CalibrationError, match=words):
        points.fit(np.array(pairs, np.float64).reshape(-1, 4), VISIBLE, INFRARED)


def test_a_file_of_points(tmp_path: Path) -> None:
    path = tmp_path / "points.txt"
    path.write_text("# visible x y, infrared x y\n320 240 80 60\n\n1.5,2=.5,-1  # a corner\n")
    assert points.read(path) == [(320, 240, 80, 60), (1.5, 2, 0.5, -1)]
    for wrong in ("1 2 3", "1 2 3 4 5", "1 2 3 nan", "1e3 2 3 4", "a b c d", ",".join(["9" * 3000] * 3)):
        path.write_text(f"1 2 3 4\n{wrong}\n")
        with pytest.raises(CalibrationError, match=r"points\.txt, line 2: expected VISIBLE_X"):
            points.read(path)
    path.write_bytes(b"\xff")
    with pytest.raises(CalibrationError, match="not a text file"):
        points.read(path)
