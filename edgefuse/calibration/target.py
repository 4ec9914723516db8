"""Calibration target that both cameras see: a checkerboard or a grid of dots, heated by a lamp or the sun so that black is hot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefuse.calibration.registration import Array, project
from edgefuse.calibration.views import View
from edgefuse.errors import CalibrationError
from edgefuse.util.arrays import Float32Array

Kind = Literal["checkerboard", "dots"]
_IRREGULAR = 0.15  # relative to the spacing: lens distortion bends a grid by less
_OBLONG = 1.7  # limit of the ratio of a square's sides, as of a target turned by 54 degrees
_SMALL = 480  # frames narrower than this are enlarged, because the detectors need squares of ten pixels


def find(views: Sequence[View], kind: Kind, columns: int, rows: int) -> tuple[Array, list[str]]:
    """Find the target. Returns point pairs, float64 (N, 4), visible x, y and infrared x, y, and the names of views without it.

    columns, rows: inner corners of the checkerboard, or dots. Raises CalibrationError where no view shows it to both cameras.
    """
    pairs, missing = [], []
    for v in views:
        visible, infrared = _find(v.visible, kind, columns, rows), _find(v.infrared, kind, columns, rows)
        if visible is None or infrared is None:
            unseen = [name for name, p in (("visible", visible), ("infrared", infrared)) if p is None]
            missing.append(f"{v.name} ({' and '.join(unseen)})")
        else:
            pairs.append(np.concatenate([visible, _same_way(visible, infrared, columns, rows)], axis=1))
    if not pairs:
        what = f"{kind} of {columns}x{rows} {'inner corners' if kind == 'checkerboard' else 'dots'}"
        rest = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise CalibrationError(f"no {what} in {missing[0]}{rest}; warm the target, let it fill a third of the picture, check COLUMNSxROWS")
    return np.concatenate(pairs), missing


def _find(picture: Float32Array, kind: Kind, columns: int, rows: int) -> Array | None:
    """Return the target's points, float64 (N, 2), or None."""
    for polished, scale in _tries(picture):
        if kind == "checkerboard":
            flags = cv2.CALIB_CB_NORMALIZE_IMAGE | cv2.CALIB_CB_ACCURACY
            seen, points = cv2.findChessboardCornersSB(polished, (columns, rows), flags=flags)
        else:
            seen, points = cv2.findCirclesGrid(polished, (columns, rows), flags=cv2.CALIB_CB_SYMMETRIC_GRID | cv2.CALIB_CB_CLUSTERING)
        if seen and points is not None and len(points) == columns * rows:
            made = (np.asarray(points, np.float64).reshape(-1, 2) + 0.5) / scale - 0.5
            if _regular(made, columns, rows):
                return made
    return None


def _regular(points: Array, columns: int, rows: int) -> bool:
    """Whether the points form a square grid seen nearly frontally. A detector may take the rim for a row, or (OpenCV 4.8) skip rows."""
    xs, ys = np.meshgrid(np.arange(columns, dtype=np.float64), np.arange(rows, dtype=np.float64))
    grid = np.stack([xs.ravel(), ys.ravel()], axis=1)
    fitted = cv2.findHomography(grid, points, 0)[0]
    if fitted is None or not np.isfinite(fitted).all():
        return False
    across, down = (float(np.hypot(*np.diff(points.reshape(rows, columns, 2), axis=a).reshape(-1, 2).T).mean()) for a in (1, 0))
    off = np.hypot(*(project(np.asarray(fitted, np.float64), grid) - points).T)
    return bool(off.max() < _IRREGULAR * across and max(across, down) < _OBLONG * min(across, down))


def _tries(picture: Float32Array) -> Iterator[tuple[NDArray[np.uint8], float]]:
    """Yield the picture in full contrast, normal and inverted, large enough, with its enlargement factor."""
    low, high = np.percentile(picture, (1, 99))
    full = np.clip((picture - low) * np.float32(255 / max(high - low, 1)), 0, 255).astype(np.uint8)
    scale = max(1, -(-_SMALL // picture.shape[1]))
    if scale > 1:
        full = np.asarray(cv2.resize(full, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC), np.uint8)
    yield full, scale
    yield 255 - full, scale


def _same_way(visible: Array, infrared: Array, columns: int, rows: int) -> Array:
    """Order the infrared points like the visible ones: a detector may start at any corner, but both cameras are mounted the same way up."""
    grid = infrared.reshape(rows, columns, 2)
    orders = [grid, grid[::-1, ::-1], grid[::-1], grid[:, ::-1]]
    if rows == columns:
        orders += [np.swapaxes(g, 0, 1) for g in orders]
    one = visible - visible.mean(axis=0)

    def similarity(order: Array) -> float:
        two = order.reshape(-1, 2) - order.reshape(-1, 2).mean(axis=0)
        return float((one * two).sum())

    return max(orders, key=similarity).reshape(-1, 2)
