"""What an eye sees of a picture: contrast sensitivity and masking, for VIFB's Qcb and Qcv.

Frequencies follow MATLAB's freqspace: from 0 to a share of the picture's size at Nyquist's, whatever the viewing distance.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefuse.util.arrays import Float64Array

Spectrum = NDArray[np.complex128]
_REACH = 15  # Gaussians are cut here, in pixels


def ratio(part: Float64Array, whole: Float64Array, otherwise: float) -> Float64Array:
    """part / whole, `otherwise` where whole is 0."""
    return np.divide(part, whole, out=np.full_like(part, otherwise), where=whole != 0)


def masked_contrast(spectrum: Spectrum, shape: tuple[int, int]) -> Float64Array:
    """Chen and Blum 2009, Eqs. 6 to 9: what the eye passes, its local contrast C, masked: C^3 / (C^2 + 0.0001).

    spectrum: numpy's rfft2 of a picture of `shape` (H, W). Returns float64 (H, W), 0 and more; 0 where the picture is black around.
    """
    seen = np.fft.irfft2(spectrum * _chen_blum(shape), s=shape)
    contrast = np.abs(ratio(_blur(seen, 2.0), _blur(seen, 4.0), 1.0) - 1)
    return contrast**3 / (contrast * contrast + 0.0001)


def visible_part(spectrum: Spectrum, shape: tuple[int, int]) -> Float64Array:
    """A picture (H, W) of spectrum `spectrum`, as Mannos and Sakrison's sensitivity (1974) passes it; the same unit."""
    return np.fft.irfft2(spectrum * _mannos_sakrison(shape), s=shape)


def _blur(image: Float64Array, sigma: float) -> Float64Array:
    """A Gaussian of 31 x 31, zeros around the picture, not made to sum to 1, as in Liu's toolbox."""
    kernel = np.exp(-(np.arange(-_REACH, _REACH + 1.0) ** 2) / (2 * sigma * sigma)) / (np.sqrt(2 * np.pi) * sigma)
    blurred: Any = cv2.sepFilter2D(image, cv2.CV_64F, kernel, kernel, borderType=cv2.BORDER_CONSTANT)
    return blurred


@lru_cache(maxsize=2)
def _chen_blum(shape: tuple[int, int]) -> Float64Array:
    """Eq. 4, a difference of two Gaussians, laid out as numpy's rfft2."""
    radius = _radius(shape, 30)
    return np.exp(-((radius / 15.3870) ** 2)) - 0.7622 * np.exp(-((radius / 1.3456) ** 2))


@lru_cache(maxsize=2)
def _mannos_sakrison(shape: tuple[int, int]) -> Float64Array:
    radius = 0.144 * _radius(shape, 8)
    return 2.6 * (0.0192 + radius) * np.exp(-(radius**1.1))


def _radius(shape: tuple[int, int], scale: int) -> Float64Array:
    """The length of each frequency of an rfft2: size / scale at Nyquist's, down and across."""
    height, width = shape
    down, across = 2 * np.fft.fftfreq(height) * height / scale, 2 * np.fft.rfftfreq(width) * width / scale
    return np.hypot(down[:, None], across[None])
