"""Shift and width of the point spread function are found, and a rotation and a scale; clouds do not disturb it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from edgefuse.errors import CubeError
from edgefuse.sharpening.alignment import aligned
from edgefuse.sharpening.base import Options
from edgefuse.sharpening.matching import register_and_fit
from edgefuse.sharpening.motion import Motion, turned
from edgefuse.sharpening.moved_pair import Shifted
from edgefuse.sharpening.pair import Pair
from edgefuse.sharpening.psf import Psf
from edgefuse.sharpening.registration import registered
from edgefuse.util.arrays import Float32Array
from tests.sharpening.scenes import image, low, scene


def found(pair: Pair, width: bool = False) -> Psf:
    """Return the point spread function with the shift, first to a pixel, then to a fraction."""
    psf = registered(pair, width=width)
    motion = aligned(replace(pair, psf=psf))
    assert motion.rigid
    return replace(psf, dy=motion.dy, dx=motion.dx)


@pytest.mark.parametrize(("dy", "dx", "fwhm"), [(0.0, 0.0, 1.0), (0.5, 0.5, 1.0), (-1.5, 1.0, 0.8), (1.0, -0.5, 1.5)])
def test_shift_and_width_are_found(dy: float, dx: float, fwhm: float) -> None:
    cube = scene(96, 120)
    assert found(Pair(low(cube, Psf(4, fwhm, dy, dx)), image(cube), Psf(4)), width=True) == Psf(4, fwhm, dy, dx)


def test_noise_moves_nothing() -> None:
    cube = scene(96, 96)
    rng = np.random.default_rng(0)
    lr, ms = (x + rng.normal(0, 0.01, x.shape).astype(np.float32) for x in (low(cube, Psf(4, 1, 0.5, -1)), image(cube)))
    assert found(Pair(lr, ms, Psf(4))) == Psf(4, 1, 0.5, -1)


def test_missing_pixels_are_left_out() -> None:
    cube = scene(96, 96)
    lr, ms = low(cube, Psf(4, 1, -1, 0.5)), image(cube)
    lr[3:6, 2:9], ms[40:48, 30:60] = np.nan, -9
    assert found(Pair(lr, ms, Psf(4), None, -9)) == Psf(4, 1, -1, 0.5)


def test_further_off_than_is_looked_for_is_told() -> None:
    cube = scene(96, 96)
    with pytest.raises(CubeError, match="register them first"):
        registered(Pair(seen(cube, Motion(14.0, 2.5)), image(cube), Psf(4)), (12.0, 2.0))


def test_a_scene_without_structure_stays_where_it_is() -> None:
    assert found(Pair(np.ones((12, 12, 6), np.float32), np.ones((48, 48, 3), np.float32), Psf(4))) == Psf(4)


def seen(cube: Float32Array, motion: Motion) -> Float32Array:
    """Return the low-resolution cube, by 4, of a scene that is displaced by `motion`."""
    h, w = cube.shape[0] // 4, cube.shape[1] // 4
    at = np.stack(np.meshgrid(np.arange(h), np.arange(w), indexing="ij"), 2).reshape(-1, 2) * 4 + 1.5
    places, sigma = at + motion(at), 4 / 2.355
    weights = []
    for axis in (0, 1):
        away = np.arange(cube.shape[axis]) - places[:, axis : axis + 1]
        each = np.where(np.abs(away) <= 6, np.exp(-0.5 * np.square(away / sigma)), 0)
        total = each.sum(1, keepdims=True)
        weights.append(np.where(total > 0, each / np.where(total > 0, total, 1), np.nan))  # missing where the scene ends
    lines = (weights[0] @ cube.reshape(cube.shape[0], -1)).reshape(len(places), cube.shape[1], -1)
    return np.einsum("nx,nxb->nb", weights[1], lines).reshape(h, w, -1).astype(np.float32)


@pytest.mark.parametrize(("dy", "dx"), [(1 / 3, -0.7), (-1.85, 1.1), (6.4, -10.3), (12.0, 11.0)])
def test_fractions_of_a_pixel_and_whole_pixels_of_the_cube_are_found(dy: float, dx: float) -> None:
    cube = scene(96, 96)
    pair, _ = register_and_fit(seen(cube, Motion(dy, dx)), image(cube), Options())
    assert pair.shift == pytest.approx((dy, dx), abs=0.02)
    # the rest of a pixel of the cube is left to the point spread function
    assert max(abs(pair.psf.dy), abs(pair.psf.dx)) <= 2


@pytest.mark.parametrize(("degrees", "growth"), [(1.0, 0.01), (-0.5, 0.0), (0.0, -0.008)])
def test_a_rotation_and_a_scale_are_found_and_taken_out(degrees: float, growth: float) -> None:
    cube = scene(112, 96)
    motion = Motion(0.7, -1.2, math.radians(degrees), growth, (55.5, 47.5))
    lr = seen(cube, motion)
    pair, trend = register_and_fit(lr, image(cube), Options())
    assert pair.motion is not None
    assert math.degrees(pair.motion.turn) == pytest.approx(degrees, abs=0.02)
    assert pair.motion.growth == pytest.approx(growth, abs=3e-4)
    assert pair.shift == pytest.approx((0.7, -1.2), abs=0.02)
    assert (pair.psf.dy, pair.psf.dx) == (0, 0)
    straight = register_and_fit(low(cube, Psf(4)), image(cube), Options())[1]
    assert 1 - trend.explained < 1.5 * (1 - straight.explained) + 1e-4


def test_a_rotation_that_is_too_large_is_told() -> None:
    cube = scene(96, 96)
    with pytest.raises(CubeError, match=r"turned by \+1\.[5-7]. degrees"):
        register_and_fit(seen(cube, Motion(0, 0, math.radians(1.6), 0.0, (47.5, 47.5))), image(cube), Options())


def test_clouds_move_nothing() -> None:
    cube = scene(96, 96)
    lr, hr = seen(cube, Motion(0.8, -1.3)), image(cube)
    hr[10:34, 40:66] = 2.0
    hr[38:60, 50:74] *= 0.3
    psf = registered(Pair(lr, hr, Psf(4)))
    motion = aligned(Pair(lr, hr, psf))
    assert motion.rigid
    assert (motion.dy, motion.dx) == pytest.approx((0.8, -1.3), abs=0.03)


def test_the_georeference_moves_with_a_turned_image() -> None:
    motion = Motion(2.0, -3.0, 0.01, 0.005, (47.5, 47.5))
    image_place = np.array([[10.0, 0, 500000], [0, -10, 5000000]])
    a, b, c, d, e, f = turned((10.0, 0, 500000, 0, -10, 5000000), motion, 4)
    at = np.array([[0.0, 0], [95, 0], [20, 70]])  # rows and columns of the grid that nests the cube's
    places = [(at + motion(at) + 0.5)[:, ::-1], (at + 0.5)[:, ::-1]]
    world, found = (p @ m[:, :2].T + m[:, 2] for p, m in zip(places, (image_place, np.array([[a, b, c], [d, e, f]])), strict=True))
    np.testing.assert_allclose(found, world, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("dtype", "nodata"), [(np.float32, None), (np.int16, None), (np.int16, -9999)])
def test_a_shifted_cube_is_missing_where_it_does_not_reach(dtype: type, nodata: float | None) -> None:
    cube = np.arange(6 * 5 * 2).reshape(6, 5, 2).astype(dtype)
    moved = Shifted(cube, 2, -1, nodata)
    whole = moved[:, :]
    missing = np.isnan(whole) if nodata is None else whole == nodata
    np.testing.assert_array_equal(whole[2:, :4], cube[:4, 1:])
    assert missing[:2].all()
    assert missing[:, 4].all()
    assert missing.sum() == (6 * 5 - 4 * 4) * 2
    assert moved[3:5, 1:3].dtype == dtype
    np.testing.assert_array_equal(moved[3:5, 1:3], cube[1:3, 2:4])
