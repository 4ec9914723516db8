"""The demo's cars: a side view extruded across the car's width, so that the visible faces follow the camera's view.

A car is a table of faces in its own frame (ahead, up, across; metres), projected together and painted in order.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from edgefuse.demoscene.cutout import Cutout, Sprite
from edgefuse.demoscene.figures import shadow_points, soft_shadow
from edgefuse.demoscene.optics import BGR, LOOP_S, Array, Light, PinholeCamera, at

Keys = tuple[float, float, float]
Side = Literal["top", "flank", "front", "rear", "glass", "shine"]
WHEEL, _FLANK, _TREAD = 0.32, -0.84, -0.86  # wheel radius, and the across coordinates of the visible side and of its wheels
_BODY: tuple[Keys, Keys] = ((16.0, 13.0, 6.0), (17.5, 12.5, 2.0))
_GLASS: tuple[Keys, Keys] = ((8.5, 6.5, 4.5), (6.0, 3.5, -0.5))
_BONNET: tuple[Keys, Keys] = ((25.5, 24.0, 18.5), _BODY[1])
_WING: tuple[Keys, Keys] = ((22.0, 19.5, 13.0), _BODY[1])  # warmed by the engine behind it
_FRONT: tuple[Keys, Keys] = ((28.0, 27.0, 24.0), _BODY[1])
_REAR: tuple[Keys, Keys] = ((17.5, 14.5, 8.0), _BODY[1])
_UNDER: tuple[Keys, Keys] = ((19.0, 18.0, 14.0), (14.0, 12.0, 6.0))
_TYRE: tuple[Keys, Keys] = ((26.0, 25.0, 21.0), (15.0, 13.0, 7.0))
_HUB: tuple[Keys, Keys] = ((36.0, 35.5, 34.0), (15.0, 12.0, 5.0))
_LAMPS: tuple[Keys, Keys] = ((30.0, 33.0, 33.0), _BODY[1])
_PANE: BGR = (66, 57, 50)
_AXLES = (-1.32, 1.30)


@dataclass(frozen=True, slots=True)
class _Face:
    """A flat convex face of a car.

    points: (N, 3). bgr: None for the car's own paint, scaled by `tone`. light: which light falls on it.
    heat: temperatures by day, at dusk and at night, of a driving and of a parked car.
    turns: hide the face where it points away from the camera.
    """

    points: list[tuple[float, float, float]]
    light: Side
    heat: tuple[Keys, Keys]
    bgr: BGR | None = None
    tone: float = 1.0
    turns: bool = False


@dataclass(frozen=True, slots=True)
class _Strip:
    """A corner of the side outline, and the face that spans the car's width from it to the next corner."""

    ahead: float
    up: float
    half: float
    light: Side
    heat: tuple[Keys, Keys]
    bgr: BGR | None = None
    tone: float = 0.8


_OUTLINE = (
    _Strip(-2.08, 0.28, 0.80, "rear", _REAR),
    _Strip(-2.14, 0.62, 0.84, "rear", _REAR),
    _Strip(-2.08, 0.98, 0.82, "glass", _GLASS, _PANE, 1.35),
    _Strip(-1.62, 1.42, 0.64, "top", _BODY, tone=1.05),
    _Strip(-0.90, 1.50, 0.63, "top", _BODY, tone=1.05),
    _Strip(0.10, 1.47, 0.64, "glass", _GLASS, _PANE, 1.35),
    _Strip(0.92, 0.99, 0.80, "top", _BONNET, tone=1.05),
    _Strip(1.82, 0.84, 0.80, "top", _BONNET, tone=1.05),
    _Strip(2.08, 0.66, 0.80, "front", _FRONT),
    _Strip(2.14, 0.28, 0.78, "front", _FRONT),
)


def _flank(*points: tuple[float, float], lean: bool = False) -> list[tuple[float, float, float]]:
    """Return points (ahead, up) on the side toward the camera; with `lean` the side narrows above the waist."""
    return [(x, y, _FLANK + (max(y - 0.98, 0) * 0.38 if lean else 0.0)) for x, y in points]


