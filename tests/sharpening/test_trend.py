from __future__ import annotations

import numpy as np
import pytest

from edgefuse.sharpening.pair import Pair
from edgefuse.sharpening.psf import Psf
from edgefuse.sharpening.trend import Trend, fitted
from edgefuse.util.arrays import Float32Array
from tests.sharpening.scenes import image, low, psnr, scene

_SIDE = 96


def _fitted(lr: Float32Array, hr: Float32Array, count: int = 30) -> Trend:
    return fitted(Pair(lr, hr, Psf(4)), count)


def _left(trend: Trend, lr: Float32Array, hr: Float32Array) -> Float32Array:
    seen = low(hr, Psf(4)).reshape(-1, hr.shape[2])
    return np.asarray(lr.reshape(len(seen), -1) - trend.spectra(seen))


def test_all_components_hold_all_that_is_left() -> None:
    cube = scene(_SIDE, _SIDE)
    lr, hr = low(cube, Psf(4)), image(cube)
    trend = _fitted(lr, hr)
    left = _left(trend, lr, hr)
    np.testing.assert_allclose(left @ trend.analysis @ trend.components.T, left, atol=1e-5)
    assert trend.rest == pytest.approx(0, abs=1e-9)


def test_components_do_not_go_together_and_fall() -> None:
    cube = scene(_SIDE, _SIDE)
    lr, hr = low(cube, Psf(4)), image(cube)
    trend = _fitted(lr, hr, 8)
    measured = np.cov(_left(trend, lr, hr) @ trend.analysis, rowvar=False, bias=True)
    np.testing.assert_allclose(measured, np.diag(trend.variances), atol=1e-4 * trend.variances[0])
    assert (np.diff(trend.variances) <= 0).all()
    held = (np.square(trend.components) @ trend.variances).mean()
    assert held + trend.rest == pytest.approx(_left(trend, lr, hr).var(0).mean(), rel=1e-3)


def test_a_loud_band_does_not_keep_the_others_from_being_held() -> None:
    cube = scene(_SIDE, _SIDE)
    lr, hr = low(cube, Psf(4)), image(cube)
    loud = lr.copy()
    loud[..., 3:9] *= 200
    plain, beside = _fitted(lr, hr, 4), _fitted(loud, hr, 4)
    quiet = np.r_[0:3, 9:30]
    left = [_left(t, x, hr) for t, x in ((plain, lr), (beside, loud))]
    held = [x @ t.analysis @ t.components.T for t, x in zip((plain, beside), left, strict=True)]
    of_all = [1 - np.square((x - h)[:, quiet]).sum() / np.square(x[:, quiet]).sum() for x, h in zip(left, held, strict=True)]
    assert of_all[1] > 0.5 * of_all[0]


def test_a_noisy_image_does_not_pass_its_noise_on_many_times() -> None:
    cube = scene(_SIDE, _SIDE)
    rng = np.random.default_rng(0)
    # two nearly equal bands, whose difference could fit anything
    hr = image(cube)
    hr = np.concatenate([hr, hr[..., :1] + 0.003 * (cube[..., :1] - cube[..., 1:2])], 2)
    noisy = hr + rng.normal(0, 0.01, hr.shape).astype(np.float32)
    lr = low(cube, Psf(4))
    seen = np.c_[low(noisy, Psf(4)).reshape(-1, 5), np.ones(lr[..., 0].size)]
    weights = np.linalg.lstsq(seen, lr.reshape(len(seen), -1), rcond=None)[0]
    plain = (np.c_[noisy.reshape(-1, 5), np.ones(noisy[..., 0].size)] @ weights).reshape(cube.shape)
    assert psnr(_fitted(lr, noisy).spectra(noisy.reshape(-1, 5)).reshape(cube.shape), cube) > psnr(plain.astype(np.float32), cube) + 1


def test_units_turn_no_axis() -> None:
    cube = scene(_SIDE, _SIDE)
    lr, hr = low(cube, Psf(4)), image(cube)
    # five materials give at most five components; the others are rounding error
    own, other = _fitted(lr, hr, 5), _fitted(lr * 10000, hr * 255, 5)
    np.testing.assert_allclose(own.axes, other.axes, atol=1e-3)
    assert (np.einsum("bk,bk->k", own.analysis, other.analysis) > 0).all()


def test_nothing_left_is_no_fault() -> None:
    hr = image(scene(_SIDE, _SIDE))
    trend = _fitted(low(hr, Psf(4)), hr)
    assert np.isfinite(trend.analysis).all()
    assert trend.explained > 0.999
    flat = _fitted(np.ones((24, 24, 6), np.float32), hr)
    assert np.isfinite(flat.analysis).all()
    assert np.abs(flat.residual(np.ones((3, 6), np.float32), np.zeros((3, 4), np.float32))).max() < 1e-3
