"""Synthetic scenes: fields of a few materials with sharp borders, as two cameras record them."""

from __future__ import annotations

import numpy as np

from edgefuse.sharpening.psf import Psf, apply
from edgefuse.util.arrays import Float32Array


def scene(height: int, width: int, bands: int = 30, seed: int = 0) -> Float32Array:
    """Return (height, width, bands) in 0..1: fields of five materials with shading and a little texture."""
    rng = np.random.default_rng(seed)
    spectra = np.cumsum(rng.normal(0, 0.05, (5, bands)), 1)
    spectra += 0.4 - spectra.mean(1, keepdims=True) * 0.5
    sites, kinds = rng.uniform(0, 1, (60, 2)) * (height, width), rng.integers(0, 5, 60)
    y, x = np.mgrid[:height, :width]
    fields = kinds[np.square(np.stack([y, x], 2)[:, :, None] - sites).sum(3).argmin(2)]
    share = np.clip(rng.normal(0.75, 0.12, (height, width, 1)), 0, 1)
    shade = 0.8 + 0.2 * np.sin(x / 17 + y / 11)
    cube = (share * spectra[fields] + (1 - share) * spectra[(fields + 1) % 5]) * shade[:, :, None]
    return np.clip(cube, 0.01, 1).astype(np.float32)


def low(cube: Float32Array, psf: Psf) -> Float32Array:
    """Return the low-resolution cube of the scene."""
    height, width, _ = cube.shape
    (_, down), (_, across) = psf.rows(0, height // psf.ratio, height), psf.columns(0, width // psf.ratio, width)
    return apply(down, across, cube)


def image(cube: Float32Array, bands: int = 4) -> Float32Array:
    """Return the multispectral image of the scene."""
    return np.stack([part.mean(2) for part in np.array_split(cube, bands, 2)], 2)


def trend_only(lr: Float32Array, hr: Float32Array, psf: Psf) -> Float32Array:
    """Sharpen by the linear regression alone."""
    seen = low(hr, psf).reshape(-1, hr.shape[2])
    weights = np.linalg.lstsq(np.c_[seen, np.ones(len(seen))], lr.reshape(len(seen), -1), rcond=None)[0]
    return np.asarray(hr @ weights[:-1] + weights[-1], np.float32)


def psnr(a: Float32Array, b: Float32Array) -> float:
    return float(-10 * np.log10(np.mean(np.square(a.astype(np.float64) - b))))
