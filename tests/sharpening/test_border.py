from __future__ import annotations

import numpy as np
import pytest

from edgefuse.sharpening.base import Options
from edgefuse.sharpening.border import trimmed
from edgefuse.sharpening.pair import Pair
from edgefuse.sharpening.psf import Psf
from edgefuse.sharpening.sharpen import prepare, sharpen
from edgefuse.util.arrays import Float32Array
from tests.sharpening.scenes import image, low, psnr, scene


@pytest.mark.parametrize(("height", "width"), [(96, 96), (32, 120), (24, 24)])
def test_a_scene_s_own_border_is_looked_at(height: int, width: int) -> None:
    cube = scene(height, width)
    pair = Pair(low(cube, Psf(4)), image(cube), Psf(4))
    assert trimmed(pair) is pair


@pytest.mark.parametrize(
    ("lines", "within", "told"),
    [
        (np.s_[:4], ((1, 24), (0, 30)), "top"), (np.s_[-4:], ((0, 23), (0, 30)), "bottom"),
        (np.s_[:, :4], ((0, 24), (1, 30)), "left"), (np.s_[:, -4:], ((0, 24), (0, 29)), "right"),
    ],
)  # fmt: skip
def test_what_the_image_shows_beyond_the_scene_is_not_looked_at(
    lines: slice, within: tuple[tuple[int, int], tuple[int, int]], told: str, caplog: pytest.LogCaptureFixture
) -> None:
    cube = scene(96, 120)
    hr = image(cube)
    hr[lines] = 0.02
    assert trimmed(Pair(low(cube, Psf(4)), hr, Psf(4))).within == within
    assert f"({told})" in caplog.text


def test_missing_borders_and_scenes_of_a_few_pixels_are_no_matter() -> None:
    cube = scene(96, 96)
    hr = image(cube)
    hr[:4] = np.nan
    pair = Pair(low(cube, Psf(4)), hr, Psf(4))
    assert trimmed(pair) is pair
    small = Pair(low(cube[:28, :28], Psf(4)), image(cube[:28, :28])[::-1], Psf(4))
    assert trimmed(small) is small


def test_an_image_moved_round_costs_little_away_from_its_border() -> None:
    cube = scene(96, 96)
    lr, hr = low(cube, Psf(4)), image(cube)
    moved = np.roll(hr, (-1, -1), (0, 1))

    def made(image: Float32Array) -> tuple[Float32Array, bool]:
        ready = prepare(lr, image, Options(threads=1))
        out = np.empty(cube.shape, np.float32)
        sharpen(ready, out)
        return out, ready.pair.within is not None

    inner = np.s_[8:-8, 8:-8]
    (own, trimmed_own), (shifted, trimmed_shifted) = made(hr), made(moved)
    assert (trimmed_own, trimmed_shifted) == (False, True)
    assert psnr(np.roll(shifted, (1, 1), (0, 1))[inner], cube[inner]) > psnr(own[inner], cube[inner]) - 0.5


def test_a_constant_band_says_nothing() -> None:
    cube = scene(96, 96)
    hr = np.concatenate([image(cube), np.full((96, 96, 1), 0.3, np.float32)], 2)
    pair = Pair(low(cube, Psf(4)), hr, Psf(4))
    assert trimmed(pair) is pair
