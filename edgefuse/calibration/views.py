"""Input of a calibration: both cameras' pictures as grey float32, undistorted where the lens is known, and their checksums."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefuse.calibration.registration import Lens, Size
from edgefuse.errors import CalibrationError
from edgefuse.frames import Frame, FramePair
from edgefuse.util.arrays import Float32Array

_PERCENTILES = 0.5, 99.5


@dataclass(frozen=True, slots=True)
class View:
    """A pair of pictures. visible, infrared: float32 (H, W) and (h, w), 0..255.

    seen: float32 (h, w), 1 in the infrared frame's valid area, 0 in the black wedges of one that was warped before.
    """

    name: str
    visible: Float32Array
    infrared: Float32Array
    seen: Float32Array

    @property
    def visible_size(self) -> Size:
        return self.visible.shape[1], self.visible.shape[0]

    @property
    def infrared_size(self) -> Size:
        return self.infrared.shape[1], self.infrared.shape[0]


def views(pairs: Sequence[FramePair], visible_lens: Lens | None = None, infrared_lens: Lens | None = None) -> list[View]:
    """Convert pairs. Raises CalibrationError where there are none, or where a pair has other sizes than the first."""
    if not pairs:
        raise CalibrationError("no pair to calibrate with; give a source with one or more")
    for pair in pairs[1:]:
        for frame, first in ((pair.visible, pairs[0].visible), (pair.infrared, pairs[0].infrared)):
            if frame.size != first.size:
                sizes = ["x".join(map(str, f.size)) for f in (frame, first)]
                raise CalibrationError(
                    f"{pair.name}: its {frame.modality} frame is {sizes[0]}, that of {pairs[0].name} {sizes[1]}; give pairs of one set-up"
                )
    views = []
    for pair in pairs:
        infrared = grey(pair.infrared)
        views.append(
            View(
                pair.name,
                _undistorted(grey(pair.visible), visible_lens),
                _undistorted(infrared, infrared_lens),
                _undistorted(_seen(infrared), infrared_lens),
            )
        )
    return views


def digests(pairs: Sequence[FramePair]) -> tuple[str, ...]:
    """Return the sha256 of each frame's unprocessed pixels, visible then infrared, pair by pair."""
    return tuple(hashlib.sha256(f.data.tobytes()).hexdigest() for p in pairs for f in (p.visible, p.infrared))


def grey(frame: Frame) -> Float32Array:
    """Convert a frame to grey float32 (H, W), 0..255; 16-bit frames are stretched between percentiles."""
    data: NDArray[Any] = frame.data
    if frame.colour:
        data = cv2.cvtColor(data, cv2.COLOR_BGR2GRAY)
    scaled = data.astype(np.float32)
    if data.dtype == np.uint16:
        low, high = np.percentile(scaled, _PERCENTILES)
        scaled = np.clip((scaled - low) * np.float32(255 / max(high - low, 64)), 0, 255)
    return scaled


def _undistorted(picture: Float32Array, lens: Lens | None) -> Float32Array:
    return picture if lens is None else np.asarray(cv2.undistort(picture, lens.matrix, lens.distortion), np.float32)


def _seen(infrared: Float32Array) -> Float32Array:
    """Return 1 inside the convex hull of all nonzero pixels: a warped frame's wedges lie outside it, a black sky inside."""
    bright = cv2.erode((infrared > 0).astype(np.uint8), np.ones((3, 3), np.uint8))
    if bright.all() or not bright.any():
        return np.ones_like(infrared)
    mask = np.zeros_like(infrared)
    points = cv2.findNonZero(bright)
    cv2.fillConvexPoly(mask, cv2.convexHull(points), 1.0)
    return mask
