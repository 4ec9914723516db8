from __future__ import annotations

import numpy as np
import pytest

from edgefuse.errors import CubeError
from edgefuse.sharpening.pair import Pair
from edgefuse.sharpening.psf import Psf
from edgefuse.sharpening.registration import registered
from tests.sharpening.scenes import image, low, scene


@pytest.mark.parametrize(("dy", "dx", "fwhm"), [(0.0, 0.0, 1.0), (0.5, 0.5, 1.0), (-1.5, 1.0, 0.8), (1.0, -0.5, 1.5)])
def test_shift_and_width_are_found(dy: float, dx: float, fwhm: float) -> None:
    cube = scene(96, 120)
    found = registered(Pair(low(cube, Psf(4, fwhm, dy, dx)), image(cube), Psf(4)), width=True)
    assert found == Psf(4, fwhm, dy, dx)


def test_noise_moves_nothing() -> None:
    cube = scene(96, 96)
    rng = np.random.default_rng(0)
    lr, ms = (x + rng.normal(0, 0.01, x.shape).astype(np.float32) for x in (low(cube, Psf(4, 1, 0.5, -1)), image(cube)))
    assert registered(Pair(lr, ms, Psf(4))) == Psf(4, 1, 0.5, -1)


def test_missing_pixels_are_left_out() -> None:
    cube = scene(96, 96)
    lr, ms = low(cube, Psf(4, 1, -1, 0.5)), image(cube)
    lr[3:6, 2:9], ms[40:48, 30:60] = np.nan, -9
    assert registered(Pair(lr, ms, Psf(4), None, -9)) == Psf(4, 1, -1, 0.5)


def test_further_off_than_is_looked_for_is_told() -> None:
    cube = scene(96, 96)
    with pytest.raises(CubeError, match="register them first"):
        registered(Pair(low(cube, Psf(4, 1, 2.5, 2.5)), image(cube), Psf(4)))


def test_a_scene_without_structure_stays_where_it_is() -> None:
    assert registered(Pair(np.ones((12, 12, 6), np.float32), np.ones((48, 48, 3), np.float32), Psf(4))) == Psf(4)