def _faces() -> list[_Face]:
    """Return all faces of a car except the wheel spokes, in painting order."""
    belly = [(-1.9, 0.08, -0.7), (1.9, 0.08, -0.7), (1.9, 0.4, -0.7), (-1.9, 0.4, -0.7)]
    faces = [_Face(belly, "flank", _UNDER, (28, 28, 30))]
    for a, b in pairwise(_OUTLINE):
        quad = [(a.ahead, a.up, -a.half), (b.ahead, b.up, -b.half), (b.ahead, b.up, b.half), (a.ahead, a.up, a.half)]
        faces.append(_Face(quad, a.light, a.heat, a.bgr, a.tone, turns=True))
    plate: BGR = (210, 216, 218)
    quad = [(-2.12, 0.36, -0.26), (-2.12, 0.5, -0.26), (-2.12, 0.5, 0.26), (-2.12, 0.36, 0.26)]
    faces.append(_Face(quad, "rear", _REAR, plate, turns=True))
    faces.append(_Face([(-x, y, z) for x, y, z in quad[::-1]], "front", _FRONT, plate, turns=True))
    side = ((-2.08, 0.24), (-2.14, 0.62), (-2.08, 0.98), (0.92, 0.99), (1.82, 0.84), (2.10, 0.66), (2.14, 0.24))
    cabin = _flank((-2.02, 0.98), (-1.62, 1.42), (-0.9, 1.5), (0.10, 1.47), (0.92, 0.99), lean=True)
    panes = (
        _flank((-1.72, 1.0), (-1.48, 1.36), (-0.94, 1.42), (-0.94, 1.0), lean=True),
        _flank((-0.84, 1.0), (-0.84, 1.42), (0.06, 1.40), (0.72, 1.0), lean=True),
    )
    waist = _flank((-2.14, 0.62), (-2.1, 0.72), (1.98, 0.74), (2.1, 0.64), (2.13, 0.5), (-2.13, 0.5))
    faces += [
        _Face(cabin, "flank", _BODY, tone=0.9),
        _Face(_flank(*side), "flank", _BODY, tone=0.92),
        _Face(waist, "flank", _BODY, tone=1.12),
        _Face(_flank((-2.10, 0.40), (2.13, 0.40), (2.14, 0.24), (-2.08, 0.24)), "flank", _BODY, tone=0.5),
        _Face(_flank((1.0, 0.95), (1.75, 0.82), (1.95, 0.66), (1.0, 0.6)), "flank", _WING),
        *(_Face(pane, "glass", _GLASS, _PANE, 0.95) for pane in panes),
    ]
    for x in (-0.89, 0.72, -1.78):  # gaps between the doors
        faces.append(_Face(_flank((x, 0.97), (x + 0.02, 0.97), (x + 0.02, 0.42), (x, 0.42)), "flank", _BODY, tone=0.55))
    for x in (-0.72, 0.2):  # handles
        faces.append(_Face(_flank((x - 0.2, 0.84), (x, 0.84), (x, 0.80), (x - 0.2, 0.80)), "flank", _BODY, tone=0.6))
    tail = _flank((-2.12, 0.86), (-1.86, 0.86), (-1.9, 0.7), (-2.13, 0.7))
    head = _flank((1.80, 0.78), (2.03, 0.68), (2.09, 0.58), (1.82, 0.64))
    faces += [_Face(tail, "flank", _BODY, (36, 30, 150)), _Face(head, "flank", _BODY, (214, 216, 214))]
    turn = np.arange(20) * np.pi / 10
    for x in _AXLES:
        for radius, bgr, heat in ((0.40, (16, 16, 18), _BODY), (WHEEL, (30, 30, 32), _TYRE), (0.20, (168, 168, 166), _HUB)):
            rim = [(x + radius * float(np.cos(a)), max(WHEEL + radius * float(np.sin(a)), 0.0), _TREAD) for a in turn]
            faces.append(_Face(rim, "flank", heat, (float(bgr[0]), float(bgr[1]), float(bgr[2]))))
    faces.append(_Face(head, "shine", _LAMPS, (225, 245, 255)))
    faces.append(_Face(tail, "shine", _BODY, (40, 36, 245)))
    return faces


_FACES = _faces()
_POINTS = np.concatenate([np.array(face.points) for face in _FACES])
_ENDS = np.cumsum([len(face.points) for face in _FACES]).tolist()
_SPOKE_RADII = np.array([0.05, 0.185, 0.185, 0.05])
_SPOKE_TURNS = np.arange(5)[:, None] * (2 * np.pi / 5) + np.array([-0.5, -0.3, 0.3, 0.5])
_BLOCK = np.array([(x, y, z) for x in (-2.2, 2.2) for y in (-0.05, 1.55) for z in (-0.9, 0.9)])
_CORNERS = np.array(
    [(s.ahead, s.up, z) for s in _OUTLINE for z in (-s.half, s.half)] + [(x, 0, z) for x in (-2.1, 2.1) for z in (-0.84, 0.84)]
)


