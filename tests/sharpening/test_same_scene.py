"""Detection of pairs that show the same scene, the same scene with too large a shift, or different scenes."""

from __future__ import annotations

import numpy as np
import pytest

from edgefuse.errors import CubeError
from edgefuse.sharpening.base import Options
from edgefuse.sharpening.matching import register_and_fit
from edgefuse.sharpening.pair import Pair
from edgefuse.sharpening.psf import Psf
from edgefuse.sharpening.same_scene import check_same_scene
from edgefuse.util.arrays import Float32Array
from tests.sharpening.scenes import image, low, scene

ANOTHER, OFF = "do not show the same scene", "register them first"


def checked(lr: Float32Array, hr: Float32Array, ratio: int = 4, **known: float) -> None:
    check_same_scene(Pair(lr, hr, Psf(ratio), **known))  # type: ignore[arg-type]


def noisy(samples: Float32Array, db: float, seed: int) -> Float32Array:
    """Add noise of `db` decibels below each band's power."""
    deviation = np.sqrt(np.square(samples).mean((0, 1)) / 10 ** (db / 10))
    return np.asarray(samples + np.random.default_rng(seed).normal(0, 1, samples.shape) * deviation, np.float32)


def another(height: int, width: int, seed: int) -> Float32Array:
    """Return the image of another scene, mirrored, because the shading is the same in all scenes."""
    return np.ascontiguousarray(image(scene(height, width, seed=seed))[:, ::-1])


def gradient(height: int, width: int) -> Float32Array:
    y, x = np.mgrid[:height, :width] / np.float32(height)
    return np.stack([0.2 + 0.3 * y, 0.1 + 0.2 * x + 0.1 * y, 0.5 - 0.2 * x], 2).astype(np.float32)


@pytest.mark.parametrize("side", [6, 8, 12, 24, 80])
@pytest.mark.parametrize("seed", range(3))
def test_a_scene_is_its_own_whatever_its_size(side: int, seed: int) -> None:
    cube = scene(4 * side, 4 * side, seed=seed)
    checked(low(cube, Psf(4)), image(cube))


@pytest.mark.parametrize("ratio", [1, 2, 3, 4, 5, 8])
def test_at_any_ratio(ratio: int) -> None:
    cube = scene(24 * ratio, 21 * ratio)
    lr = low(cube, Psf(ratio))
    checked(lr, image(cube), ratio)
    with pytest.raises(CubeError, match=ANOTHER):
        checked(lr, another(24 * ratio, 21 * ratio, 1), ratio)


@pytest.mark.parametrize("bands", [1, 2, 3, 10])
def test_with_any_number_of_bands(bands: int) -> None:
    cube = scene(96, 96)
    checked(low(cube, Psf(4)), image(cube, bands))


def test_many_bands_and_few_pixels_explain_no_other_scene() -> None:
    cube = scene(48, 48, 200)
    checked(low(cube, Psf(4)), image(cube))
    rng = np.random.default_rng(0)
    for _ in range(20):
        with pytest.raises(CubeError, match=ANOTHER):
            checked(low(cube, Psf(4)), rng.random((48, 48, 4), np.float32))


@pytest.mark.parametrize("db", [35, 25, 15])
def test_noise_hides_no_scene(db: float) -> None:
    cube = scene(96, 96)
    checked(noisy(low(cube, Psf(4)), db, 0), noisy(image(cube), db, 1))


@pytest.mark.parametrize("fwhm", [0.5, 1.0, 2.0])
def test_however_wide_the_cube_s_pixels_see(fwhm: float) -> None:
    cube = scene(96, 96)
    checked(low(cube, Psf(4, fwhm)), image(cube))


def test_brightness_the_other_way_round_is_the_same_scene() -> None:
    cube = scene(96, 96)
    checked(low(cube, Psf(4)), 1 - image(cube))
    checked(low(cube, Psf(4)), 1 / (image(cube) + np.float32(0.1)))


@pytest.mark.parametrize("pixels", [(1, 1), (-2, 2), (2, -1)])
def test_within_what_is_looked_for_a_shift_is_no_matter(pixels: tuple[int, int]) -> None:
    cube = scene(96, 96)
    checked(low(cube, Psf(4, 1, *pixels)), image(cube))


def shifted(shift: tuple[int, int], db: float | None = None) -> tuple[Float32Array, Float32Array]:
    whole = scene(136, 136)
    at = [slice(20 + n, 116 + n) for n in shift]
    lr, hr = low(whole[20:116, 20:116], Psf(4)), image(whole[at[0], at[1]])
    return (lr, hr) if db is None else (noisy(lr, db, 0), noisy(hr, db, 1))


