"""Canvas for the demo's static scene: the surface in each pixel, before any light falls on it.

A surface is twelve numbers: 0-2 reflectance in BGR (0..255), 3-5 temperature by day, dusk and night (degrees Celsius), 6 fraction
of the sun, 7 fraction of the lamp, 8-10 own light at night in BGR (0..255), 11 coverage of the pixel (the rest is sky).
Everything is painted with soft masks, so edges are smooth and all numbers stay premultiplied by the coverage.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edgefuse.demoscene.optics import BGR, ZERO_C, Array, Light, PinholeCamera

REFLECTANCE, HEAT, GLOW = slice(0, 3), slice(3, 6), slice(8, 11)
SUN, LAMP, COVER = 6, 7, 11
WARMED = (1.0, 0.55, 0.12)  # fraction of the sun's warming that remains by day, at dusk and at night
_GLARE: BGR = (120.0, 190.0, 230.0)
_FINE = 4  # fractional bits of a pixel in polygon corners

Heat = tuple[float, float, float]


def surface(bgr: BGR, heat: Heat, sun: float = 0.0, lamp: float = 0.0, glow: BGR = (0.0, 0.0, 0.0)) -> Array:
    """Return a surface that covers its whole pixel, float32 (12,)."""
    return np.array([*bgr, *heat, sun, lamp, *glow, 1.0], np.float32)


def sunned(what: Array, share: float | Array, gain: float) -> Array:
    """Return a copy of surfaces (..., 12) that gets `share` of the sun and is warmed by up to `gain` degrees."""
    out = what.copy()
    out[..., SUN] = share
    for key, kept in enumerate(WARMED):
        out[..., HEAT.start + key] += share * (gain * kept)
    return out


def upright(x0: float, y0: float, x1: float, y1: float, z: float) -> Array:
    """Return a vertical rectangle in metres facing the camera, float32 (4, 3), clockwise from the top left; y0 is its foot."""
    return np.array([[x0, y1, z], [x1, y1, z], [x1, y0, z], [x0, y0, z]], np.float32)


def corners(points: Array) -> Array:
    """Convert pixels (N, 2) to the fixed-point corners that cv2 draws with at shift=_FINE."""
    return np.round(np.clip(points, -30000, 30000) * (1 << _FINE)).astype(np.int32)


def polygon(image: Array, points: Array, colour: tuple[float, ...]) -> None:
    """Fill an antialiased polygon of (N, 2) pixels into a uint8 image."""
    cv2.fillPoly(image, [corners(points)], colour, cv2.LINE_AA, _FINE)


def convex(image: Array, points: Array, colour: tuple[float, ...]) -> None:
    """Fill a convex polygon, faster than `polygon`. `points` come from `corners`."""
    cv2.fillConvexPoly(image, points, colour, cv2.LINE_AA, _FINE)


@dataclass(frozen=True, slots=True)
class Screen:
    """A static object that hides everything farther than z (metres). mask: uint8 (h, w) at (left, top)."""

    z: float
    left: int
    top: int
    mask: Array


ROWS = 32  # rows painted at a time


class Stage:
    """Image of surfaces, float32 (height, width, 12), and the masks of static objects that can hide moving ones."""

    def __init__(self, camera: PinholeCamera) -> None:
        self.camera = camera
        self.pixels = np.zeros((camera.height, camera.width, 12), np.float32)
        self.screens: list[Screen] = []

    def box(self, points: Array) -> tuple[int, int, int, int] | None:
        """Return the (left, top, right, bottom) that holds (N, 2) pixels and a margin; None where they are all outside the picture."""
        left, top = np.floor(points.min(axis=0)).astype(int) - 2
        right, bottom = np.ceil(points.max(axis=0)).astype(int) + 3
        left, top, right, bottom = max(left, 0), max(top, 0), min(right, self.camera.width), min(bottom, self.camera.height)
        return (int(left), int(top), int(right), int(bottom)) if left < right and top < bottom else None

    def fill(self, points: Array, what: Array, z: float | None = None) -> None:
        """Paint a polygon of (N, 2) pixels with a surface, (12,) or (h, w, 12) over its `box`. With z it also becomes a screen."""
        if (mask := self._mask(points, z)) is not None:
            self._blend(*mask, what, slice(None))

    def _mask(self, points: Array, z: float | None) -> tuple[int, int, Array] | None:
        """Return (left, top, mask) of a polygon; None where it lies outside the picture."""
        box = self.box(points)
        if box is None:
            return None
        left, top, right, bottom = box
        mask = np.zeros((bottom - top, right - left), np.uint8)
        polygon(mask, points - (left, top), (255,))
        if z is not None:
            self.screens.append(Screen(z, left, top, mask))
        return left, top, mask

    def _blend(self, left: int, top: int, mask: Array, what: Array, channels: slice) -> None:
        """Paint some channels a few rows at a time, because a wall's twelve at once would need more memory than all the rest."""
        for row in range(0, mask.shape[0], ROWS):
            cover = mask[row : row + ROWS].astype(np.float32)[..., None] / 255
            roi = self.pixels[top + row : top + row + len(cover), left : left + mask.shape[1], channels]
            roi += ((what if what.ndim == 1 else what[row : row + ROWS]) - roi) * cover

    def over(self, top: int, what: Array, mask: Array) -> None:
        """Paint surfaces (h, width, 12) from row `top` on through a mask (h, width) in [0, 1]."""
        for row in range(0, len(what), ROWS):
            roi = self.pixels[top + row : top + row + len(what[row : row + ROWS])]
            roi += (what[row : row + ROWS] - roi) * mask[row : row + ROWS, :, None].astype(np.float32)

    def flat(self, points: Array, what: Array, z: float | None = None) -> None:
        """Paint a polygon given as (N, 3) metres, as `fill` does."""
        self.fill(self.camera.project(points)[0], what, z)

    def paint_texture(self, texture: Array, quad: Array, z: float | None = None) -> None:
        """Map a texture of surfaces, float32 (h, w, 12), onto four points in metres, clockwise from the top left."""
        points = self.camera.project(quad)[0]
        box = self.box(points)
        if box is None:
            return
        left, top, right, bottom = box
        h, w = texture.shape[:2]
        source = np.array([[-0.5, -0.5], [w - 0.5, -0.5], [w - 0.5, h - 0.5], [-0.5, h - 0.5]], np.float32)
        matrix = cv2.getPerspectiveTransform(source, (points - (left, top)).astype(np.float32))
        size, flags, edge = (right - left, bottom - top), cv2.INTER_LINEAR, cv2.BORDER_REPLICATE
        mask = self._mask(points, z)
        assert mask is not None
        for first in (0, 4, 8):  # cv2 warps four channels at a time
            channels = slice(first, first + 4)
            part = np.ascontiguousarray(texture[..., channels])
            self._blend(*mask, cv2.warpPerspective(part, matrix, size, flags=flags, borderMode=edge), channels)

    def block(self, low: Heat, high: Heat, what: Array, gain: float, faces: Heat = (0.55, 0.0, 1.0)) -> None:
        """Paint an upright block between two corners in metres. faces: fraction of the sun on its front, its end and its top."""
        (x0, y0, z0), (x1, y1, z1) = low, high
        end = x1 if x1 < 0 else x0  # the end that the camera sees
        for share, quad in (
            (faces[2], [[x0, y1, z0], [x1, y1, z0], [x1, y1, z1], [x0, y1, z1]]),
            (faces[1], [[end, y0, z0], [end, y1, z0], [end, y1, z1], [end, y0, z1]]),
            (faces[0], [[x0, y0, z0], [x1, y0, z0], [x1, y1, z0], [x0, y1, z0]]),
        ):
            self.flat(np.array(quad, np.float32), sunned(what, share, gain), z0)

    def merged(self) -> list[Screen]:
        """Return the screens, merged where they have the same z."""
        out = []
        for z in sorted({screen.z for screen in self.screens}):
            parts = [screen for screen in self.screens if screen.z == z]
            left, top = min(p.left for p in parts), min(p.top for p in parts)
            right, bottom = max(p.left + p.mask.shape[1] for p in parts), max(p.top + p.mask.shape[0] for p in parts)
            mask = np.zeros((bottom - top, right - left), np.uint8)
            for p in parts:
                roi = mask[p.top - top : p.top - top + p.mask.shape[0], p.left - left : p.left - left + p.mask.shape[1]]
                np.maximum(roi, p.mask, out=roi)
            out.append(Screen(z, left, top, mask))
        return out

    def visible(self, light: Light, vignette: Array, halo: Array) -> Array:
        """Return uint8 (height, width, 3) BGR under a light, premultiplied by coverage. halo: float32 (height, width), the lamp's glare."""
        out = np.empty((*self.pixels.shape[:2], 3), np.uint8)
        for row in range(0, len(out), ROWS):
            rows = slice(row, row + ROWS)
            p = self.pixels[rows]
            for c in range(3):
                shade = light.sun[c] * p[..., SUN] + light.lamp[c] * p[..., LAMP] + light.ambient[c]
                lit = np.minimum((p[..., c] * shade + p[..., 8 + c] * light.glow) * vignette[rows], 255)
                out[rows, :, c] = np.clip(lit + halo[rows] * np.float32(_GLARE[c]) * np.float32(light.glow), 0, 255)
        return out

    def counts(self, key: int) -> Array:
        """Return float32 (height, width) infrared counts by day (0), at dusk (1) or at night (2), premultiplied by coverage."""
        return np.asarray(self.pixels[..., HEAT.start + key] * 100 + self.pixels[..., COVER] * ZERO_C, np.float32)
