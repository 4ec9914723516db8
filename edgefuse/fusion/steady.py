"""Video: a map and a mask of targets that hold still where the scene does, and how noisy the sensors are.

Both move toward their new value faster the more the pair changed there: at once where something moved, so that a warm body leaves
no trail, by a quarter where nothing did. Sensor noise is measured on a few rows from frame to frame; the blend then averages details
that differ by no more than noise, where choosing the larger would make the picture noisier than either frame.
"""

from __future__ import annotations

import cv2
import numpy as np

from edgefuse.util.arrays import Float32Array, UInt8Array

SLOWEST = 0.25  # of the way to a new map, where nothing changed
MOVED = 6.0  # levels at an eighth of the size that count as motion
CUT = 12.0  # mean change in levels that counts as another scene
ROWS = 16  # every so many rows are watched for noise
MOST_NOISE = 8.0  # deviation in levels; what looks noisier is motion
MEMORY = 0.8  # of the noise figure, from frame to frame
_MEDIAN_TO_DEVIATION = 1.0 / (0.6745 * 2**0.5)  # the difference of two noisy values is the square root of two noisier


class Steady:
    """Memory of one stream of one size."""

    def __init__(self) -> None:
        self._eighths: list[UInt8Array] = []
        self._rows: list[UInt8Array] = []
        self._planes: dict[str, Float32Array] = {}
        self.noise = 0.0
        """Deviation of the noisier source's sensor noise, in levels of 255."""

    def watch(self, planes: tuple[UInt8Array, UInt8Array], eighths: tuple[UInt8Array, UInt8Array]) -> Float32Array | None:
        """Measure the noise in `planes` (visible and infrared luma, uint8); how far the map may move (float32 of the eighths' shape).

        None where there is nothing to go by: the first pair, or another scene.
        """
        # copies: the planes are overwritten by the next pair
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
        # a body's edge moves before its middle does, so a cell's surroundings count too
        change = cv2.dilate(cv2.max(changes[0], changes[1]), np.ones((5, 5), np.uint8))
        return np.clip(change * np.float32(1 / MOVED), np.float32(SLOWEST), np.float32(1))

    def smooth(self, name: str, plane: Float32Array, pace: Float32Array | None) -> Float32Array:
        """The plane to use, the memory's own: `plane` where `pace` (from `watch`) is 1 or None, nearer to that name's last elsewhere."""
        last = self._planes.get(name)
        if last is None or pace is None:
            last = self._planes[name] = plane.copy()
        else:
            last += pace * (plane - last)
        return last


def _deviation(difference: UInt8Array) -> float:
    """The noise's deviation from the median absolute difference of two frames, interpolated between levels."""
    counts = np.bincount(difference.ravel(), minlength=256)
    below = np.cumsum(counts)
    half = difference.size / 2
    level = int(np.searchsorted(below, half))
    inside = (half - (below[level] - counts[level])) / counts[level]
    # level n holds differences from n - 1/2 to n + 1/2; level 0 only half of that
    median = inside / 2 if level == 0 else level - 0.5 + inside
    return float(median) * _MEDIAN_TO_DEVIATION