@dataclass(frozen=True, slots=True)
class Car:
    """A car on its lane at z. `forward` is 1 toward positive x, else -1.

    A parked car (loops 0) stays at x. A driving one covers its lane, centred on x, `loops` times in LOOP_S, and starts at the
    fraction `start` (0..1) of the lane.
    """

    x: float
    z: float
    forward: int
    paint: BGR
    loops: int = 0
    start: float = 0.0
    reach: float = 90.0
    kind: str = "car"

    def middle(self, seconds: float) -> float:
        """Return the x coordinate of the car's centre in metres."""
        if not self.loops:
            return self.x
        return self.x + self.forward * self.reach * ((seconds / LOOP_S * self.loops + self.start) % 1.0 - 0.5)


class Vehicle:
    """A car at one moment, projected into the picture."""

    def __init__(self, car: Car, camera: PinholeCamera, seconds: float) -> None:
        self.car, self.camera, self.x, self.z = car, camera, car.middle(seconds), car.z
        self.metre = camera.focal / float(camera.project(np.array([self.x, 0.7, car.z]))[1])

    def _world(self, points: Array) -> Array:
        """Transform points (..., 3) from the car's frame to the street's."""
        return points * (self.car.forward, 1, 1) + (self.x, 0, self.car.z)

    def _pixels(self, points: Array) -> Array:
        return self.camera.project(self._world(points))[0]

    def box(self) -> Array:
        """Return the corners of the car's bounding block, (8, 2) pixels."""
        return self._pixels(_BLOCK)

    def draw(self, light: Light, sun: float, lamp: float, time: float, soft: float) -> Cutout:
        """Draw the car.

        sun, lamp: fraction of each that reaches it. time: time of day. soft: the infrared's blur in pixels.
        """
        sprite = Sprite(self.box(), soft)
        driving = self.car.loops > 0
        shaded, sunny = light.on(0.0, lamp), light.on(sun * 0.55, lamp * 0.8)
        lights: dict[Side, Array] = {
            "top": light.on(sun, lamp),
            "flank": sunny,
            "front": sunny if self.car.forward < 0 else shaded,  # the sun stands toward negative x
            "rear": sunny if self.car.forward > 0 else shaded,
            "glass": shaded * 1.1 + light.ambient,
            "shine": np.full(3, light.glow),
        }
        pixels = self._pixels(_POINTS)
        placed = sprite.place(pixels)
        facing = self.car.forward * self.camera.mirror
        start = 0
        for face, end in zip(_FACES, _ENDS, strict=True):
            first, start = start, end
            if face.light == "shine" and (not driving or light.glow < 0.02):
                continue
            if face.turns:
                a, b = pixels[first + 1] - pixels[first], pixels[end - 1] - pixels[first]
                if (a[0] * b[1] - a[1] * b[0]) * facing > 0:
                    continue
            paint = self.car.paint if face.bgr is None else face.bgr
            bgr = np.minimum(lights[face.light] * paint * face.tone, 255).tolist()
            sprite.draw(placed[first:end], bgr, at(time, face.heat[not driving]))
        if self.metre > 14:
            self._spokes(sprite, (lights["flank"] * 44).tolist(), at(time, _HUB[not driving]))
        return sprite.cutout(self.car.z + _FLANK)

    def _spokes(self, sprite: Sprite, bgr: list[float], celsius: float) -> None:
        turn = _SPOKE_TURNS - self.car.forward * (self.x - self.car.x) / WHEEL
        for x in _AXLES:
            at_hub = [x + _SPOKE_RADII * np.cos(turn), WHEEL + _SPOKE_RADII * np.sin(turn), np.full(turn.shape, _TREAD)]
            for spoke in sprite.place(self._pixels(np.stack(at_hub, axis=-1))):
                sprite.draw(spoke, bgr, celsius)

    def lamps(self) -> tuple[Array, Array]:
        """Return the centres of the headlights and of the tail lights, each (2,) pixels."""
        head, tail = self._pixels(np.array([(2.1, 0.66, -0.7), (-2.13, 0.79, -0.7)]))
        return head, tail

    def beam(self, x: Array, z: Array) -> Array:
        """Return the headlights' relative light (0..1) on ground points in metres, as if they were switched on."""
        ahead = (x - self.x) * self.car.forward - 2.1
        across = (z - self.car.z) / (0.75 + 0.16 * np.maximum(ahead, 0))
        rise = np.clip(ahead / 1.6, 0, 1) * np.clip(1.25 - ahead / 11, 0, 1)
        return np.asarray(rise * np.exp(-np.maximum(ahead, 0) / 5.5) * np.exp(-across * across), np.float32)

    def shadow(self) -> tuple[int, int, Array]:
        """Return the daytime shadow as left, top and a uint8 mask."""
        ground = shadow_points(self._world(_CORNERS))
        return soft_shadow(self.camera.project(ground)[0][:, None], [list(range(len(ground)))], 0.03 * self.metre)
