"""Malformed calibration files and point files from a seed, for the tests and in large numbers for benchmarks/fuzz."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgefuse.calibration import points, registration
from edgefuse.calibration.registration import Registration

_GOOD = {
    "format": "1", "visible_size": "[96, 80]", "infrared_size": "[48, 40]", "homography": "[[2, 0, 0.5], [0, 2, 0.5], [0, 0, 1]]",
    "method": '"points"', "error_px": "0.5", "made": "2026-11-21", "distance_m": "3.5", "images": f'["{"0a" * 32}"]',
    "visible_lens": "{camera_matrix = [[90, 0, 48], [0, 90, 40], [0, 0, 1]], distortion = [-0.1, 0.01, 0, 0]}",
    "infrared_lens": "{camera_matrix = [[50, 0.5, 24], [0, 50, 20], [0, 0, 1]], distortion = [-0.2, 0.05, 0.001, 0, 0]}",
}  # fmt: skip
_OPTIONAL = ("distance_m", "images", "visible_lens", "infrared_lens")
_NUMBERS = (
    "0", "-1", "1", "2", "0.5", "nan", "inf", "-inf", "1e308", "-1e308", "5e-324", "1e-12", "1e19", "9" * 400, "96", "8192", "8193", "true",
    '"1"', "[]", "1e400", "-0.0", "0x10", "1979-05-27",
)  # fmt: skip
_POINTS = "8,8=4,4\n88,8=44,4\n88,72=44,36\n8,72=4,36\n48,40=24.5,20\n# done\n"


def calibration_file(rng: random.Random) -> bytes:
    """Return a calibration file between almost valid and noise."""
    if rng.random() < 0.05:
        return rng.randbytes(rng.choice((0, 1, 40, 4000)))
    values = {k: v for k, v in _GOOD.items() if k not in _OPTIONAL or rng.random() < 0.3}
    for _ in range(rng.randrange(4)):
        key = rng.choice(list(values))
        kind = rng.randrange(6)
        if kind == 0:
            del values[key]
        elif kind == 1:
            values[key] = rng.choice((*_NUMBERS, *_GOOD.values(), "[" * 200 + "]" * 200, "{}", "[[]]", "''"))
        elif kind == 2:
            values["homography"] = _matrix(rng)
        elif kind == 3:
            lens = rng.choice(("visible_lens", "infrared_lens"))
            count = rng.choice((0, 4, 5, 8, 12, 14, 14, 15))
            matrix = _matrix(rng) if rng.random() < 0.3 else f"[[{_number(rng)}, {_number(rng)}, 9], [0, {_number(rng)}, 9], [0, 0, 1]]"
            values[lens] = f"{{camera_matrix = {matrix}, distortion = [{', '.join(_number(rng) for _ in range(count))}]}}"
        elif kind == 4:
            values[rng.choice(("visible_size", "infrared_size"))] = f"[{_number(rng)}, {rng.choice(('8', '80', '8192'))}]"
        else:
            values[rng.choice(("colour", '""', "a.b", "error_px ", "é"))] = rng.choice(_NUMBERS)
        if not values:
            break
    return _damaged(rng, "\n".join(f"{k} = {v}" for k, v in values.items()).encode())


def points_file(rng: random.Random) -> bytes:
    """Return a file of point pairs between almost valid and noise."""
    if rng.random() < 0.05:
        return rng.randbytes(rng.choice((0, 1, 40, 4000)))
    lines = _POINTS.splitlines()
    for _ in range(rng.randrange(5)):
        if rng.random() < 0.5:
            made = rng.choice((",", " ", "=")).join(rng.choice((*_NUMBERS, "7.", ".5", "+3")) for _ in range(rng.randrange(6)))
        else:
            made = f"{rng.uniform(-9, 99):.3f},{rng.uniform(-9, 89):.1f}={rng.uniform(-9, 50):.3f},{rng.uniform(-9, 45)}"
        lines[rng.randrange(len(lines))] = made
    if rng.random() < 0.1:
        lines = [rng.choice(lines)] * rng.choice((1, 4, 500))
    return _damaged(rng, "\n".join(lines).encode())


def check_calibration(path: Path) -> None:
    """Load the file and apply it. Fails for any outcome but a CalibrationError or a picture."""
    made = registration.load(path)
    registration.load_lenses(path) if made.visible_lens or made.infrared_lens else None
    if max(*made.visible_size, *made.infrared_size) > 256:
        # a frame with sides of 8192 pixels legitimately takes long
        return
    width, height = made.infrared_size
    out = Registration(made, made.visible_size, made.infrared_size).apply(np.full((height, width), 60000, np.uint16))
    assert out.shape == made.visible_size[::-1]
    assert out.max(initial=0) <= 60000
    again = path.with_suffix(".again")
    registration.save(made, again)
    assert np.allclose(registration.load(again).homography, made.homography, rtol=1e-9)


def check_points(path: Path) -> None:
    """Read the file and fit. Fails for any outcome but a CalibrationError or a homography."""
    pairs: Sequence[tuple[float, ...]] = points.read(path)
    fitted = points.fit(np.array(pairs, np.float64).reshape(-1, 4), (96, 80), (48, 40))
    assert np.isfinite(fitted.homography).all()
    assert np.isfinite(fitted.error_px)


def _number(rng: random.Random) -> str:
    return rng.choice(_NUMBERS) if rng.random() < 0.4 else repr(rng.choice((rng.uniform(-3, 3), rng.gauss(0, 100), rng.randrange(200))))


def _matrix(rng: random.Random) -> str:
    return "[" + ", ".join(f"[{', '.join(_number(rng) for _ in range(3))}]" for _ in range(rng.choice((3, 3, 3, 2)))) + "]"


def _damaged(rng: random.Random, text: bytes) -> bytes:
    data = bytearray(text)
    for _ in range(rng.choice((0, 0, 0, 1, 5))):
        at = rng.randrange(len(data) + 1)
        if rng.random() < 0.5:
            data[at:at] = rng.randbytes(rng.randrange(3))
        else:
            del data[at : at + rng.randrange(9)]
    return bytes(data)
