"""Draws the infrared frame's edges over the visible picture, for checking a calibration by eye."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefuse.util.arrays import Float32Array

_COLOUR = 64, 160, 255  # BGR: orange is rare in both cameras' pictures
_SHARE = 0.12  # largest fraction of pixels drawn as edges


def overlay(visible: NDArray[np.uint8], infrared: Float32Array, seen: Float32Array) -> NDArray[np.uint8]:
    """Draw the overlay; returns uint8 (H, W, 3) BGR.

    visible: uint8 (H, W) or BGR (H, W, 3). infrared: float32 (H, W), registered. seen: float32 (H, W), 1 inside the infrared view.
    """
    base = visible if visible.ndim == 3 else np.asarray(cv2.cvtColor(visible, cv2.COLOR_GRAY2BGR), np.uint8)
    # dimmed slightly, and dark scenes brightened, so that the lines are visible on both
    picture = np.clip(base * 0.7 + 24, 0, 255).astype(np.uint8)
    picture[_edges(infrared, seen)] = _COLOUR
    return picture


def _edges(infrared: Float32Array, seen: Float32Array) -> NDArray[np.bool_]:
    """Return edges one pixel wide: local maxima, across the edge, of the gradient relative to its surroundings."""
    smooth = cv2.GaussianBlur(infrared, (0, 0), 1.2)
    gx, gy = cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    strength = np.asarray(cv2.magnitude(gx, gy), np.float32)
    strength /= cv2.GaussianBlur(strength, (0, 0), 24) + np.float32(1.0)
    strength *= cv2.erode(seen, np.ones((7, 7), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    across = np.abs(gx) > np.abs(gy)
    peak = np.where(
        across,
        (strength >= np.roll(strength, 1, 1)) & (strength > np.roll(strength, -1, 1)),
        (strength >= np.roll(strength, 1, 0)) & (strength > np.roll(strength, -1, 0)),
    )
    edges: NDArray[np.bool_] = peak & (strength > max(float(np.quantile(strength, 1 - _SHARE)), 0.5))
    return edges
