"""A homography from pairs of points, some of which may be wrong."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefuse.calibration.registration import Array, Lens, Size, misfit, project
from edgefuse.errors import CalibrationError

FEWEST = 4
_NUMBER = r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"  # one way to read each, or a long one takes for ever
_POINT = re.compile(rf"\s*({_NUMBER})[\s,]+({_NUMBER})[\s,=:]+({_NUMBER})[\s,]+({_NUMBER})\s*")
_INLIER = 0.01  # of the visible width: further off, a point is a mistake
_LEAST_SPREAD = 1e-3  # of the design's largest singular value: below this the points leave a parameter open


@dataclass(frozen=True, slots=True)
class Fit:
    """homography: float64 (3, 3), infrared to visible. error_px: root mean square over the points used, visible pixels. residuals_px:
    float64 (N,). used: bool (N,), False for points taken for mistakes."""

    homography: Array
    error_px: float
    residuals_px: Array
    used: NDArray[np.bool_]


def parse(text: str) -> tuple[float, float, float, float]:
    """`VX,VY=IX,IY` or four numbers between spaces or commas. Raises ValueError."""
    if not (match := _POINT.fullmatch(text)):
        raise ValueError("expected VISIBLE_X,VISIBLE_Y=INFRARED_X,INFRARED_Y in pixels, such as 320,240=80.5,60")
    vx, vy, ix, iy = map(float, match.groups())
    return vx, vy, ix, iy


def read(path: Path) -> list[tuple[float, float, float, float]]:
    """A file of one pair of points a line; # begins a comment. Raises CalibrationError naming the line."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError as e:
        raise CalibrationError(f"cannot read {path}: {e.strerror}; give a file of point pairs") from None
    except UnicodeDecodeError:
        raise CalibrationError(f"{path}: not a text file; expected one pair of points a line") from None
    found = []
    for number, line in enumerate(lines, 1):
        if bare := line.partition("#")[0].strip():
            try:
                found.append(parse(bare))
            except ValueError as e:
                raise CalibrationError(f"{path}, line {number}: {e}") from None
    return found


def fit(pairs: Array, visible_size: Size, infrared_size: Size, visible_lens: Lens | None = None, infrared_lens: Lens | None = None) -> Fit:
    """pairs: float64 (N, 4), visible x, y and infrared x, y. Raises CalibrationError for too few, degenerate or contradicting points."""
    if len(pairs) < FEWEST:
        raise CalibrationError(f"{len(pairs)} pair{'s' if len(pairs) != 1 else ''} of points; {FEWEST} is the fewest, 8 or more are better")
    for row in pairs:
        for (x, y), size, name in ((row[:2], visible_size, "visible"), (row[2:], infrared_size, "infrared")):
            if not (-0.5 <= x <= size[0] - 0.5 and -0.5 <= y <= size[1] - 0.5):
                raise CalibrationError(f"the point {x:g},{y:g} lies outside the {name} frame of {size[0]}x{size[1]}")
    visible, infrared = flat(pairs[:, :2], visible_lens), flat(pairs[:, 2:], infrared_lens)
    used = _agreeing(visible, infrared, _INLIER * visible_size[0])
    if _open(infrared[used], visible[used]):
        raise CalibrationError("the points lie on a line or on one another; spread them over the whole picture")
    # least squares over those that agree; OpenCV follows the closed form with Levenberg-Marquardt
    found = cv2.findHomography(infrared[used], visible[used], 0)[0]
    if found is None or not np.isfinite(found).all():
        raise CalibrationError("no homography fits the points; check which belongs to which")
    homography = np.asarray(found, np.float64)
    if wrong := misfit(homography, visible_size, infrared_size):
        raise CalibrationError(f"no two cameras see the points so: {wrong}; check which belongs to which")
    residuals = np.hypot(*(project(homography, infrared) - visible).T)
    error = float(np.sqrt(np.mean(residuals[used] ** 2)))
    if error > 1.5 * _INLIER * visible_size[0]:
        worst = int(np.argmax(residuals))
        raise CalibrationError(f"the points contradict one another by {error:.1f} px; look at number {worst + 1} first")
    return Fit(homography, error, residuals, used)


def flat(points: Array, lens: Lens | None) -> Array:
    """Points (N, 2) as they would lie without the lens's distortion."""
    if lens is None:
        return np.ascontiguousarray(points, np.float64)
    return np.asarray(cv2.undistortPoints(points[:, None], lens.matrix, lens.distortion, P=lens.matrix), np.float64).reshape(-1, 2)


def _agreeing(visible: Array, infrared: Array, tolerance: float) -> NDArray[np.bool_]:
    """Which points one homography explains. All, where they are too few to tell: four fit any four, so five never show which is wrong."""
    count = len(visible)
    if count < FEWEST + 2:
        return np.ones(count, np.bool_)
    cv2.setRNGSeed(0)
    found, mask = cv2.findHomography(infrared, visible, cv2.RANSAC, tolerance, maxIters=5000, confidence=0.9999)
    used = np.zeros(count, np.bool_) if found is None else mask.ravel().astype(np.bool_)
    if used.sum() < max(FEWEST + 1, -(-count * 2 // 3)):
        if _open(infrared, visible):
            return np.ones(count, np.bool_)
        raise CalibrationError(
            f"only {int(used.sum())} of {count} pairs of points agree to {tolerance:.0f} px; check which point belongs to which"
        )
    return used


def _open(*points: Array) -> bool:
    """Do the points, in either picture, leave the homography open, as points on a line do?"""
    for p in points:
        spread = np.linalg.svd(p - p.mean(axis=0), compute_uv=False)
        if spread[1] < 0.02 * spread[0] or spread[0] < 1:
            return True
    one, two = ((p - p.mean(axis=0)) / (np.abs(p - p.mean(axis=0)).mean() + 1e-12) for p in points)
    rows = []
    for (x, y), (u, v) in zip(one, two, strict=True):
        rows += [(x, y, 1, 0, 0, 0, -u * x, -u * y, -u), (0, 0, 0, x, y, 1, -v * x, -v * y, -v)]
    # of nine singular values the last is the fit's own error; the one before it tells whether there is another answer
    values = np.linalg.svd(np.array(rows), compute_uv=False)
    return bool(values[7] < _LEAST_SPREAD * values[0])
