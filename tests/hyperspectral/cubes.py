"""Cubes for the tests: a few spectra, mixed by smooth fields, and noise."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def mixed(shape: tuple[int, int, int], dtype: str = "int16", seed: int = 0, noise: float = 3.0) -> NDArray[np.generic]:
    """A cube of about 0 to 3000 counts; 8-bit types get 0 to 120, floating-point ones 0 to 0.3."""
    rng = np.random.default_rng(seed)
    height, width, bands = shape
    spectra = cv2.GaussianBlur(rng.uniform(0, 1, (4, bands)), (0, 0), 2) if bands > 1 else rng.uniform(0, 1, (4, 1))
    fields = np.stack([cv2.GaussianBlur(rng.uniform(-1, 1, (height, width)), (0, 0), 3).reshape(height, width) for _ in range(4)], 2)
    cube = 1500 + 4000 * (fields @ spectra.reshape(4, bands)) + rng.normal(0, noise, shape)
    scale = 1e-4 if dtype.startswith("float") else 0.04 if dtype.endswith("int8") else 1.0
    low, high = (-np.inf, np.inf) if dtype.startswith("float") else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    return np.clip(cube * scale, low, high).astype(dtype)
