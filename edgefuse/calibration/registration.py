"""Calibration files, and their application: warping infrared frames onto the visible grid.

Coordinates are pixels with (0, 0) at the centre of the first one, as in OpenCV: a frame's area reaches from -0.5 to width - 0.5.
The homography maps infrared to visible points: (x, y, 1)_visible ~ H (x, y, 1)_infrared. With lenses given, H holds between
undistorted points, and the result lies on the visible camera's distorted grid, so that visible frames need no change.
"""

from __future__ import annotations

import datetime
import json
import math
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import CalibrationError
from edgefuse.util import files

Array = NDArray[np.float64]
Size = tuple[int, int]
CalibrationMethod = Literal["points", "target", "automatic"]

FORMAT = 1
SMALLEST, LARGEST = 8, 8192  # pixels of a side
_LEAST_SHARE = 0.02  # fraction of either frame that the other's view must cover
_DISTORTIONS = (4, 5, 8, 12, 14)  # numbers of coefficients that OpenCV knows
_EXACT = 1e-6  # pixels
_FARTHEST = 1e6  # limit of a lens's focal length and centre in pixels, and of its coefficients
_LENSES = "visible_lens", "infrared_lens"


@dataclass(frozen=True, slots=True, eq=False)
class Lens:
    """Camera matrix, float64 (3, 3), in pixels, and distortion, float64 (4,), (5,), (8,), (12,) or (14,), in OpenCV's order k1 k2 p1 p2
    k3 ..."""

    matrix: Array
    distortion: Array

    def __post_init__(self) -> None:
        m, d = self.matrix, self.distortion
        form = m.shape == (3, 3) and m[1, 0] == 0 and (m[2] == (0, 0, 1)).all()
        if not form or not (np.abs(m) <= _FARTHEST).all() or m[0, 0] < 1 or m[1, 1] < 1:
            raise CalibrationError("camera_matrix: expected [[fx, s, cx], [0, fy, cy], [0, 0, 1]] in pixels, fx and fy 1 or more")
        if d.shape not in [(n,) for n in _DISTORTIONS] or not (np.abs(d) <= _FARTHEST).all():
            raise CalibrationError(
                f"distortion: expected {', '.join(map(str, _DISTORTIONS))} numbers, none above 1e6, as OpenCV orders them"
            )


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Calibration:
    """The geometric relation of the two cameras.

    homography: float64 (3, 3), infrared to visible, scaled to homography[2, 2] = 1. visible_size, infrared_size: (width, height).
    error_px: root mean square residual of the fit, visible pixels. distance_m: distance of the calibration scene, None if unknown;
    because
    of parallax the calibration holds for that distance only. images: sha256 of the files that it was made from, hex.
    Raises CalibrationError, naming the field, for values that are impossible for two cameras.
    """

    homography: Array
    visible_size: Size
    infrared_size: Size
    method: CalibrationMethod
    error_px: float
    made: datetime.date
    distance_m: float | None = None
    images: tuple[str, ...] = ()
    visible_lens: Lens | None = None
    infrared_lens: Lens | None = None

    def __post_init__(self) -> None:
        for name in ("visible_size", "infrared_size"):
            if not all(SMALLEST <= n <= LARGEST for n in getattr(self, name)):
                raise CalibrationError(f"{name}: expected [width, height], {SMALLEST} to {LARGEST} pixels each")
        if not (math.isfinite(self.error_px) and self.error_px >= 0):
            raise CalibrationError("error_px: expected a number of pixels, 0 or more")
        if self.distance_m is not None and not (math.isfinite(self.distance_m) and self.distance_m > 0):
            raise CalibrationError("distance_m: expected a number of metres above 0")
        h = self.homography
        if h.shape != (3, 3) or not np.isfinite(h).all() or abs(h[2, 2]) < 1e-9 * max(float(np.abs(h).max()), 1e-300):
            raise CalibrationError("homography: expected three rows of three finite numbers, the last one not 0")
        object.__setattr__(self, "homography", h / h[2, 2])
        if wrong := misfit(self.homography, self.visible_size, self.infrared_size):
            raise CalibrationError(f"homography: {wrong}")


def corners(size: Size) -> Array:
    """Return the centres of a frame's four corner pixels, clockwise: float64 (4, 2)."""
    right, bottom = size[0] - 1.0, size[1] - 1.0
    return np.array([(0, 0), (right, 0), (right, bottom), (0, bottom)])


def project(homography: Array, points: Array) -> Array:
    """Map points, float64 (N, 2), by a homography."""
    mapped = points @ homography[:, :2].T + homography[:, 2]
    return mapped[:, :2] / mapped[:, 2:]


