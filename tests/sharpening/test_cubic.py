"""Cubic interpolation on a shifted grid: equal to OpenCV's, from any window."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgefuse.sharpening.cubic import REACH, enlarged, weights
from edgefuse.sharpening.psf import Psf


@pytest.mark.parametrize(("ratio", "dy", "dx"), [(4, 0.5, 0.5), (4, 0.0, -1.5), (3, 1.0, 0.0), (2, 0.0, 0.5)])
def test_as_opencv_has_it(ratio: int, dy: float, dx: float) -> None:
    cube = np.random.default_rng(0).random((9, 7, 5)).astype(np.float32)
    made = enlarged(cube, ((0, 9), (0, 7)), ((0, 9 * ratio), (0, 7 * ratio)), (9, 7), Psf(ratio, 1.0, dy, dx))
    y, x = np.mgrid[: 9 * ratio, : 7 * ratio]
    at = [((a - (ratio - 1) / 2 - shift) / ratio).astype(np.float32) for a, shift in ((y, dy), (x, dx))]
    bands = [cv2.remap(band, at[1], at[0], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101) for band in np.moveaxis(cube, 2, 0)]
    # OpenCV rounds positions to 1/32 pixel
    np.testing.assert_allclose(made, np.stack(bands, 2), atol=1e-5 if ratio != 3 else 0.03)


def test_a_window_is_a_part_of_the_whole() -> None:
    cube, psf = np.random.default_rng(1).random((20, 16, 3)).astype(np.float32), Psf(4, 1.0, 0.5, -1.0)
    whole = enlarged(cube, ((0, 20), (0, 16)), ((0, 80), (0, 64)), (20, 16), psf)
    rows, columns = (6 - REACH, 12 + REACH), (8 - REACH, 16)
    window = slice(*rows), slice(*columns)
    part = enlarged(cube[window], (rows, columns), ((24, 48), (32, 64)), (20, 16), psf)
    np.testing.assert_allclose(part, whole[24:48, 32:64], atol=1e-6)


def test_constant_stays_constant_even_of_one_pixel() -> None:
    for count in (1, 2, 3):
        np.testing.assert_allclose(weights((0, 4 * count), (0, count), count, 4, 0.5).sum(1), 1, atol=1e-6)
