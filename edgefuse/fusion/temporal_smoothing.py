"""Smooths map and target mask over time for video (`--steady`), and measures the sensors' noise.

Map and mask move towards their new values: fully where the pair changed, so that a moving warm object leaves no trail, and by a quarter
where nothing changed. Noise is measured on some rows from frame to frame. The blend averages details that differ by no more than the
noise, because choosing the larger one would make the picture noisier than either frame.
"""

from __future__ import annotations

import cv2
import numpy as np

from edgefuse.util.arrays import Float32Array, UInt8Array

SLOWEST = 0.25  # share of the step to the new value where nothing changed
MOVED = 6.0  # change in levels, at an eighth of the size, that counts as motion
CUT = 12.0  # mean change in levels that counts as another scene
ROWS = 16  # noise is measured on every 16th row
MOST_NOISE = 8.0  # largest standard deviation in levels; more than that is motion
MEMORY = 0.8  # weight of the previous estimate of the noise
_MEDIAN_TO_DEVIATION = 1.0 / (0.6745 * 2**0.5)  # the difference of two values has sqrt(2) times their deviation


class Steady:
    """State of the smoothing for one stream of one frame size."""

    def __init__(self) -> None:
        self._eighths: list[UInt8Array] = []
        self._rows: list[UInt8Array] = []
        self._planes: dict[str, Float32Array] = {}
        self.noise = 0.0
        """Standard deviation of the noisier camera's noise, in levels of 255."""

    def watch(self, planes: tuple[UInt8Array, UInt8Array], eighths: tuple[UInt8Array, UInt8Array]) -> Float32Array | None:
        """Update `noise`, and return the share by which values may move: float32 in [0.25, 1] of the shape of `eighths`.

        planes: visible and infrared luma, uint8 (H, W). eighths: the same, reduced by 8. Returns None for the first pair and after a
        change of the scene.
        """
        # copied because the planes are overwritten by the next pair
        rows = [p[min(ROWS // 2, len(p) - 1) :: ROWS].copy() for p in planes]
        before, self._rows = self._rows, rows
        previous, self._eighths = self._eighths, [e.copy() for e in eighths]
        if not previous:
            return None
        changes = [cv2.absdiff(a, b) for a, b in zip(previous, eighths, strict=True)]
        if max(cv2.mean(c)[0] for c in changes) > CUT:
            self.noise, self._planes = 0.0, {}
            return None
        noise = max(_deviation(cv2.absdiff(a, b)) for a, b in zip(before, rows, strict=True))
        self.noise = min(MOST_NOISE, MEMORY * self.noise + (1 - MEMORY) * noise if self.noise else noise)
        # an object's edge changes before its middle does, so the surroundings of a cell count, too
        change = cv2.dilate(cv2.max(changes[0], changes[1]), np.ones((5, 5), np.uint8))
        return np.clip(change * np.float32(1 / MOVED), np.float32(SLOWEST), np.float32(1))

    def smooth(self, name: str, plane: Float32Array, pace: Float32Array | None) -> Float32Array:
        """Move the last plane of this name towards `plane` by the share `pace` (of `watch`; None: fully), and return it.

        The result belongs to this object and changes with the next call. All float32 of one shape.
        """
        last = self._planes.get(name)
        if last is None or pace is None:
            last = self._planes[name] = plane.copy()
        else:
            last += pace * (plane - last)
        return last


def _deviation(difference: UInt8Array) -> float:
    """Estimate the noise's standard deviation from the median absolute difference of two frames, interpolated between levels."""
    counts = np.bincount(difference.ravel(), minlength=256)
    below = np.cumsum(counts)
    half = difference.size / 2
    level = int(np.searchsorted(below, half))
    inside = (half - (below[level] - counts[level])) / counts[level]
    # level n holds differences from n - 1/2 to n + 1/2; level 0 only half of that
    median = inside / 2 if level == 0 else level - 0.5 + inside
    return float(median) * _MEDIAN_TO_DEVIATION
