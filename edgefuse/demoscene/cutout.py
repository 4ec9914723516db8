"""Soft-edged cutouts: how a moving object is drawn, occluded by nearer ones, and blended into the static background."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from edgefuse.demoscene.optics import ZERO_C, Array
from edgefuse.demoscene.stage import Screen, convex, corners

_COLDEST, _STEP = -20.0, 0.3  # a sprite's temperature is quantised in steps of 0.3 degrees C from -20 degrees C


@dataclass(frozen=True, slots=True)
class Cutout:
    """A picture with soft edges to paste at (left, top), which may lie outside.

    z: distance across the street in metres; smaller z is in front.
    colour: uint8 (h, w, 4), BGR premultiplied by the fourth channel, the coverage.
    heat: float32 (h, w, 2), infrared counts premultiplied by the second channel, the coverage 0..1 in the (softer) infrared;
    None where the infrared shows nothing, as for a shadow.
    area: pixels of the whole object before occlusion.
    """

    z: float
    left: int
    top: int
    colour: Array
    heat: Array | None
    area: int = 0

    def within(self, width: int, height: int) -> tuple[slice, slice, slice, slice] | None:
        """Return the overlap as (rows, columns) of the picture and (rows, columns) of the cutout, or None."""
        h, w = self.colour.shape[:2]
        x0, y0, x1, y1 = max(self.left, 0), max(self.top, 0), min(self.left + w, width), min(self.top + h, height)
        if x0 >= x1 or y0 >= y1:
            return None
        return slice(y0, y1), slice(x0, x1), slice(y0 - self.top, y1 - self.top), slice(x0 - self.left, x1 - self.left)


def before(screens: Sequence[Screen], z: float, left: int, top: int, h: int, w: int) -> list[Screen]:
    """Merge the screens in front of z inside a box of the picture into one of the box's size; an empty list if there is none."""
    whole = np.zeros((h, w), np.uint8)
    for screen in screens:
        sh, sw = screen.mask.shape
        x0, y0, x1, y1 = (
            max(left, screen.left),
            max(top, screen.top),
            min(left + w, screen.left + sw),
            min(top + h, screen.top + sh),
        )
        if screen.z < z and x0 < x1 and y0 < y1:
            part = whole[y0 - top : y1 - top, x0 - left : x1 - left]
            np.maximum(part, screen.mask[y0 - screen.top : y1 - screen.top, x0 - screen.left : x1 - screen.left], out=part)
    return [Screen(float("-inf"), left, top, whole)] if whole.any() else []


def hide(cutout: Cutout, screens: Sequence[Screen]) -> None:
    """Remove, in place, the part of a cutout that nearer static objects hide."""
    h, w = cutout.colour.shape[:2]
    for screen in screens:
        if screen.z >= cutout.z:
            continue
        sh, sw = screen.mask.shape
        x0, y0 = max(cutout.left, screen.left), max(cutout.top, screen.top)
        x1, y1 = min(cutout.left + w, screen.left + sw), min(cutout.top + h, screen.top + sh)
        if x0 >= x1 or y0 >= y1:
            continue
        mask = screen.mask[y0 - screen.top : y1 - screen.top, x0 - screen.left : x1 - screen.left]
        if not cv2.countNonZero(mask):
            continue
        left = cv2.bitwise_not(mask)
        here = (slice(y0 - cutout.top, y1 - cutout.top), slice(x0 - cutout.left, x1 - cutout.left))
        cutout.colour[here] = cv2.multiply(cutout.colour[here], cv2.merge([left] * 4), scale=1 / 255)
        if cutout.heat is not None:
            cutout.heat[here] *= (left * np.float32(1 / 255))[..., None]


def paste(cutout: Cutout, visible: Array, infrared: Array) -> None:
    """Blend a cutout in place into the visible uint8 (H, W, 3) and the infrared uint16 (H, W)."""
    overlap = cutout.within(visible.shape[1], visible.shape[0])
    if overlap is None:
        return
    rows, columns, own_rows, own_columns = overlap
    colour = cutout.colour[own_rows, own_columns]
    keep = cv2.cvtColor(cv2.bitwise_not(cv2.extractChannel(colour, 3)), cv2.COLOR_GRAY2BGR)
    under = visible[rows, columns]
    cv2.add(cv2.multiply(under, keep, scale=1 / 255), cv2.cvtColor(colour, cv2.COLOR_BGRA2BGR), dst=under)
    if cutout.heat is None:
        return
    heat, counts = cutout.heat[own_rows, own_columns], infrared[rows, columns]
    counts[:] = counts * (1 - heat[..., 1]) + (heat[..., 0] + 0.5)


class Sprite:
    """Canvas for an object of smooth convex shapes, supersampled where the object is small."""

    def __init__(self, points: Array, soft: float) -> None:
        """points: (N, 2) pixels that bound the object. soft: standard deviation of the infrared's blur in pixels."""
        margin = int(np.ceil(2.5 * soft)) + 2
        low, high = np.floor(points.min(axis=0)).astype(int) - margin, np.ceil(points.max(axis=0)).astype(int) + margin
        self.left, self.top = int(low[0]), int(low[1])
        self.size = int(high[0] - low[0]), int(high[1] - low[1])
        self.fine = 4 if max(self.size) < 28 else 2 if max(self.size) < 260 else 1
        self.soft = soft
        w, h = self.size[0] * self.fine, self.size[1] * self.fine
        self.colour = np.zeros((h, w, 4), np.uint8)
        self.heat = np.zeros((h, w), np.uint8)

    def place(self, points: Array) -> Array:
        """Convert picture pixels (..., 2) to fixed-point corners on this canvas."""
        return corners((points - (self.left, self.top) + 0.5) * self.fine - 0.5)

    def draw(self, at: Array, bgr: Sequence[float] | None, celsius: float | None) -> None:
        """Fill a convex polygon of corners from `place` in the visible picture, the infrared one, or both."""
        if bgr is not None:
            convex(self.colour, at, (*bgr, 255.0))
        if celsius is not None:
            convex(self.heat, at, (min(max((celsius - _COLDEST) / _STEP, 1.0), 255.0),))

    def cutout(self, z: float) -> Cutout:
        """Return the drawing as a cutout at the picture's resolution."""
        colour, heat = self.colour, self.heat
        if self.fine > 1:
            colour = np.asarray(cv2.resize(colour, self.size, interpolation=cv2.INTER_AREA))
            heat = np.asarray(cv2.resize(heat, self.size, interpolation=cv2.INTER_AREA))
        cover = cv2.extractChannel(colour, 3)
        both = cv2.GaussianBlur(cv2.merge([heat, cover]), (0, 0), self.soft).astype(np.float32)
        both[..., 1] *= np.float32(1 / 255)
        both[..., 0] = both[..., 0] * np.float32(_STEP * 100) + both[..., 1] * np.float32(ZERO_C + _COLDEST * 100)
        return Cutout(z, self.left, self.top, colour, both, int(np.count_nonzero(cover > 127)))
