"""Models of human vision for VIFB's Qcb and Qcv: contrast sensitivity and masking.

Frequencies follow MATLAB's freqspace: from 0 to a fraction of the picture's size at the Nyquist frequency; no viewing distance is used.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefuse.util.arrays import Float64Array

Spectrum = NDArray[np.complex128]
_REACH = 15  # radius at which Gaussians are truncated, in pixels


def ratio(part: Float64Array, whole: Float64Array, otherwise: float) -> Float64Array:
    """Return part / whole, and `otherwise` where whole is 0."""
    return np.divide(part, whole, out=np.full_like(part, otherwise), where=whole != 0)


def masked_contrast(spectrum: Spectrum, shape: tuple[int, int]) -> Float64Array:
    """Chen and Blum 2009, Eqs. 6 to 9: filter by contrast sensitivity, take the local contrast C, mask it: C^3 / (C^2 + 0.0001).

    spectrum: numpy's rfft2 of a picture of `shape` (H, W). Returns float64 (H, W), 0 or more; 0 in black regions.
    """
    filtered = np.fft.irfft2(spectrum * _chen_blum(shape), s=shape)
    contrast = np.abs(ratio(_blur(filtered, 2.0), _blur(filtered, 4.0), 1.0) - 1)
    return contrast**3 / (contrast * contrast + 0.0001)


def visible_part(spectrum: Spectrum, shape: tuple[int, int]) -> Float64Array:
    """Filter the picture (H, W) with spectrum `spectrum` by Mannos and Sakrison's contrast sensitivity (1974); same unit."""
    return np.fft.irfft2(spectrum * _mannos_sakrison(shape), s=shape)


def _blur(image: Float64Array, sigma: float) -> Float64Array:
    """Blur with a Gaussian of 31 x 31, zero padding, not normalised to a sum of 1, as in Liu's toolbox."""
    kernel = np.exp(-(np.arange(-_REACH, _REACH + 1.0) ** 2) / (2 * sigma * sigma)) / (np.sqrt(2 * np.pi) * sigma)
    blurred: Float64Array = cv2.sepFilter2D(image, cv2.CV_64F, kernel, kernel, borderType=cv2.BORDER_CONSTANT)
    return blurred


@lru_cache(maxsize=2)
def _chen_blum(shape: tuple[int, int]) -> Float64Array:
    """Sensitivity of Eq. 4, a difference of two Gaussians, in the layout of numpy's rfft2."""
    radius = _radius(shape, 30)
    return np.exp(-((radius / 15.3870) ** 2)) - 0.7622 * np.exp(-((radius / 1.3456) ** 2))


@lru_cache(maxsize=2)
def _mannos_sakrison(shape: tuple[int, int]) -> Float64Array:
    radius = 0.144 * _radius(shape, 8)
    return 2.6 * (0.0192 + radius) * np.exp(-(radius**1.1))


def _radius(shape: tuple[int, int], scale: int) -> Float64Array:
    """Radial frequency of each bin of an rfft2: size / scale at the Nyquist frequency of each axis."""
    height, width = shape
    down, across = 2 * np.fft.fftfreq(height) * height / scale, 2 * np.fft.rfftfreq(width) * width / scale
    return np.hypot(down[:, None], across[None])
