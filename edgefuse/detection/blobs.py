"""Finds compact regions that are warmer than what is around them, whatever their level: the components of many thresholds.

A region counts once for each threshold at which it stands alone; a warm object on a cooler background does so at many. All measures are of
the working picture, which is at most `WIDEST` pixels wide.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefuse.util.arrays import Float64Array, UInt8Array

WIDEST = 400  # pixels of the working picture; a wider frame is halved until it fits
_LEVELS = 16  # thresholds, between a median level of the picture and its hottest
_COOLEST = 0.4  # share of pixels below the lowest threshold
_SHORTEST, _NARROWEST = 8, 3  # pixels
_ASPECT = (1.15, 6.0)  # height / width
_FILL = 0.3  # least share of its box that a region covers
_SIDE, _ABOVE = 0.6, 0.15  # the ring around a box: shares of its width and height
_CONTRAST, _DIFFERENCE = 0.5, 6.0  # least contrast, and difference of means in levels
_MOST = 200  # regions that are compared with one another
_SAME = 0.6  # overlap from which regions of two thresholds are one
_NOISE = 4.0  # levels, added to the ring's standard deviation


@dataclass(frozen=True, slots=True)
class Blobs:
    """Regions of one picture, an array element each. left, top, width, height: of the box in pixels. fill: share of it that is warm.
    difference: mean of the box minus the ring's, levels. contrast: that / (the ring's standard deviation + 4). support: number of other
    thresholds at which nearly the same region stands alone."""

    left: Float64Array
    top: Float64Array
    width: Float64Array
    height: Float64Array
    fill: Float64Array
    difference: Float64Array
    contrast: Float64Array
    support: Float64Array

    def __len__(self) -> int:
        return len(self.left)


def working_picture(infrared: UInt8Array) -> UInt8Array:
    """Return an infrared frame, uint8 (H, W), halved until it is at most `WIDEST` wide, and smoothed over 3 x 3 pixels."""
    picture = infrared
    while picture.shape[1] > WIDEST:
        size = max(1, picture.shape[1] // 2), max(1, picture.shape[0] // 2)
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    return np.asarray(cv2.GaussianBlur(picture, (3, 3), 0), np.uint8)


def find(picture: UInt8Array) -> Blobs:
    """Return the upright warm regions of a working picture, uint8 (H, W)."""
    regions = _regions(picture)
    left, top, width, height, area, level = regions
    sums, squares = cv2.integral2(picture, sdepth=cv2.CV_64F)
    box = [v.astype(np.intp) for v in (left, top, left + width, top + height)]
    wide, high = np.maximum(3, width * _SIDE).astype(np.intp), np.maximum(2, height * _ABOVE).astype(np.intp)
    rows, columns = picture.shape
    outer = [
        np.maximum(0, box[0] - wide),
        np.maximum(0, box[1] - high),
        np.minimum(columns, box[2] + wide),
        np.minimum(rows, box[3] + high),
    ]
    inside, around = _box_sum(sums, box), _box_sum(sums, outer)
    pixels = width * height
    ring = np.maximum(1.0, (outer[2] - outer[0]) * (outer[3] - outer[1]) - pixels)
    mean = (around - inside) / ring
    spread = np.sqrt(np.maximum(0.0, (_box_sum(squares, outer) - _box_sum(squares, box)) / ring - mean * mean))
    difference = inside / np.maximum(1.0, pixels) - mean
    contrast = difference / (spread + _NOISE)
    kept = np.flatnonzero((contrast > _CONTRAST) & (difference > _DIFFERENCE))
    if len(kept) > _MOST:
        kept = kept[np.argsort(-contrast[kept], kind="stable")[:_MOST]]
    chosen = [v[kept] for v in (left, top, width, height)]
    fill, support = (area / np.maximum(1.0, pixels))[kept], _support(chosen, level[kept])
    return Blobs(chosen[0], chosen[1], chosen[2], chosen[3], fill, difference[kept], contrast[kept], support)


def _regions(picture: UInt8Array) -> tuple[Float64Array, ...]:
    """Return left, top, width, height, area and threshold's number of all components that may be a person."""
    rows, columns = picture.shape
    histogram = np.bincount(picture[::2, ::2].reshape(-1), minlength=256)
    lowest = int(np.searchsorted(np.cumsum(histogram), _COOLEST * histogram.sum()))
    highest = int(picture.max(initial=0))
    components = [np.zeros((0, 6))]
    # closer together where it is cooler, because clothes are little warmer than what is behind them
    steps = np.linspace(0, 1, _LEVELS + 2)[1:-1] ** 2
    thresholds = np.unique((lowest + (highest - lowest) * steps).round().astype(int))
    for number, threshold in enumerate(thresholds.tolist()):
        mask = cv2.threshold(picture, threshold, 1, cv2.THRESH_BINARY)[1]
        stats = cv2.connectedComponentsWithStats(mask, connectivity=4, ltype=cv2.CV_16U)[2][1:].astype(np.float64)
        _, _, width, height, area = stats.T
        upright = (height >= _ASPECT[0] * width) & (height <= _ASPECT[1] * width) & (area >= _FILL * width * height)
        fits = (height >= _SHORTEST) & (width >= _NARROWEST) & (height < 0.95 * rows) & (width < 0.95 * columns)
        chosen = stats[upright & fits]
        components.append(np.column_stack([chosen, np.full(len(chosen), float(number))]))
    return tuple(np.concatenate(components).T)


def _box_sum(sums: Float64Array, box: list[NDArray[np.intp]]) -> Float64Array:
    left, top, right, bottom = box
    total: Float64Array = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
    return total


def _support(box: list[Float64Array], level: Float64Array) -> Float64Array:
    """Return for each region the number of other thresholds at which one overlaps it by `_SAME` or more."""
    same = overlaps(box) >= _SAME
    support = np.zeros(len(level))
    for number in np.unique(level):
        support += same[:, level == number].any(axis=1) & (level != number)
    return support


def overlaps(box: list[Float64Array]) -> Float64Array:
    """Return the intersection over union of each two boxes (left, top, width, height), (N, N)."""
    left, top, width, height = box
    across = np.minimum.outer(left + width, left + width) - np.maximum.outer(left, left)
    down = np.minimum.outer(top + height, top + height) - np.maximum.outer(top, top)
    shared = np.maximum(0, across) * np.maximum(0, down)
    area = width * height
    union: Float64Array = np.add.outer(area, area) - shared
    return np.asarray(shared / np.maximum(1e-9, union))
