"""Small cubes for tests."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefuse.hyperspectral.cube import CubeInfo, Georeference

UTM = Georeference((30.0, 0.0, 500015.0, 0.0, -30.0, 5000025.0), "EPSG:32633")


def samples(shape: tuple[int, int, int], dtype: Any = np.uint16, seed: int = 0) -> NDArray[Any]:
    """Return random values of the type, including its extremes."""
    rng, dtype = np.random.default_rng(seed), np.dtype(dtype)
    if dtype.kind in "ui":
        limits = np.iinfo(dtype)
        return rng.integers(limits.min, limits.max, shape, dtype.newbyteorder("="), endpoint=True).astype(dtype)
    plain = rng.normal(0, 1000, shape)
    return (plain + 1j * plain[::-1] if dtype.kind == "c" else plain).astype(dtype)


def scene(shape: tuple[int, int, int] = (24, 20, 12), seed: int = 0) -> NDArray[np.uint16]:
    """Return smooth spectra in 0..10000 with a little noise, typical input of a codec."""
    rng = np.random.default_rng(seed)
    height, width, bands = shape
    spectra = np.cumsum(rng.normal(0, 1, (4, bands)), 1)
    y, x = np.mgrid[:height, :width]
    weights = np.stack([np.sin(x / 5 + k) + np.cos(y / (4 + k)) for k in range(4)], -1)
    cube = weights @ spectra
    cube = 1000 + 8000 * (cube - cube.min()) / (np.ptp(cube) or 1)
    return (cube + rng.normal(0, 5, shape)).clip(0, 10000).astype(np.uint16)


def described(shape: tuple[int, int, int], dtype: Any = np.uint16) -> CubeInfo:
    """Return metadata in which every field is set."""
    bands = shape[2]
    return CubeInfo(
        shape, np.dtype(dtype), tuple(400.1 + 10 * k for k in range(bands)), tuple(5.5 + k / 7 for k in range(bands)),
        tuple(f"band {k}" for k in range(bands)), 0, (1e-4,) * bands, (0.25,) * bands, UTM,
        {"sensor type": "EdgeFuse", "description": "a, b"},
    )  # fmt: skip


def mixed(shape: tuple[int, int, int], dtype: str = "int16", seed: int = 0, noise: float = 3.0) -> NDArray[np.generic]:
    """Return a cube of about 0 to 3000 counts; 0 to 120 for 8-bit types, 0 to 0.3 for floating-point types."""
    rng = np.random.default_rng(seed)
    height, width, bands = shape
    spectra = cv2.GaussianBlur(rng.uniform(0, 1, (4, bands)), (0, 0), 2) if bands > 1 else rng.uniform(0, 1, (4, 1))
    fields = np.stack([cv2.GaussianBlur(rng.uniform(-1, 1, (height, width)), (0, 0), 3).reshape(height, width) for _ in range(4)], 2)
    cube = 1500 + 4000 * (fields @ spectra.reshape(4, bands)) + rng.normal(0, noise, shape)
    scale = 1e-4 if dtype.startswith("float") else 0.04 if dtype.endswith("int8") else 1.0
    low, high = (-np.inf, np.inf) if dtype.startswith("float") else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    return np.clip(cube * scale, low, high).astype(dtype)
