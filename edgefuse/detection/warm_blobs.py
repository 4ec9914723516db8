"""Detector `warm-blobs`: people as upright warm blobs, in closed form. It needs no model.

1. `blobs` finds the regions that are warmer than what is around them.
2. The score of each is a product of factors from 0 to 1: its aspect, the share of its box that is warm, its contrast, the number of
   thresholds at which it stands alone, and its likeness to a figure (`silhouette`).
3. Where the camera gives degrees, a region that is as a whole colder or hotter than a person's surface can be is left out.
4. Of regions that overlap, the best is kept.

What stands and is warm is found: people, and also animals that sit up, posts in the sun and narrow windows. Motion is for the tracker.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgefuse.detection import blobs, silhouette
from edgefuse.detection.base import Detection, Detector, Look
from edgefuse.detection.blobs import Blobs
from edgefuse.frames import Frame
from edgefuse.util.arrays import Float32Array

_ASPECT, _ASPECT_SPREAD = 2.6, 0.5  # of a person who stands or walks, and the spread of its logarithm
_FILL, _FILL_SPREAD = 0.65, 0.24
_CONTRAST = 1.5  # from which the contrast is enough
_DIFFERENCE = (6.0, 40.0)  # levels: where the factor begins to rise, and where it is 1
_LIKENESS = (0.2, 0.6)
_SUPPORT = (0.6, 0.15)  # the factor without support, and what each further threshold adds
_CELSIUS = (5.0, 45.0)  # of a person's surface, clothes in winter to skin in the sun
_EXAMINED = 48  # regions that are compared with the figure
_WEAK = 0.3  # share of the least score from which a detection is reported
_INSIDE = 0.5  # overlap with the smaller box from which two regions are one


class WarmBlobs(Detector):
    """Works on the infrared frame, whatever the fusion model is."""

    def detect(self, look: Look) -> Sequence[Detection]:
        picture = blobs.working_picture(look.infrared)
        regions = blobs.find(picture)
        if not len(regions):
            return ()
        score = _shape_score(regions)
        examined = np.argsort(-score, kind="stable")[:_EXAMINED]
        regions, score = _taken(regions, examined), score[examined]
        score = score * _ramp(silhouette.likeness(picture, regions).astype(np.float64), *_LIKENESS)
        least = self.options.score * _WEAK
        people = []
        rows, columns = picture.shape
        for n in _separate(regions, score, least):
            left, top = regions.left[n] / columns, regions.top[n] / rows
            one = Detection(
                float(left), float(top), float(left + regions.width[n] / columns), float(top + regions.height[n] / rows), float(score[n])
            )
            if _temperate(look.fused.pair.infrared, one):
                people.append(one)
        return people


def _shape_score(regions: Blobs) -> NDArray[np.float64]:
    aspect = np.exp(-0.5 * (np.log(regions.height / regions.width / _ASPECT) / _ASPECT_SPREAD) ** 2)
    fill = np.exp(-0.5 * ((regions.fill - _FILL) / _FILL_SPREAD) ** 2)
    contrast = np.clip(regions.contrast / _CONTRAST, 0, 1) * _ramp(regions.difference, *_DIFFERENCE)
    score: NDArray[np.float64] = aspect * fill * contrast * np.clip(_SUPPORT[0] + _SUPPORT[1] * regions.support, 0, 1)
    return score


def _ramp(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    return np.clip((values - low) / (high - low), 0, 1)


def _taken(regions: Blobs, which: NDArray[np.intp]) -> Blobs:
    return Blobs(*(getattr(regions, name)[which] for name in Blobs.__slots__))


def _separate(regions: Blobs, score: NDArray[np.float64], least: float) -> list[int]:
    """Return the regions of at least that score, the likely and the large first, without those that share half of the smaller box with one
    before."""
    kept: list[int] = []
    area = regions.width * regions.height
    # a person's head and legs stand out more than the whole, which is preferred where it is nearly as likely
    for n in np.argsort(-score * np.sqrt(area), kind="stable").tolist():
        if score[n] < least:
            continue
        across = np.minimum(regions.left + regions.width, regions.left[n] + regions.width[n]) - np.maximum(regions.left, regions.left[n])
        down = np.minimum(regions.top + regions.height, regions.top[n] + regions.height[n]) - np.maximum(regions.top, regions.top[n])
        shared = np.maximum(0, across) * np.maximum(0, down) / np.minimum(area, area[n])
        if not (shared[kept] >= _INSIDE).any():
            kept.append(n)
    return kept


def _temperate(frame: Frame, where: Detection) -> bool:
    """Whether the warmer half of a box has a temperature that people have; True where the camera gives no degrees."""
    law, counts = frame.radiometry, frame.data
    if law is None or law.scale is None or counts.dtype != np.uint16 or counts.ndim != 2:
        return True
    rows, columns = counts.shape
    top, bottom = int(where.top * rows), max(int(where.top * rows) + 1, round(where.bottom * rows))
    left, right = int(where.left * columns), max(int(where.left * columns) + 1, round(where.right * columns))
    part: Float32Array = counts[top:bottom, left:right].astype(np.float32)
    valid = part[(part > 0) & (part < 65535)]
    if not valid.size:
        return False
    celsius = law.celsius(float(np.percentile(valid, 75)))
    return celsius is not None and _CELSIUS[0] <= celsius <= _CELSIUS[1]
