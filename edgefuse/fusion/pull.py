"""Targets: where the plain blend would lose a warm thing's contrast, the fused frame is pulled toward the infrared frame.

1. `lost` (edgefuse.fusion.lost): the infrared contrast that the plainly blended frame lacks, at an eighth of the size.
2. The mask T = clip(lost - c), c the larger of 0.3 and the level that leaves at most a quarter of the frame above it: a budget, so
   that a frame full of warm things stays a picture. Times the network's evidence for a target, and smoothed over 3 x 3 cells. All of
   these rise slowly: what moves by must not make its surroundings jump.
3. A guided filter (He et al.; its coefficients at an eighth of the size, after He and Sun's "Fast Guided Filter") draws the mask to the
   warm thing's own edges, at a quarter of the size.
4. There the fused frame goes 0.8 T of the way to a patch: the infrared frame, shifted so that its mean over 25 x 25 cells is the
   blend's, its warm parts a little brighter. So the contrast is kept, and the surroundings' brightness, too. Visible fine details
   lose 0.3 T.

A patch is no mix of the two frames: it holds the infrared frame's structure at the blend's brightness.
"""

from __future__ import annotations

import cv2
import numpy as np

from edgefuse.fusion import lost
from edgefuse.util.arrays import Float32Array, UInt8Array

_KEEP = 0.95  # share of the contrast that is enough
# contrast lost where the mask begins, and by how much more it is 1; the share of the frame that may be pulled: at readiness 1, and 2
_LEAST, _WIDTH, _BUDGET = (0.3, 0.1), 1.0, (0.25, 0.4)
_EVIDENCE, _EVIDENCE_RISE = 0.2, 2.0  # where the network's gate begins to open, and how fast
_READY = 0.7  # by which readiness moves that
_EDGE = 60.0  # variance in levels that is an edge to the guided filter
_BASE, _DETAIL = 0.8, 0.3  # shares of the pull
_AROUND = (25, 25)  # cells that brightness is matched over
_WARM, _BRIGHTER, _BRIGHTEST = 10.0, 0.15, 250.0


class Pull:
    """Targets of frames of one size."""

    def __init__(self, shape: tuple[int, int], readiness: float, finder: type[lost.LostContrast] | None = None) -> None:
        """shape: (rows, columns) of an eighth of the padded frame. readiness: how readily a target is taken for one, 0 (none) to 2 (all).
        finder: how `lost` is computed, the fastest way there is unless told.
        """
        self._finder = (finder or lost.best())(shape)
        self._readiness = readiness
        # below 1 the mask begins later, in inverse proportion
        lower, higher = max(1e-3, min(1.0, readiness)), max(0.0, readiness - 1)
        self._least = (_LEAST[0] + (_LEAST[1] - _LEAST[0]) * higher) / lower * lost.STEPS
        self._budget = (_BUDGET[0] + (_BUDGET[1] - _BUDGET[0]) * higher) * lower
        self._gate = _EVIDENCE + _READY * (1 - readiness)
        self._quarter = np.empty((2 * shape[0], 2 * shape[1]), np.float32)
        self._less = np.empty(self._quarter.shape, np.uint8)

    def mask(self, infrared: UInt8Array, fused: UInt8Array, evidence: Float32Array | None) -> Float32Array:
        """How far each cell is pulled, float32 in [0, 1].

        infrared, fused: uint8 at an eighth of the size, contiguous; evidence: for a target, float32 in [0, 1] of that shape, or None.
        """
        if not self._readiness:
            return np.zeros(infrared.shape, np.float32)
        found = lost.lost_contrast(self._finder, infrared, fused, _KEEP)
        mask: Float32Array = self._levels(found)[found]
        if evidence is not None:
            mask *= np.clip((evidence - np.float32(self._gate)) * np.float32(_EVIDENCE_RISE), 0, 1)
        return cv2.blur(mask, (3, 3))

    def _levels(self, found: UInt8Array) -> Float32Array:
        """The mask's value for each of 256 levels of `found`."""
        above = found.size - np.cumsum(np.bincount(found.ravel(), minlength=256))
        begin = max(self._least, int(np.argmax(above <= self._budget * found.size)))
        return np.clip((np.arange(256, dtype=np.float32) - np.float32(begin)) / np.float32(_WIDTH * lost.STEPS), 0, 1)

    def edges(self, mask: Float32Array, infrared: UInt8Array, quarter: UInt8Array) -> Float32Array:
        """The mask at a quarter of the size, drawn to the edges of the infrared frame: float32 in [0, 1], the caller's.

        infrared, quarter: uint8 at an eighth and at a quarter of the size.
        """
        guide: Float32Array = infrared.astype(np.float32)
        mean_guide, mean_mask, product, square = (_mean(x) for x in (guide, mask, guide * mask, guide * guide))
        variance = square - mean_guide * mean_guide + np.float32(_EDGE)
        own: Float32Array = np.divide(product - mean_guide * mean_mask, variance, dtype=np.float32)
        slope, offset = _mean(own), _mean(mean_mask - own * mean_guide)
        drawn = cv2.resize(slope, quarter.shape[::-1], interpolation=cv2.INTER_LINEAR)
        np.multiply(drawn, quarter, out=drawn)
        np.add(drawn, cv2.resize(offset, quarter.shape[::-1], dst=self._quarter, interpolation=cv2.INTER_LINEAR), out=drawn)
        return np.clip(drawn, 0, 1, out=drawn)

    def apply(self, mask: Float32Array, fused: UInt8Array, quarter: UInt8Array, base: UInt8Array, infrared: UInt8Array) -> UInt8Array:
        """Pull `fused` (uint8, a quarter of the size) to the patch, in place; what the visible details' weight loses, in 255ths.

        mask: of `edges`. quarter, infrared: the infrared frame at a quarter and at an eighth; base: the fused base at an eighth.
        """
        patch = cv2.resize(self._shift(base, infrared), quarter.shape[::-1], dst=self._quarter, interpolation=cv2.INTER_LINEAR)
        np.add(patch, quarter, out=patch)
        np.clip(patch, 0, 255, out=patch)
        np.subtract(patch, fused, out=patch)
        np.multiply(patch, mask, out=patch)
        np.multiply(patch, np.float32(_BASE), out=patch)
        np.add(patch, fused, out=patch)
        cv2.convertScaleAbs(patch, dst=fused)
        return cv2.convertScaleAbs(mask, dst=self._less, alpha=255 * _DETAIL)

    def _shift(self, base: UInt8Array, infrared: UInt8Array) -> Float32Array:
        """What is added to the infrared frame to make the patch, in levels, float32 at an eighth of the size."""
        own = cv2.blur(infrared.astype(np.float32), _AROUND)
        brighter = np.maximum(infrared - own - np.float32(_WARM), 0)
        room = np.float32(_BRIGHTEST) - cv2.dilate(infrared, np.ones((5, 5), np.uint8))
        shift: Float32Array = np.minimum(cv2.blur(base.astype(np.float32), _AROUND) - own, room)
        return shift + brighter * np.float32(_BRIGHTER)


def _mean(x: Float32Array) -> Float32Array:
    return cv2.blur(x, (3, 3))