def centred_homography(visible_size: Size, infrared_size: Size, view: float = 1.0) -> Array:
    """Return the homography that centres the infrared frame and scales its width to `view` times the visible frame's."""
    scale = view * visible_size[0] / infrared_size[0]
    (vw, vh), (iw, ih) = visible_size, infrared_size
    return np.array([[scale, 0, (vw - 1 - scale * (iw - 1)) / 2], [0, scale, (vh - 1 - scale * (ih - 1)) / 2], [0, 0, 1.0]])


def misfit(homography: Array, visible_size: Size, infrared_size: Size) -> str | None:
    """Return why a homography is impossible for two cameras, or None."""
    import cv2

    there = corners(infrared_size)
    depth = there @ homography[2, :2] + homography[2, 2]
    if depth.min() < 0.05 * np.abs(depth).max():
        return "the horizon lies inside the infrared frame"
    quad = project(homography, there)
    if not np.isfinite(quad).all() or np.abs(quad).max() > 100 * LARGEST:
        return "it maps the infrared frame far outside the visible one"
    area = abs(float(cv2.contourArea(quad.astype(np.float32))))
    longest = max(visible_size)
    if area < 1 or np.linalg.cond(np.diag([1 / longest, 1 / longest, 1]) @ homography @ np.diag([*infrared_size, 1.0])) > 1e5:
        return "it is singular: it maps the infrared frame to a line or a point"
    if not cv2.isContourConvex(quad.astype(np.float32)):
        return "it mirrors the infrared frame"
    shared = float(cv2.intersectConvexConvex(quad.astype(np.float32), corners(visible_size).astype(np.float32))[0])
    if shared < _LEAST_SHARE * min(area, visible_size[0] * visible_size[1]):
        return "the two frames do not overlap"
    return None


def load(path: Path) -> Calibration:
    """Read a calibration file. Raises CalibrationError that names the file, the key and what was expected."""
    raw = _toml(path)
    try:
        return _read(raw)
    except CalibrationError as e:
        raise CalibrationError(f"{path}: {e}") from None


def load_lenses(path: Path) -> tuple[Lens | None, Lens | None]:
    """Read visible_lens and infrared_lens from a TOML file, a calibration file or one with only these tables. Raises as `load`."""
    raw = _toml(path)
    if not raw.keys() & set(_LENSES):
        raise CalibrationError(f"{path}: expected a table [visible_lens] or [infrared_lens] with camera_matrix and distortion")
    try:
        visible, infrared = (_read_lens(key, raw[key]) if key in raw else None for key in _LENSES)
    except CalibrationError as e:
        raise CalibrationError(f"{path}: {e}") from None
    return visible, infrared


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as e:
        raise CalibrationError(f"cannot read {path}: {e.strerror}; edgefuse calibrate makes a calibration file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise CalibrationError(f"{path}: not valid TOML ({e}); edgefuse calibrate makes a calibration file") from None


def _read(raw: Mapping[str, Any]) -> Calibration:
    if raw.get("format") != FORMAT:
        raise CalibrationError(f"format: expected {FORMAT}, the only version; edgefuse calibrate makes such a file")
    known = {"format", *_READERS, *_LENSES}
    if unknown := [key for key in raw if key not in known]:
        raise CalibrationError(f"{unknown[0]}: unknown key; known keys: {', '.join(sorted(known))}")
    values: dict[str, Any] = {}
    for key, (expected, convert) in _READERS.items():
        if key not in raw and key in ("distance_m", "images"):
            continue
        try:
            values[key] = convert(raw[key])
        except (KeyError, TypeError, ValueError, OverflowError):
            raise CalibrationError(f"{key}: expected {expected}{'' if key in raw else ', but it is missing'}") from None
    for key in _LENSES:
        if key in raw:
            values[key] = _read_lens(key, raw[key])
    return Calibration(**values)


def _read_lens(key: str, table: Any) -> Lens:
    if not isinstance(table, dict) or table.keys() != {"camera_matrix", "distortion"}:
        raise CalibrationError(f"{key}: expected a table with camera_matrix and distortion, nothing else")
    try:
        matrix, distortion = np.array(_rows(table["camera_matrix"])), np.array(_numbers(table["distortion"]))
    except (TypeError, ValueError, OverflowError):
        raise CalibrationError(
            f"{key}: expected three rows of three numbers in camera_matrix, and a list of numbers in distortion"
        ) from None
    try:
        return Lens(matrix, distortion)
    except CalibrationError as e:
        raise CalibrationError(f"{key}.{e}") from None


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    return float(value)


def _numbers(value: Any) -> list[float]:
    if not isinstance(value, list):
        raise TypeError
    return [_number(v) for v in value]


def _rows(value: Any) -> Array:
    rows = [_numbers(row) for row in value]
    if [len(row) for row in rows] != [3, 3, 3]:
        raise ValueError
    return np.array(rows)


def _size(value: Any) -> Size:
    width, height = value
    if not all(type(n) is int for n in (width, height)):
        raise TypeError
    return width, height


def _method(value: Any) -> str:
    if value not in get_args(CalibrationMethod):
        raise ValueError
    return str(value)


def _date(value: Any) -> datetime.date:
    if type(value) is not datetime.date:
        raise TypeError
    return value


def _digests(value: Any) -> tuple[str, ...]:
    if not (isinstance(value, list) and all(isinstance(v, str) and re.fullmatch("[0-9a-f]{64}", v) for v in value)):
        raise TypeError
    return tuple(value)


_READERS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "visible_size": ("[width, height], two whole numbers of pixels", _size),
    "infrared_size": ("[width, height], two whole numbers of pixels", _size),
    "homography": ("three rows of three numbers", _rows),
    "method": (f"one of {', '.join(get_args(CalibrationMethod))}", _method),
    "error_px": ("a number of pixels", _number),
    "made": ("a date, such as 2026-11-21", _date),
    "distance_m": ("a number of metres", _number),
    "images": ("a list of sha256 sums, 64 hexadecimal digits each", _digests),
}


