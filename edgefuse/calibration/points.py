"""Homography from pairs of points, some of which may be wrong."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefuse.calibration.registration import Array, Lens, Size, misfit, project
from edgefuse.errors import CalibrationError

MIN_PAIRS = 4
_NUMBER = r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"  # unambiguous, because backtracking on a long number would take for ever
_POINT = re.compile(rf"\s*({_NUMBER})[\s,]+({_NUMBER})[\s,=:]+({_NUMBER})[\s,]+({_NUMBER})\s*")
_INLIER = 0.01  # fraction of the visible width beyond which a point counts as wrong
_MIN_SINGULAR_VALUE = 1e-3  # relative to the design matrix's largest singular value: below this the points do not determine the homography


@dataclass(frozen=True, slots=True)
class Fit:
    """Result of a fit.

    homography: float64 (3, 3), infrared to visible. error_px: root mean square over the used points, visible pixels. residuals_px:
    float64 (N,). used: bool (N,), False for points rejected as wrong.
    """

    homography: Array
    error_px: float
    residuals_px: Array
    used: NDArray[np.bool_]


def parse(text: str) -> tuple[float, float, float, float]:
    """Parse `VX,VY=IX,IY` or four numbers separated by spaces or commas. Raises ValueError."""
    if not (match := _POINT.fullmatch(text)):
        raise ValueError("expected VISIBLE_X,VISIBLE_Y=INFRARED_X,INFRARED_Y in pixels, such as 320,240=80.5,60")
    vx, vy, ix, iy = map(float, match.groups())
    return vx, vy, ix, iy


def read(path: Path) -> list[tuple[float, float, float, float]]:
    """Read a file with one pair of points per line and # comments. Raises CalibrationError that names the line."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError as e:
        raise CalibrationError(f"cannot read {path}: {e.strerror}; give a file of point pairs") from None
    except UnicodeDecodeError:
        raise CalibrationError(f"{path}: not a text file; expected one pair of points per line") from None
    pairs = []
    for number, line in enumerate(lines, 1):
        if bare := line.partition("#")[0].strip():
            try:
                pairs.append(parse(bare))
            except ValueError as e:
                raise CalibrationError(f"{path}, line {number}: {e}") from None
    return pairs


def fit(pairs: Array, visible_size: Size, infrared_size: Size, visible_lens: Lens | None = None, infrared_lens: Lens | None = None) -> Fit:
    """Fit a homography to pairs, float64 (N, 4): visible x, y and infrared x, y.

    Raises CalibrationError for too few, degenerate or contradicting points.
    """
    if len(pairs) < MIN_PAIRS:
        raise CalibrationError(
            f"{len(pairs)} pair{'s' if len(pairs) != 1 else ''} of points; {MIN_PAIRS} is the fewest, 8 or more are better"
        )
    for row in pairs:
        for (x, y), size, name in ((row[:2], visible_size, "visible"), (row[2:], infrared_size, "infrared")):
            if not (-0.5 <= x <= size[0] - 0.5 and -0.5 <= y <= size[1] - 0.5):
                raise CalibrationError(f"the point {x:g},{y:g} lies outside the {name} frame of {size[0]}x{size[1]}")
    visible, infrared = undistorted(pairs[:, :2], visible_lens), undistorted(pairs[:, 2:], infrared_lens)
    used = _inliers(visible, infrared, _INLIER * visible_size[0])
    if _is_degenerate(infrared[used], visible[used]):
        raise CalibrationError("the points lie on a line or coincide; spread them over the whole picture")
    # least squares over the inliers; OpenCV refines the closed form with Levenberg-Marquardt
    fitted = cv2.findHomography(infrared[used], visible[used], 0)[0]
    if fitted is None or not np.isfinite(fitted).all():
        raise CalibrationError("no homography fits the points; check which point belongs to which")
    homography = np.asarray(fitted, np.float64)
    if wrong := misfit(homography, visible_size, infrared_size):
        raise CalibrationError(f"impossible for two cameras: {wrong}; check which point belongs to which")
    residuals = np.hypot(*(project(homography, infrared) - visible).T)
    error = float(np.sqrt(np.mean(residuals[used] ** 2)))
    if error > 1.5 * _INLIER * visible_size[0]:
        worst = int(np.argmax(residuals))
        raise CalibrationError(f"the points contradict each other by {error:.1f} px; check point {worst + 1} first")
    return Fit(homography, error, residuals, used)


def undistorted(points: Array, lens: Lens | None) -> Array:
    """Return points (N, 2) with the lens distortion removed."""
    if lens is None:
        return np.ascontiguousarray(points, np.float64)
    return np.asarray(cv2.undistortPoints(points[:, None], lens.matrix, lens.distortion, P=lens.matrix), np.float64).reshape(-1, 2)


def _inliers(visible: Array, infrared: Array, tolerance: float) -> NDArray[np.bool_]:
    """Return which points fit one homography. Fewer than six are all used, because any four points fit, so five cannot show the wrong
    one."""
    count = len(visible)
    if count < MIN_PAIRS + 2:
        return np.ones(count, np.bool_)
    cv2.setRNGSeed(0)
    fitted, mask = cv2.findHomography(infrared, visible, cv2.RANSAC, tolerance, maxIters=5000, confidence=0.9999)
    used = np.zeros(count, np.bool_) if fitted is None else mask.ravel().astype(np.bool_)
    if used.sum() < max(MIN_PAIRS + 1, -(-count * 2 // 3)):
        if _is_degenerate(infrared, visible):
            return np.ones(count, np.bool_)
        raise CalibrationError(
            f"only {int(used.sum())} of {count} pairs of points agree to {tolerance:.0f} px; check which point belongs to which"
        )
    return used


def _is_degenerate(*points: Array) -> bool:
    """Whether the points in either picture, such as points on a line, do not determine a homography."""
    for p in points:
        spread = np.linalg.svd(p - p.mean(axis=0), compute_uv=False)
        if spread[1] < 0.02 * spread[0] or spread[0] < 1:
            return True
    one, two = ((p - p.mean(axis=0)) / (np.abs(p - p.mean(axis=0)).mean() + 1e-12) for p in points)
    rows = []
    for (x, y), (u, v) in zip(one, two, strict=True):
        rows += [(x, y, 1, 0, 0, 0, -u * x, -u * y, -u), (0, 0, 0, x, y, 1, -v * x, -v * y, -v)]
    # of nine singular values the last is the fit's residual; the one before shows whether a second solution exists
    values = np.linalg.svd(np.array(rows), compute_uv=False)
    return bool(values[7] < _MIN_SINGULAR_VALUE * values[0])