# without registration, shifts below 6 pixels are accepted
@pytest.mark.parametrize(
    ("shift", "register"), [((6, 6), False), ((0, 9), False), ((-12, 8), False), *(((-14, 8), r) for r in (True, False)), ((16, -20), True)]
)
@pytest.mark.parametrize("db", [None, 25])
def test_further_off_is_told_as_that(shift: tuple[int, int], register: bool, db: float | None) -> None:
    with pytest.raises(CubeError, match=OFF):
        register_and_fit(*shifted(shift, db), Options(register=register))


@pytest.mark.parametrize("shift", [(3, 0), (4, -4), (6, 6), (0, 9), (-12, 8)])
@pytest.mark.parametrize("db", [None, 25])
def test_up_to_three_pixels_of_the_cube_off_is_found(shift: tuple[int, int], db: float | None) -> None:
    pair = register_and_fit(*shifted(shift, db), Options())[0]
    assert pair.shift == pytest.approx([-n for n in shift], abs=0.05)


def test_how_far_is_told() -> None:
    with pytest.raises(CubeError, match=r"about -16 rows and \+8 columns off"):
        checked(*shifted((16, -8)))


@pytest.mark.parametrize("side", [8, 12, 24, 64])
@pytest.mark.parametrize("seed", range(1, 7))
def test_another_scene_is_never_called_shifted(side: int, seed: int) -> None:
    lr = low(scene(4 * side, 4 * side), Psf(4))
    for db in (None, 25):
        other = another(4 * side, 4 * side, 100 + seed)
        with pytest.raises(CubeError, match=ANOTHER):
            checked(lr if db is None else noisy(lr, db, 0), other if db is None else noisy(other, db, 1))


@pytest.mark.parametrize("register", [True, False])
def test_what_shows_nothing_of_the_cube_is_another_scene(register: bool) -> None:
    cube = scene(96, 96)
    lr, hr = low(cube, Psf(4)), image(cube)
    stripes = np.zeros_like(hr) + (np.arange(96) % 8 < 4)[:, None, None]
    turned = hr[:, ::-1], hr[::-1], hr[::-1, ::-1], np.rot90(hr)
    for wrong in (np.random.default_rng(0).random(hr.shape, np.float32), np.full_like(hr, 0.3), stripes, *turned):
        with pytest.raises(CubeError, match=ANOTHER):
            register_and_fit(lr, np.ascontiguousarray(wrong), Options(register=register))


def test_clouds_are_another_scene_until_they_are_called_missing() -> None:
    cube = scene(96, 96)
    lr, hr = low(cube, Psf(4)), image(cube)
    y, x = np.mgrid[:96, :96]
    under = np.hypot(y - 40, x - 60) < 12 + 6 * np.sin(np.arctan2(y - 40, x - 60) * 9)
    clouded = hr.copy()
    clouded[under] = 5 + np.random.default_rng(0).random((int(under.sum()), 4))
    with pytest.raises(CubeError, match="declare clouds as no data"):
        checked(lr, clouded)
    clouded[under] = -1
    checked(lr, clouded, image_nodata=-1)


def test_a_slope_and_a_flat_cube_say_nothing() -> None:
    lr = low(gradient(96, 96), Psf(4))
    checked(lr, gradient(96, 96))
    cube = scene(96, 96)
    for value in (0.25, 0.3, 1234.567):
        flat = np.full((24, 24, 30), value, np.float32)
        checked(flat, image(cube))
        assert register_and_fit(flat, image(cube), Options())[1].explained == 1.0


def test_a_slope_alone_explains_no_scene() -> None:
    cube = scene(96, 96)
    with pytest.raises(CubeError, match=r"too little|same scene"):
        register_and_fit(low(cube, Psf(4)), gradient(96, 96), Options())


def test_a_smooth_scene_under_noise_is_told_in_the_large() -> None:
    y, x = np.mgrid[:96, :96]
    cube = np.stack([0.4 + 0.1 * np.sin(y / 20 + k / 3) + 0.1 * np.cos(x / 23 + k / 5) for k in range(30)], 2).astype(np.float32)
    checked(noisy(low(cube, Psf(4)), 25, 0), noisy(image(cube), 12, 1))


def test_nothing_known_is_for_others_to_refuse() -> None:
    checked(np.full((8, 8, 5), np.nan, np.float32), np.ones((32, 32, 3), np.float32))
    cube = scene(32, 32)
    checked(low(cube, Psf(4)), np.full((32, 32, 3), np.nan, np.float32))
