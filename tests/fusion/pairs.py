"""Pairs for the fuser's tests."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefuse.frames import Frame, FramePair
from edgefuse.util.arrays import UInt8Array


def pair(visible: NDArray[Any], infrared: NDArray[Any], index: int = 0) -> FramePair:
    """Return pair `index` of a video with 25 pairs per second."""
    time_ns = index * 40_000_000
    return FramePair(Frame(visible, "visible", time_ns, "a"), Frame(infrared, "infrared", time_ns, "a"), index)


def random(shape: tuple[int, ...], seed: int = 0, low: int = 0, high: int = 256) -> UInt8Array:
    return np.random.default_rng(seed).integers(low, high, shape, dtype=np.uint8)


def noisy(image: UInt8Array, deviation: float, rng: np.random.Generator) -> UInt8Array:
    """Return `image` with Gaussian noise, as from a sensor."""
    return np.clip(np.rint(image + rng.normal(0, 1, image.shape) * deviation), 0, 255).astype(np.uint8)