def save(calibration: Calibration, path: Path) -> None:
    """Write a calibration file atomically. Raises OutputError."""
    c = calibration
    lines = [
        "# Geometry of the infrared camera relative to the visible one, made by edgefuse calibrate; see docs/how-to/calibration.md.",
        f"format = {FORMAT}",
        f"visible_size = {json.dumps(c.visible_size)}",
        f"infrared_size = {json.dumps(c.infrared_size)}",
        f"homography = {_matrix_text(c.homography)}",
        f'method = "{c.method}"',
        f"error_px = {round(c.error_px, 4)!r}",
        f"made = {c.made.isoformat()}",
        *([] if c.distance_m is None else [f"distance_m = {float(c.distance_m)!r}"]),
        "images = [" + "".join(f'\n  "{digest}",' for digest in c.images) + ("\n]" if c.images else "]"),
    ]
    for name, lens in (("visible_lens", c.visible_lens), ("infrared_lens", c.infrared_lens)):
        if lens is not None:
            lines += [
                "",
                f"[{name}]",
                f"camera_matrix = {_matrix_text(lens.matrix)}",
                f"distortion = {json.dumps(lens.distortion.tolist())}",
            ]
    files.write_atomic(path, ("\n".join(lines) + "\n").encode())


def _matrix_text(matrix: Array) -> str:
    return "[" + "".join(f"\n  {json.dumps(row)}," for row in matrix.tolist()) + "\n]"


