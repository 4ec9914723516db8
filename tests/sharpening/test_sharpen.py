"""The sharpened cube is closer to the truth than the regression, has no seams, and is missing where an input is missing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgefuse.errors import CubeError
from edgefuse.sharpening.base import Options
from edgefuse.sharpening.pair import Samples
from edgefuse.sharpening.psf import Psf
from edgefuse.sharpening.sharpen import prepare, sharpen
from edgefuse.util.arrays import Float32Array
from tests.sharpening.scenes import image, low, psnr, scene, trend_only


def sharpened(lr: Samples, hr: Samples, options: Options | None = None, **nodata: float) -> Float32Array:
    made = prepare(lr, hr, options, **nodata)  # type: ignore[arg-type]
    out = np.empty((*hr.shape[:2], lr.shape[2]), np.float32)
    sharpen(made, out)
    return out


@pytest.mark.parametrize("ratio", [1, 2, 3, 4, 5, 8])
def test_nearer_the_truth_than_the_regression_at_any_ratio(ratio: int) -> None:
    cube = scene(24 * ratio, 21 * ratio)
    psf = Psf(ratio)
    lr, hr = low(cube, psf), image(cube)
    assert psnr(sharpened(lr, hr), cube) > psnr(trend_only(lr, hr, psf), cube) + (1 if ratio > 1 else 0)


@pytest.mark.parametrize("bands", [1, 2, 3])
def test_any_number_of_image_bands(bands: int) -> None:
    cube = scene(80, 80)
    lr, hr = low(cube, Psf(4)), image(cube, bands)
    assert psnr(sharpened(lr, hr), cube) > psnr(trend_only(lr, hr, Psf(4)), cube) + 0.3


def test_an_image_of_many_bands_leaves_nothing_to_add() -> None:
    cube = scene(80, 80)
    assert psnr(sharpened(low(cube, Psf(4)), image(cube, 10)), cube) > 100


def test_coarse_cells_are_worse_and_better_than_the_regression() -> None:
    cube = scene(80, 80)
    lr, hr = low(cube, Psf(4)), image(cube)
    regression, coarse, fine = trend_only(lr, hr, Psf(4)), sharpened(lr, hr, Options(coarse=True)), sharpened(lr, hr)
    assert psnr(regression, cube) + 1 < psnr(coarse, cube) < psnr(fine, cube)


def test_nothing_is_below_zero_where_the_cube_is_not() -> None:
    cube = np.maximum(scene(80, 80) - 0.3, 0)
    lr, hr = low(cube, Psf(4)), image(cube)
    assert lr.min() == 0
    assert sharpened(lr, hr).min() == 0
    lr[3, 4, 5] = -0.5
    assert sharpened(lr, hr)[..., 5].min() < 0
    assert np.delete(sharpened(lr, hr), 5, 2).min() == 0


def test_a_pixel_of_shift_costs_little_because_it_is_found() -> None:
    cube, hr = scene(96, 96), image(scene(96, 96))
    here, there = low(cube, Psf(4)), low(cube, Psf(4, 1, 1.0, 1.0))
    made = sharpened(here, hr), sharpened(there, hr), sharpened(there, hr, Options(register=False))
    # nothing is known outside the border
    unmoved, registered, taken = (psnr(m[8:-8, 8:-8], cube[8:-8, 8:-8]) for m in made)
    assert abs(registered - unmoved) < 1
    assert registered > taken + 3


def test_seen_again_by_the_low_camera_it_is_what_went_in() -> None:
    cube = scene(96, 96)
    lr = low(cube, Psf(4))
    assert psnr(low(sharpened(lr, image(cube)), Psf(4)), lr) > 50


@pytest.mark.slow
def test_no_seams_between_tiles() -> None:
    """At tile borders the error has no larger steps than next to them; averaged over four scenes, because scenes have steps, too."""
    # tiles start every 13 low-resolution pixels and overlap by one
    begins = np.arange(52, 250, 52) - 1
    at = np.concatenate([begins, begins + 4])
    # compare with borders of low-resolution pixels that are not tile borders
    beside = np.setdiff1d(np.arange(4, 252, 4) - 1, at)
    ratios = []
    for seed in range(4):
        cube = scene(256, 256, seed=seed)
        error = sharpened(low(cube, Psf(4)), image(cube), Options(side=16)) - cube
        for axis in (0, 1):
            steps = np.sqrt(np.square(np.diff(error, axis=axis)).mean((1 - axis, 2)))
            ratios.append(steps[at] / np.median(steps[beside]))
    assert np.median(ratios) < 1.15


def test_units_do_not_matter() -> None:
    cube = scene(64, 64)
    lr, hr = low(cube, Psf(4)), image(cube)
    np.testing.assert_allclose(sharpened(lr * 10000, hr * 255) / 10000, sharpened(lr, hr), atol=2e-3)


def test_threads_and_windows_change_nothing() -> None:
    cube = scene(64, 128)
    lr, hr = low(cube, Psf(4)), image(cube)
    np.testing.assert_allclose(sharpened(lr, hr, Options(threads=1)), sharpened(lr, hr, Options(threads=3)), atol=1e-6)


def test_missing_is_missing_and_nothing_else_is() -> None:
    cube = scene(96, 96)
    lr, hr = low(cube, Psf(4)), image(cube)
    whole = sharpened(lr, hr)
    lr[10, 12, 3], hr[20, 30, 1] = np.nan, -7
    out = sharpened(lr, hr, image_nodata=-7)
    missing = np.zeros(cube.shape[:2], bool)
    missing[40:44, 48:52] = missing[20, 30] = True
    assert np.array_equal(np.isnan(out).any(2), missing)
    assert np.array_equal(np.isnan(out).all(2), missing)
    assert psnr(out[~missing], cube[~missing]) > psnr(whole, cube) - 0.5


def test_uncertainty_is_as_large_as_the_error() -> None:
    cube = scene(96, 96)
    made = prepare(low(cube, Psf(4)), image(cube))
    out, unsure = np.empty(cube.shape, np.float32), np.empty((96, 96, 1), np.float32)
    sharpen(made, out, unsure)
    error = np.sqrt(np.square(out - cube).mean(2))
    assert 0.5 < np.sqrt(np.square(unsure).mean()) / np.sqrt(np.square(error).mean()) < 2
    high = unsure[..., 0] > np.median(unsure)
    assert error[high].mean() > 1.1 * error[~high].mean()


def test_noise_is_told_from_structure() -> None:
    cube = scene(96, 96)
    rng = np.random.default_rng(0)
    lr, hr = low(cube, Psf(4)), image(cube)
    noisy = lr + rng.normal(0, 0.02, lr.shape).astype(np.float32)
    clean, loud = prepare(lr, hr), prepare(noisy, hr)
    assert loud.kriging.noise.mean() > clean.kriging.noise.mean()
    assert psnr(sharpened(noisy, hr), cube) > psnr(trend_only(noisy, hr, Psf(4)), cube)


def test_a_constant_cube_stays_constant() -> None:
    cube = scene(64, 64)
    np.testing.assert_allclose(sharpened(np.full((16, 16, 8), 0.25, np.float32), image(cube)), 0.25, atol=1e-6)


@pytest.mark.parametrize(
    ("low_shape", "high_shape", "told"),
    [
        ((16, 16, 8), (63, 64, 4), "crop the cube to 15 x 16 and the image to 60 x 64 pixels"),
        ((16, 16, 8), (66, 65, 4), "crop the image to 64 x 64 pixels"),
        ((24, 24, 8), (36, 36, 4), "resample the image to 48 x 48 pixels"),
        ((16, 16, 8), (64, 32, 4), "not one whole number in both directions"),
        ((64, 64, 8), (16, 16, 4), "give the cube first"),
        ((1, 1, 8), (4, 4, 4), "too small"),
    ],
)
def test_grids_that_do_not_fit_are_refused(low_shape: tuple[int, ...], high_shape: tuple[int, ...], told: str) -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(CubeError, match=told):
        prepare(rng.random(low_shape), rng.random(high_shape))


def test_images_of_two_scenes_are_refused() -> None:
    with pytest.raises(CubeError, match="do not show the same scene"):
        prepare(low(scene(128, 128), Psf(4)), np.random.default_rng(1).random((128, 128, 4)).astype(np.float32))


def test_nothing_known_is_refused() -> None:
    with pytest.raises(CubeError, match="without missing samples"):
        prepare(np.full((8, 8, 5), np.nan, np.float32), np.ones((32, 32, 3), np.float32))


def test_samples_beyond_single_precision_are_refused() -> None:
    cube = scene(64, 64)
    with pytest.raises(CubeError, match="scale the cube"):
        prepare(low(cube, Psf(4)) * 1e20, image(cube))


def test_a_further_tile_size_is_as_good() -> None:
    cube = scene(96, 96)
    lr, hr = low(cube, Psf(4)), image(cube)
    default = prepare(lr, hr)
    out = np.empty(cube.shape, np.float32)
    sharpen(replace(default, side=24), out)
    assert psnr(out, cube) > psnr(sharpened(lr, hr), cube) - 0.5


@pytest.mark.parametrize("deviation", [0.01, 0.03])
def test_the_image_s_noise_is_told(deviation: float) -> None:
    cube = scene(96, 96)
    hr, rng = image(cube), np.random.default_rng(0)
    noisy = hr + rng.normal(0, deviation, hr.shape).astype(np.float32)
    noisy[5:9, 60:70] = np.nan
    clean, told = (prepare(low(cube, Psf(4)), im).trend.noise ** 0.5 for im in (hr, noisy))
    assert clean < told
    assert 0.6 * deviation < told < 1.5 * deviation
