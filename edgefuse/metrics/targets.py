"""Contrast of targets that the fused picture keeps: do objects that stand out in one input stand out in it?

Fusion metrics do not measure that.

For each connected target of 30 pixels or more in a mask, the contrast on luma is C = |mean(target) - mean(ring)| / (std(ring) + 4).
The ring holds the pixels within 15 pixels of the target and not within 2 of any target.
kept = min(1, C(fused) / max(C(visible), C(infrared))).
A target whose ring has fewer than 50 pixels is skipped.

`seen` is the same in colour: means in CIE Lab (D65, L in 0..100), |.| the Euclidean distance, std(ring) the root of the three channels'
summed variances. A target that differs from its surroundings only in colour counts in `seen` but not in `kept`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefuse.metrics.planes import Image, check, luma

_SMALLEST_TARGET, _SMALLEST_RING = 30, 50  # pixels
_FAR, _NEAR = 15, 2  # the ring's distances from a target in each direction, in pixels
_NOISE = 4.0  # levels, added to the ring's standard deviation
_LEAST = 1e-6


@dataclass(frozen=True, slots=True)
class Kept:
    """Statistics of the kept contrast over targets. mean: 0..1. worst_tenth: mean of the lowest tenth, at least one target, 0..1.
    below_half: share of targets below 0.5, 0..1. targets: their number, 1 or more."""

    mean: float
    worst_tenth: float
    below_half: float
    targets: int


@dataclass(frozen=True, slots=True)
class _Target:
    rows: slice
    columns: slice
    inside: NDArray[np.bool_]
    ring: NDArray[np.bool_]

    def contrast(self, picture: Image) -> float:
        """Return the contrast in a luma picture (H, W)."""
        return _contrast(picture[self.rows, self.columns], self.inside, self.ring)

    def colour_contrast(self, picture: Image) -> float:
        """Return the contrast in CIE Lab of a picture (H, W) or (H, W, 3) BGR."""
        return _colour_contrast(_lab(picture[self.rows, self.columns]), self.inside, self.ring)


class Targets:
    """The targets of one pair, found once and compared with each fused picture."""

    def __init__(self, visible: Image, infrared: Image, mask: Image) -> None:
        """All uint8 (H, W) or (H, W, 3) BGR, of one size; targets are where the mask's luma is above 127. Raises InputError."""
        check(visible=visible, infrared=infrared, mask=mask)
        self._shape = visible.shape[:2]
        self._targets = _find(luma(mask))
        lumas = luma(visible), luma(infrared)
        self._best = [max(map(t.contrast, lumas)) for t in self._targets]
        self._best_seen = [max(map(t.colour_contrast, (visible, infrared))) for t in self._targets]

    def __len__(self) -> int:
        return len(self._targets)

    def kept(self, fused: Image) -> list[float]:
        """Return the kept contrast of each target, 0..1, in no particular order. fused: uint8 of the pair's size. Raises InputError."""
        check(pair=np.empty(self._shape, np.uint8), fused=fused)
        picture = luma(fused)
        return [min(1.0, t.contrast(picture) / max(best, _LEAST)) for t, best in zip(self._targets, self._best, strict=True)]

    def seen(self, fused: Image) -> list[float]:
        """Return the same in CIE Lab, which includes colour. fused: uint8 of the pair's size. Raises InputError for another."""
        check(pair=np.empty(self._shape, np.uint8), fused=fused)
        targets = zip(self._targets, self._best_seen, strict=True)
        return [min(1.0, t.colour_contrast(fused) / max(best, _LEAST)) for t, best in targets]


def summary(kept: Sequence[float]) -> Kept | None:
    """Summarise the kept contrasts of all targets of all pairs; None without targets."""
    if not kept:
        return None
    ordered = np.sort(np.array(kept))
    worst = ordered[: max(1, len(ordered) // 10)]
    return Kept(float(ordered.mean()), float(worst.mean()), float((ordered < 0.5).mean()), len(ordered))


def _find(mask: Image) -> list[_Target]:
    marked = (mask > 127).astype(np.uint8)
    excluded = _grown(marked, _NEAR)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(marked)
    targets = []
    for k in range(1, count):
        left, top, width, height, area = (int(v) for v in stats[k])
        if area < _SMALLEST_TARGET:
            continue
        # crop to the ring
        rows = slice(max(0, top - _FAR), top + height + _FAR)
        columns = slice(max(0, left - _FAR), left + width + _FAR)
        inside = labels[rows, columns] == k
        ring = _grown(inside.astype(np.uint8), _FAR) & ~excluded[rows, columns]
        if ring.sum() >= _SMALLEST_RING:
            targets.append(_Target(rows, columns, inside, ring))
    return targets


def _grown(marked: NDArray[np.uint8], pixels: int) -> NDArray[np.bool_]:
    grown: NDArray[np.uint8] = cv2.dilate(marked, np.ones((2 * pixels + 1, 2 * pixels + 1), np.uint8))
    return grown > 0


def _contrast(picture: Image, inside: NDArray[np.bool_], ring: NDArray[np.bool_]) -> float:
    around = picture[ring].astype(np.float64)
    return abs(float(picture[inside].mean()) - float(around.mean())) / (float(around.std()) + _NOISE)


def _lab(picture: Image) -> NDArray[np.float32]:
    """Convert uint8 (H, W) or (H, W, 3) BGR to CIE Lab, float32 (H, W, 3); grey counts as three equal channels."""
    colour: Image = cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR) if picture.ndim == 2 else picture
    lab: NDArray[np.float32] = cv2.cvtColor(colour.astype(np.float32) / 255, cv2.COLOR_BGR2Lab)
    return lab


def _colour_contrast(picture: NDArray[np.float32], inside: NDArray[np.bool_], ring: NDArray[np.bool_]) -> float:
    around = picture[ring].astype(np.float64)
    distance = float(np.linalg.norm(picture[inside].mean(axis=0, dtype=np.float64) - around.mean(axis=0)))
    return distance / (math.sqrt(float(around.var(axis=0).sum())) + _NOISE)