class Registration:
    """Warps infrared frames onto the visible grid, by a precomputed table of source positions in steps of 1/32 pixel.

    The returned picture is reused: it is valid until the next call of `apply`. For one stream, from one thread at a time.
    """

    def __init__(self, calibration: Calibration, visible_size: Size, infrared_size: Size) -> None:
        """Raises CalibrationError where the frame sizes, (width, height), differ from the calibration's."""
        for name, size, given in (
            ("visible", calibration.visible_size, visible_size), ("infrared", calibration.infrared_size, infrared_size)
        ):  # fmt: skip
            if size != given:
                raise CalibrationError(
                    f"the calibration is for {name} frames of {size[0]}x{size[1]}, these are {given[0]}x{given[1]}; set the camera to that "
                    "size or run edgefuse calibrate again"
                )
        self.visible_size, self.infrared_size = visible_size, infrared_size
        self._outputs: dict[str, NDArray[Any]] = {}
        self._map: NDArray[Any]
        h, lenses = calibration.homography, (calibration.visible_lens, calibration.infrared_lens)
        (vw, vh), (iw, ih) = visible_size, infrared_size
        stretched = (corners(infrared_size) + 0.5) * (vw / iw, vh / ih) - 0.5
        self._scales = lenses == (None, None) and bool(np.abs(project(h, corners(infrared_size)) - stretched).max() < _EXACT)
        if not self._scales:
            self._prepare(h, *lenses)

    def _prepare(self, homography: Array, visible_lens: Lens | None, infrared_lens: Lens | None) -> None:
        import cv2

        width, height = self.visible_size
        grid = np.stack(np.meshgrid(np.arange(width, dtype=np.float64), np.arange(height, dtype=np.float64)), axis=-1).reshape(-1, 2)
        if visible_lens is not None:
            m = visible_lens.matrix
            grid = np.asarray(cv2.undistortPoints(grid[:, None], m, visible_lens.distortion, P=m), np.float64).reshape(-1, 2)
        inverse = np.asarray(np.linalg.inv(homography), np.float64)
        # far outside, a lens's polynomial overflows; nothing is visible there
        with np.errstate(all="ignore"):
            # beyond the horizon a point would project from behind the camera
            behind = grid @ inverse[2, :2] + inverse[2, 2] <= 0
            there = project(inverse, grid)
            if infrared_lens is not None:
                there, folded = _distort(there, infrared_lens)
                behind |= folded
            last = np.array(self.infrared_size) - 1.0
            seen = ~behind & ((there >= -0.5) & (there <= last + 0.5)).all(axis=1)
        # half a pixel is left around the outermost centres: it shows what they do; -2 is where nothing of the frame is mixed in. Steps of
        # a 32nd keep the arithmetic exact, so that every machine makes the same picture
        there = np.where(seen[:, None], np.rint(np.clip(there, 0, last) * 32) / 32, -2).astype(np.float32)
        shown = seen.reshape(height, width)
        rows, columns = np.flatnonzero(shown.any(axis=1)), np.flatnonzero(shown.any(axis=0))
        # the rest of the picture stays 0 for good
        self._part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] if rows.size else np.s_[:0, :0]
        self._map = np.ascontiguousarray(there.reshape(height, width, 2)[self._part])
        self._fraction: NDArray[Any] | None = None
        # OpenCV 5 takes whole points in two thirds of the time of fixed-point ones (5.5 to 8.0 M Cortex-A53 instructions at 640x480);
        # OpenCV 4 makes fixed-point ones of them in every frame
        if rows.size and int(cv2.__version__.partition(".")[0]) < 5:
            self._map, self._fraction = cv2.convertMaps(self._map, None, cv2.CV_16SC2)

    def apply(self, infrared: NDArray[Any]) -> NDArray[Any]:
        """infrared: uint8 or uint16 (h, w). Returns the same on the visible grid, (H, W), 0 where the infrared camera does not see."""
        import cv2

        height, width = infrared.shape
        if (width, height) != self.infrared_size:
            raise CalibrationError(f"the infrared frame is {width}x{height}, not {self.infrared_size[0]}x{self.infrared_size[1]}")
        if self._scales and self.visible_size == self.infrared_size:
            return infrared
        out = self._outputs.get(infrared.dtype.name)
        if out is None:
            out = self._outputs[infrared.dtype.name] = np.zeros(self.visible_size[::-1], infrared.dtype)
        if self._scales:
            return cv2.resize(infrared, self.visible_size, out, interpolation=cv2.INTER_LINEAR)
        if self._map.size:
            cv2.remap(infrared, self._map, self._fraction, cv2.INTER_LINEAR, out[self._part], cv2.BORDER_CONSTANT, 0)
        return out


def _distort(points: Array, lens: Lens) -> tuple[Array, NDArray[np.bool_]]:
    """Undistorted pixels (N, 2) to where the lens puts them, and which are so far out that its polynomial folds back."""
    import cv2

    m = lens.matrix
    y = (points[:, 1] - m[1, 2]) / m[1, 1]
    x = (points[:, 0] - m[0, 2] - m[0, 1] * y) / m[0, 0]
    rays = np.nan_to_num(np.stack([x, y, np.ones_like(x)], axis=1), nan=1e6, posinf=1e6, neginf=-1e6)
    flat = m.copy()
    flat[0, 1] = 0
    projected = cv2.projectPoints(rays[:, None], np.zeros(3), np.zeros(3), flat, lens.distortion)[0].reshape(-1, 2)
    projected[:, 0] += m[0, 1] * (projected[:, 1] - m[1, 2]) / m[1, 1]
    # further out in the scene is further out in the picture, up to the radius where the polynomial turns
    radii = np.linspace(0, min(float(np.hypot(x, y)[np.isfinite(x)].max(initial=1e-6)), 10.0), 513)
    line = cv2.projectPoints(
        np.stack([radii, radii * 0, radii * 0 + 1], axis=1)[:, None], np.zeros(3), np.zeros(3), np.eye(3), lens.distortion
    )[0]
    falls = np.flatnonzero(np.diff(line.reshape(-1, 2)[:, 0]) <= 0)
    limit = radii[falls[0]] if falls.size else np.inf
    return projected, ~(np.hypot(x, y) <= limit)
