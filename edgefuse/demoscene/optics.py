"""The demo's geometry and light: where a point of the street appears in the picture, and how much light falls on it.

The world is in metres: x along the street, y up, z away from the camera across the street. The camera stands CAMERA_HEIGHT above
x = z = 0. Colours are BGR. A time of day is a number: 0 day, 1 dusk, 2 night, with fractions in between.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
BGR = tuple[float, float, float]

LOOP_S = 20.0  # period of everything that walks, drives and sways
VIGNETTE = 0.28  # relative darkening of the visible picture's corners
CAMERA_HEIGHT = 5.0
YAW = -0.16
SHADOW = (0.95, 0.42)  # shadow length along x and z per metre of height
ZERO_C = 27315  # counts (0.01 K) at 0 degrees Celsius


@dataclass(frozen=True, slots=True)
class PinholeCamera:
    """A pinhole camera with a shifted lens, which keeps vertical lines vertical. `mirror` is 1, or -1 for a mirrored street."""

    width: int
    height: int
    mirror: int

    @property
    def scale(self) -> float:
        """Picture scale relative to the 640x480 design size."""
        return max(min(self.height / 480, self.width / 640), self.width / 1200)

    @property
    def focal(self) -> float:
        """Focal length in pixels."""
        return 560 * self.scale

    @property
    def horizon(self) -> float:
        """Row of the horizon; negative (above the picture) where the picture is too wide for its height to hold sky and street."""
        return min(0.29 * self.height, 0.62 * self.height - self.focal * CAMERA_HEIGHT / 18)

    def project(self, points: Array) -> tuple[Array, Array]:
        """Project (..., 3) metres to (..., 2) pixels (pixel centres are integers) and (...) depths in metres."""
        sin, cos = math.sin(YAW), math.cos(YAW)
        depth = np.maximum(points[..., 0] * sin + points[..., 2] * cos, 0.2)
        across = points[..., 0] * cos - points[..., 2] * sin
        out = np.empty((*depth.shape, 2))
        out[..., 0] = (self.width - 1) / 2 + self.mirror * self.focal * across / depth
        out[..., 1] = self.horizon + self.focal * (CAMERA_HEIGHT - points[..., 1]) / depth
        return out, depth

    def ground(self, left: int, top: int, right: int, bottom: int) -> tuple[Array, Array, Array]:
        """Return float32 x, z and depth (metres) of the ground at the pixels of a box; rows above the horizon get a far distance."""
        row = np.arange(top, bottom, dtype=np.float32)[:, None]
        column = np.arange(left, right, dtype=np.float32)[None, :]
        depth = self.focal * CAMERA_HEIGHT / np.maximum(row - np.float32(self.horizon), 0.25)
        across = (column - (self.width - 1) / 2) * (self.mirror / self.focal) * depth
        sin, cos = np.float32(np.sin(YAW)), np.float32(np.cos(YAW))
        return across * cos + depth * sin, depth * cos - across * sin, np.broadcast_to(depth, across.shape)

    def vignette(self, fall: float) -> Array:
        """Return the vignetting factor, float32 (height, width): 1 at the centre, 1 - fall in the corners."""
        row = np.linspace(-1, 1, self.height, dtype=np.float32)[:, None]
        column = np.linspace(-1, 1, self.width, dtype=np.float32)[None, :]
        return np.asarray(1 - fall * (row**2 + column**2) / 2, np.float32)

    def lens(self, fall: float, column: float, row: float) -> float:
        """Return `vignette` at the pixel nearest to a position."""
        x = np.float32(2 * min(max(int(column), 0), self.width - 1) / (self.width - 1) - 1)
        y = np.float32(2 * min(max(int(row), 0), self.height - 1) / (self.height - 1) - 1)
        return float(1 - fall * (y * y + x * x) / 2)


@dataclass(frozen=True, slots=True)
class Light:
    """Light on a white surface, as a factor per channel, from the sky, the sun and the street lamp.

    glow: brightness of self-luminous objects, 0..1. noise: standard deviation of the visible sensor's noise in grey levels.
    """

    ambient: BGR
    sun: BGR
    lamp: BGR
    glow: float
    noise: float

    def on(self, sun: float, lamp: float) -> Array:
        """Return the light, float64 (3,), on a surface that receives these fractions of the sun and the lamp."""
        return np.asarray(self.ambient) + np.asarray(self.sun) * sun + np.asarray(self.lamp) * lamp

    def times(self, share: float) -> Light:
        """Return the same light scaled by a factor."""
        nothing = (0.0, 0.0, 0.0)
        ambient, sun, lamp = (mix(nothing, bgr, share) for bgr in (self.ambient, self.sun, self.lamp))
        return Light(ambient, sun, lamp, self.glow, self.noise)


DAY = Light((0.54, 0.49, 0.44), (0.54, 0.67, 0.73), (0.0, 0.0, 0.0), 0.0, 1.7)
DUSK = Light((0.30, 0.215, 0.21), (0.05, 0.15, 0.30), (0.13, 0.23, 0.32), 0.75, 3.6)
NIGHT = Light((0.064, 0.043, 0.036), (0.0, 0.0, 0.0), (0.38, 0.66, 0.90), 1.0, 6.5)
KEYS = (DAY, DUSK, NIGHT)


def light_at(time: float) -> Light:
    """Return the light at a time of day in [0, 2]."""
    low, share = split(time)
    a, b = KEYS[low], KEYS[min(low + 1, 2)]
    ambient, sun, lamp = (mix(x, y, share) for x, y in ((a.ambient, b.ambient), (a.sun, b.sun), (a.lamp, b.lamp)))
    return Light(ambient, sun, lamp, a.glow + (b.glow - a.glow) * share, a.noise + (b.noise - a.noise) * share)


def split(time: float) -> tuple[int, float]:
    """Split a time of day into the index of the key light before it and the fraction [0, 1] of the way to the next."""
    low = min(max(int(time), 0), 2)
    return low, min(max(time - low, 0.0), 1.0)


def at(time: float, keys: tuple[float, float, float]) -> float:
    """Interpolate a quantity given for day, dusk and night at a time of day."""
    low, share = split(time)
    return keys[low] + (keys[min(low + 1, 2)] - keys[low]) * share


def mix(a: BGR, b: BGR, share: float) -> BGR:
    """Interpolate linearly between two colours."""
    return (a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share, a[2] + (b[2] - a[2]) * share)


def lamp_light(lamp: tuple[float, float, float], x: Array | float, y: Array | float, z: Array | float) -> Array:
    """Return the street lamp's light at points in metres, about 1 below it: a cone that falls off with distance."""
    dx, dy, dz = x - lamp[0], lamp[1] - y, z - lamp[2]
    distance2 = dx * dx + dy * dy + dz * dz + 0.25
    edge = np.clip((dy / np.sqrt(distance2) - 0.42) / 0.42, 0, 1)
    return np.asarray(np.minimum(36 / distance2, 1.6) * (edge * edge * (3 - 2 * edge) * 0.94 + 0.06))


def tile(rng: np.random.Generator, rows: int, columns: int, slope: float, stretch: float = 1.0) -> Array:
    """Return cloud-like noise that tiles: float32 (rows, columns), mean 0 and standard deviation 1.

    slope: 0 for white noise, 2 for soft. stretch: width of its shapes relative to their height.
    """
    fy = np.fft.fftfreq(rows)[:, None].astype(np.float32)
    fx = np.fft.rfftfreq(columns)[None, :].astype(np.float32) * stretch
    radius = np.sqrt(fy**2 + fx**2)
    radius[0, 0] = 1
    spectrum = np.fft.rfft2(rng.standard_normal((rows, columns), dtype=np.float32)) * radius**-slope
    spectrum[0, 0] = 0
    field = np.fft.irfft2(spectrum, s=(rows, columns)).astype(np.float32)
    return np.asarray(field / field.std(), np.float32)
