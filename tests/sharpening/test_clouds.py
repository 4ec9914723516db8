"""Clouds and shadows of the image are found, interpolated from the cube and marked; a clear scene is left alone."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

import edgefuse
from edgefuse.errors import CubeError
from edgefuse.sharpening.base import Options
from edgefuse.sharpening.clouds import unexplained
from edgefuse.sharpening.pair import Mask, Pair
from edgefuse.sharpening.psf import Psf
from edgefuse.sharpening.sharpen import prepare, sharpen
from edgefuse.util.arrays import Float32Array
from tests.sharpening.scenes import image, low, psnr, scene


def cloud(shape: tuple[int, ...], row: int, column: int, radius: int) -> Float32Array:
    """Return the opacity (h, w, 1) of a cloud with soft edges."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    disc = (np.hypot(y - row, x - column) < radius).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(disc, (0, 0), 1.5)[..., None], np.float32)


def sharpened(lr: Float32Array, hr: Float32Array, mask: Mask | None = None) -> tuple[Float32Array, Float32Array, Mask | None]:
    made = prepare(lr, hr, Options(threads=1, mask=mask))
    out, unsure = np.empty((*hr.shape[:2], lr.shape[2]), np.float32), np.empty((*hr.shape[:2], 1), np.float32)
    sharpen(made, out, unsure)
    return out, unsure[..., 0], None if made.covered is None else made.covered.mask


# measured: 0.54 dB; 0.99 to 1.13 dB, as BLAS rounds: one pixel beside a cloud of 13 % of the image is at the threshold
@pytest.mark.parametrize(("radius", "most_db"), [(5, 0.75), (14, 1.5)])
def test_clouds_and_shadows_cost_little_elsewhere(radius: int, most_db: float, caplog: pytest.LogCaptureFixture) -> None:
    truth = scene(120, 120)
    lr, hr = low(truth, Psf(4, 1, 0.5, -0.5)), image(truth)
    bright, dark = cloud(hr.shape, 50, 40, radius), cloud(hr.shape, 80, 75, radius)
    clouded = hr * (1 - bright) + 1.2 * bright
    clouded *= 1 - 0.7 * dark
    clear = (np.maximum(bright, dark) < 1e-3)[..., 0]
    hidden = (np.maximum(bright, dark) > 0.5)[..., 0]
    (plain, unsure, _), (made, marked, mask) = sharpened(lr, hr), sharpened(lr, clouded)
    assert mask is not None
    assert mask[hidden].mean() > 0.98
    assert mask[clear].mean() < 0.02
    assert psnr(made[clear], truth[clear]) > psnr(plain[clear], truth[clear]) - most_db
    # no image shows what is here
    assert np.sqrt(np.square(made[hidden] - truth[hidden]).mean()) < 0.7 * truth.std()
    assert np.median(marked[hidden]) > 2 * np.median(unsure)
    assert "does not match the cube (clouds, shadows" in caplog.text
    assert "smaller area" in caplog.text


def test_a_clear_scene_is_left_alone() -> None:
    truth = scene(120, 120)
    for noise in (0.0, 0.02):
        rng = np.random.default_rng(0)
        lr, hr = (x + rng.normal(0, 1, x.shape).astype(np.float32) * np.float32(noise) for x in (low(truth, Psf(4)), image(truth)))
        assert unexplained(Pair(lr, hr, Psf(4))) is None
        assert sharpened(lr, hr)[2] is None


def test_what_a_mask_covers_is_interpolated_whatever_the_image_shows() -> None:
    truth = scene(96, 96)
    lr, hr = low(truth, Psf(4)), image(truth)
    mask = np.zeros(hr.shape[:2], bool)
    mask[30:50, 40:70] = True
    made, unsure, used = sharpened(lr, hr, mask)
    assert used is not None
    np.testing.assert_array_equal(used, mask)
    garbled = hr.copy()
    garbled[mask] = 0.9
    np.testing.assert_allclose(sharpened(lr, garbled, mask)[0], made, atol=1e-4)
    assert np.isfinite(made).all()
    plain = sharpened(lr, hr)[0]
    far = cv2.dilate(mask.astype(np.uint8), np.ones((9, 9))) == 0
    assert psnr(made[far], truth[far]) > psnr(plain[far], truth[far]) - 0.5
    assert np.median(unsure[mask]) > 2 * np.median(unsure[~mask])
    np.testing.assert_array_equal(edgefuse.sharpen(lr, hr, threads=1, mask=mask), made)
    np.testing.assert_array_equal(edgefuse.sharpen(lr, hr, threads=1, mask=np.zeros_like(mask)), plain)


def test_a_mask_on_another_grid_is_refused() -> None:
    truth = scene(48, 48)
    with pytest.raises(CubeError, match="give a mask of one band on the image's grid"):
        edgefuse.sharpen(low(truth, Psf(4)), image(truth), mask=np.zeros((12, 12)))
