from __future__ import annotations

import numpy as np
import pytest

import edgefuse
from edgefuse.errors import CubeError
from edgefuse.hyperspectral.array import ArraySource
from edgefuse.sharpening.bands import ranges, with_data
from edgefuse.sharpening.psf import Psf
from tests.sharpening.scenes import image, low, psnr, scene


def test_bands_without_data_are_left_out_and_the_others_are_as_without_them(caplog: pytest.LogCaptureFixture) -> None:
    cube = scene(80, 72)
    lr, hr = low(cube, Psf(4)), image(cube)
    kept = np.delete(np.arange(30), [0, 12, 13])
    holed = lr.copy()
    holed[..., [0, 12, 13]] = np.nan
    made = edgefuse.sharpen(holed, hr, threads=1)
    assert np.isnan(made[..., [0, 12, 13]]).all()
    np.testing.assert_array_equal(made[..., kept], edgefuse.sharpen(np.ascontiguousarray(lr[..., kept]), hr, threads=1))
    assert psnr(made[..., kept], cube[..., kept]) > 40
    assert "3 of 30 bands have no data in more than half of the pixels and are left out: 0, 12-13 (from 0)" in caplog.text


def test_a_band_of_the_image_without_data_is_left_out() -> None:
    cube = scene(80, 72)
    lr, hr = low(cube, Psf(4)), image(cube)
    holed = np.insert(hr, 2, -1, 2)
    np.testing.assert_array_equal(edgefuse.sharpen(lr, holed, threads=1, image_nodata=-1), edgefuse.sharpen(lr, hr, threads=1))


@pytest.mark.parametrize(("value", "nodata"), [(np.nan, None), (-1.0, -1.0)])
def test_only_pixels_with_data_in_some_band_count(value: float, nodata: float | None) -> None:
    samples = scene(40, 40, 5)
    samples[:30] = value
    samples[30:34, :, 3] = value
    assert with_data(ArraySource(samples, "cube", nodata)).tolist() == [True] * 5
    samples[30:38, :, 3] = value
    assert with_data(ArraySource(samples, "cube", nodata)).tolist() == [True, True, True, False, True]
    assert with_data(ArraySource(np.nan_to_num(samples).astype(np.int16), "cube")).all()


def test_bands_with_data_in_different_pixels_are_refused() -> None:
    samples = np.full((30, 10, 3), np.nan)
    for band in range(3):
        samples[10 * band : 10 * band + 10, :, band] = 1
    with pytest.raises(CubeError, match="no band has data in half of the pixels"):
        with_data(ArraySource(samples, "cube"))


def test_ranges_of_bands_are_named_up_to_six() -> None:
    assert ranges([1, 4, 5, 6, 9]) == "1, 4-6, 9"
    assert ranges(range(0, 20, 2)) == "0, 2, 4, 6, 8, 10 and 4 more"
