"""The demo's pedestrians and dog: spheres placed by a 3-D skeleton, with limbs drawn as hulls of spheres.

A pose depends on the distance walked, so that the feet do not slide; routes are closed, so that nothing jumps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise

import cv2
import numpy as np

from edgefuse.demoscene.cutout import Cutout, Sprite
from edgefuse.demoscene.optics import BGR, LOOP_S, SHADOW, Array, Light, PinholeCamera, at

_RING = np.stack([np.cos(np.arange(12) * np.pi / 6), np.sin(np.arange(12) * np.pi / 6)], axis=1)
_FLAT_RING = np.stack([_RING[::2, 0], np.zeros(6), _RING[::2, 1]], axis=1)
Point = tuple[float, float, float]
Keys = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Route:
    """A closed walking route, covered `laps` times every LOOP_S.

    With turn 0 it runs straight along x from one side of the picture to the other; otherwise it goes out and back, with half circles
    of radius `turn` at its ends. x, z: its centre; reach: its length along x, all in metres. forward: 1 to start toward greater x,
    else -1. start: fraction (0..1) already walked at the first frame.
    """

    x: float
    z: float
    reach: float
    turn: float
    forward: int
    start: float
    laps: int = 1

    @property
    def length(self) -> float:
        """Length of one lap in metres."""
        return self.reach if not self.turn else 2 * self.reach + 2 * math.pi * self.turn

    def where(self, seconds: float) -> tuple[float, float, float, float, float]:
        """Return x, z, the unit heading along x and z, and the distance walked in this lap in metres."""
        way = ((seconds / LOOP_S * self.laps + self.start) % 1.0) * self.length
        f, half, r = self.forward, self.reach / 2, self.turn
        if not r:
            return self.x + f * (way - half), self.z, float(f), 0.0, way
        if way < self.reach:
            return self.x + f * (way - half), self.z - r, float(f), 0.0, way
        if way < self.reach + math.pi * r:
            a = (way - self.reach) / r
            return self.x + f * (half + r * math.sin(a)), self.z - r * math.cos(a), f * math.cos(a), math.sin(a), way
        if way < 2 * self.reach + math.pi * r:
            return self.x + f * (half - (way - self.reach - math.pi * r)), self.z + r, -float(f), 0.0, way
        a = (way - 2 * self.reach - math.pi * r) / r
        return self.x - f * (half + r * math.sin(a)), self.z + r * math.cos(a), -f * math.cos(a), -math.sin(a), way


@dataclass(slots=True)
class Pose:
    """Spheres in a body's own frame (ahead, up, left; metres) and the limbs that join them, from far to near."""

    balls: list[tuple[float, float, float, float]] = field(default_factory=list)
    limbs: list[tuple[tuple[tuple[int, ...], ...], BGR | None, Keys | None, float]] = field(default_factory=list)

    def ball(self, at: Point, radius: float) -> int:
        """Add a sphere and return its index, which `limb` takes."""
        self.balls.append((*at, radius))
        return len(self.balls) - 1

    def limb(self, *balls: int, bgr: BGR | None, heat: Keys | None, tone: float = 1.0, bent: bool = False) -> None:
        """Add a limb: one hull of all the spheres, or with `bent` one hull for each consecutive pair."""
        hulls = tuple(pairwise(balls)) if bent else (balls,)
        self.limbs.append((hulls, bgr, heat, tone))


@dataclass(frozen=True, slots=True)
class Person:
    """Appearance and route of one pedestrian. Colours are BGR reflectances, 0..255."""

    route: Route
    stature: float
    jacket: BGR
    trousers: BGR
    skin: BGR
    hair: BGR
    coat: bool = False
    bag: BGR | None = None
    kind: str = "person"

    def pose(self, way: float, near: int) -> Pose:
        """Return the pose after walking `way` metres. near: 1 where the body's left side faces the camera, else -1."""
        steps = max(round(self.route.length / 1.42), 1)
        turn = 2 * math.pi * way / self.route.length * steps
        legs = {side: _leg(turn if side > 0 else turn + math.pi) for side in (-1, 1)}
        hip = max(-min(ankle[1], toe[1] - 0.02) for _, ankle, toe in legs.values()) + 0.07
        pose = Pose()
        cloth: Keys = (26.0, 24.0, 21.5)
        shoe: BGR = (34, 34, 40)
        torso = (
            pose.ball((0.03, hip + 0.47, -0.15), 0.085),
            pose.ball((0.03, hip + 0.47, 0.15), 0.085),
            pose.ball((0.0, hip + 0.02, -0.08), 0.115),
            pose.ball((0.0, hip + 0.02, 0.08), 0.115),
        )
        for side, tone in ((-near, 0.74), (near, 1.0)):
            knee, ankle, toe = legs[side]
            across = 0.09 * side
            a = pose.ball((0.0, hip, across), 0.088)
            b = pose.ball((knee[0], hip + knee[1], across), 0.06)
            c = pose.ball((ankle[0], hip + ankle[1], across), 0.046)
            d = pose.ball((toe[0], hip + toe[1], across), 0.036)
            shoulder = pose.ball((0.02, hip + 0.49, 0.205 * side), 0.062)
            swing = -0.42 * math.sin(turn if side > 0 else turn + math.pi)
            bend = 0.32 + 0.3 * max(swing, 0)
            elbow_at = (0.02 + 0.28 * math.sin(swing), hip + 0.49 - 0.28 * math.cos(swing))
            hand_at = (elbow_at[0] + 0.25 * math.sin(swing + bend), elbow_at[1] - 0.25 * math.cos(swing + bend))
            elbow = pose.ball((elbow_at[0], elbow_at[1], 0.225 * side), 0.05)
            wrist = pose.ball((hand_at[0], hand_at[1], 0.215 * side), 0.04)
            hand = pose.ball((hand_at[0] + 0.03 * math.sin(swing + bend), hand_at[1] - 0.05, 0.215 * side), 0.045)

            def arm(tone: float = tone, parts: tuple[int, int, int, int] = (shoulder, elbow, wrist, hand)) -> None:
                pose.limb(parts[2], parts[3], bgr=self.skin, heat=(31.5, 30.5, 28.0), tone=tone)
                pose.limb(*parts[:3], bgr=self.jacket, heat=(25.5, 23.5, 21.0), tone=tone * 0.93, bent=True)

            if side == -near:
                arm()
            pose.limb(c, d, bgr=shoe, heat=(20.5, 18.5, 14.5), tone=tone)
            pose.limb(a, b, c, bgr=self.trousers, heat=(25.0, 23.0, 19.5), tone=tone, bent=True)
            pose.limb(a, b, bgr=None, heat=(27.0, 25.0, 22.5))
            if side == near:
                self._trunk(pose, torso, hip, a, cloth)
                arm()
        return pose

    def _trunk(self, pose: Pose, torso: tuple[int, int, int, int], hip: float, thigh: int, cloth: Keys) -> None:
        """Add torso, bag and head."""
        neck = (pose.ball((0.03, hip + 0.55, 0), 0.055), pose.ball((0.045, hip + 0.62, 0), 0.055))
        pose.limb(*neck, bgr=self.skin, heat=(33.5, 33.0, 31.5), tone=0.85)
        if self.coat:
            hem = [pose.ball((ahead, hip - 0.34, side), 0.10) for ahead in (-0.1, 0.12) for side in (-0.09, 0.09)]
            pose.limb(torso[2], torso[3], *hem, bgr=self.jacket, heat=(24.0, 22.0, 19.0), tone=0.94)
        pose.limb(*torso, bgr=self.jacket, heat=cloth)
        chest = [pose.ball((0.03, hip + up, side), 0.05) for up in (0.22, 0.42) for side in (-0.08, 0.08)]
        pose.limb(*chest, bgr=None, heat=(27.5, 26.0, 24.0))
        if self.bag is not None:
            pack = [pose.ball((-0.17, hip + up, side), 0.085) for up in (0.16, 0.44) for side in (-0.07, 0.07)]
            pose.limb(*pack, bgr=self.bag, heat=(17.5, 15.5, 11.5))
        skull, face = pose.ball((0.04, hip + 0.73, 0), 0.092), pose.ball((0.072, hip + 0.70, 0), 0.076)
        chin = pose.ball((0.085, hip + 0.655, 0), 0.05)
        pose.limb(skull, face, chin, bgr=self.skin, heat=(34.0, 33.5, 32.5))
        crown = pose.ball((0.025, hip + 0.785, 0), 0.086)
        back = pose.ball((-0.03, hip + 0.735, 0), 0.072)
        pose.limb(crown, back, bgr=self.hair, heat=(29.5, 28.5, 26.0))


@dataclass(frozen=True, slots=True)
class Dog:
    """A dog that follows its route."""

    route: Route
    coat: BGR
    kind: str = "dog"
    stature: float = 1.0

    def pose(self, way: float, near: int) -> Pose:
        """Return the pose after walking `way` metres, as `Person.pose` does."""
        steps = max(round(self.route.length / 0.95), 1)
        turn = 2 * math.pi * way / self.route.length * steps
        bob = 0.012 * math.cos(2 * turn)
        pose = Pose()
        dark: BGR = (self.coat[0] * 0.55, self.coat[1] * 0.55, self.coat[2] * 0.55)
        fur: Keys = (25.0, 24.0, 21.0)
        chest, rump = pose.ball((0.24, 0.47 + bob, 0), 0.135), pose.ball((-0.26, 0.49 - bob, 0), 0.115)
        for side, tone in ((-near, 0.72), (near, 1.0)):
            for ahead, phase in ((0.26, 0.0 if side > 0 else math.pi), (-0.28, math.pi if side > 0 else 0.0)):
                swing = 0.5 * math.sin(turn + phase)
                lift = 0.07 * max(math.cos(turn + phase), 0)
                knee = (ahead + 0.2 * math.sin(swing) - (0.05 if ahead < 0 else 0.0), 0.24 + lift)
                paw = (ahead + 0.36 * math.sin(swing) + 0.02, 0.045 + lift)
                top = pose.ball((ahead, 0.44, 0.075 * side), 0.075 if ahead < 0 else 0.06)
                mid, low = pose.ball((*knee, 0.075 * side), 0.038), pose.ball((*paw, 0.075 * side), 0.032)
                pose.limb(top, mid, low, bgr=self.coat, heat=(27.0, 25.5, 22.5), tone=tone, bent=True)
            if side == -near:
                wag = 0.07 * math.sin(3 * turn)
                tail = pose.ball((-0.36, 0.55, 0), 0.03), pose.ball((-0.55, 0.72, wag), 0.022)
                pose.limb(*tail, bgr=self.coat, heat=(21.0, 19.5, 15.0))
        pose.limb(chest, rump, bgr=self.coat, heat=fur)
        pose.limb(pose.ball((0.1, 0.41 + bob, 0), 0.07), pose.ball((-0.2, 0.44, 0), 0.06), bgr=None, heat=(28.5, 27.5, 25.0))
        neck = pose.ball((0.40, 0.66 + bob, 0), 0.085)
        pose.limb(chest, neck, bgr=self.coat, heat=(26.5, 25.5, 22.5))
        head, snout = pose.ball((0.47, 0.72 + bob, 0), 0.088), pose.ball((0.62, 0.68 + bob, 0), 0.042)
        pose.limb(pose.ball((0.40, 0.66 + bob, 0), 0.095), bgr=(30, 30, 160), heat=(22.0, 20.0, 16.0))
        pose.limb(head, snout, bgr=self.coat, heat=(30.5, 29.5, 27.5))
        pose.limb(pose.ball((0.655, 0.685 + bob, 0), 0.024), bgr=(24, 22, 24), heat=(24.0, 22.0, 18.0))
        ear = pose.ball((0.43, 0.79 + bob, 0.05 * near), 0.036), pose.ball((0.395, 0.69 + bob, 0.075 * near), 0.032)
        pose.limb(*ear, bgr=dark, heat=(31.5, 30.5, 28.5))
        pose.limb(pose.ball((0.525, 0.735 + bob, 0.07 * near), 0.016), bgr=(18, 18, 20), heat=(33.5, 33.0, 32.0))
        return pose


def _leg(turn: float) -> tuple[tuple[float, float], tuple[float, float], tuple[float, float]]:
    """Return knee, ankle and toe (ahead, up) relative to the hip at a phase of the step."""
    thigh = 0.05 + 0.44 * math.sin(turn)
    flex = 0.06 + 0.95 * max(math.cos(turn + 0.25), 0.0) ** 1.4
    shin = thigh - flex
    knee = (0.42 * math.sin(thigh), -0.42 * math.cos(thigh))
    ankle = (knee[0] + 0.42 * math.sin(shin), knee[1] - 0.42 * math.cos(shin))
    pitch = 0.75 * min(shin + 0.12, 0.25)
    return knee, ankle, (ankle[0] + 0.17 * math.cos(pitch), ankle[1] - 0.035 + 0.17 * math.sin(pitch))


class Figure:
    """A body at one moment: its spheres in the world and in the picture."""

    def __init__(self, body: Person | Dog, camera: PinholeCamera, seconds: float) -> None:
        self.body = body
        self.x, self.z, hx, hz, way = body.route.where(seconds)
        near = 1 if hx > 0 else -1
        self.pose = body.pose(way, -near)
        local = np.array(self.pose.balls) * body.stature
        turn = np.array([[hx, 0, hz], [0, 1, 0], [-hz, 0, hx]])
        self.world = local[:, :3] @ turn + (self.x, 0, self.z)
        self.radius = local[:, 3]
        self.centre, depth = camera.project(self.world)
        self.metre = camera.focal / float(depth.mean())
        self.pixels = self.radius * camera.focal / depth
        self.camera = camera

    def draw(self, light: Light, sun: float, lamp: float, time: float, soft: float) -> Cutout:
        """Draw the body.

        sun, lamp: fraction of each that reaches the body. time: time of day. soft: the infrared's blur in pixels.
        """
        rings = self.centre[:, None] + self.pixels[:, None, None] * _RING
        sprite = Sprite(rings.reshape(-1, 2), soft)
        placed = sprite.place(rings)
        base = light.on(sun * 0.62, lamp)
        bright = light.on(sun, lamp * 1.15)
        lean = np.array([-0.34 * self.camera.mirror, -0.2])
        fine = self.metre > 36
        lit = sprite.place(self.centre[:, None] + self.pixels[:, None, None] * (lean + 0.58 * _RING)) if fine else placed
        limbs = self.pose.limbs
        paints = np.array([(0, 0, 0) if bgr is None else bgr for _, bgr, _, _ in limbs]) * [[tone] for _, _, _, tone in limbs]
        plain, raised = np.minimum(paints * base, 255).tolist(), np.minimum(paints * bright, 255).tolist()
        for i, (hulls, bgr, heat, _) in enumerate(limbs):
            celsius = None if heat is None else at(time, heat)
            for balls in hulls:
                sprite.draw(cv2.convexHull(placed.take(balls, axis=0).reshape(-1, 2)), None if bgr is None else plain[i], celsius)
            if fine and bgr is not None:
                for balls in hulls:
                    sprite.draw(cv2.convexHull(lit.take(balls, axis=0).reshape(-1, 2)), raised[i], None)
        return sprite.cutout(self.z)

    def shadow(self) -> tuple[int, int, Array] | None:
        """Return the daytime ground shadow as left, top, and a uint8 mask (255 is full shadow); None where the body is too small."""
        if self.metre < 8:
            return None
        rings = self.camera.project(shadow_points(self.world)[:, None] + self.radius[:, None, None] * _FLAT_RING)[0]
        hulls = [list(balls) for limb, bgr, _, _ in self.pose.limbs if bgr is not None for balls in limb]
        return soft_shadow(rings, hulls, 0.02 * self.metre)


def shadow_points(world: Array) -> Array:
    """Project points (N, 3) in metres along the sunlight onto the ground."""
    return world * (1, 0, 1) + world[:, 1:2] * (SHADOW[0], 0, SHADOW[1])


def soft_shadow(rings: Array, hulls: list[list[int]], soft: float) -> tuple[int, int, Array]:
    """Return a soft shadow mask, as left, top, uint8 (h, w), of hulls of rings, (balls, points, 2) pixels."""
    flat = rings.reshape(-1, 2)
    margin = int(np.ceil(2 * soft)) + 2
    low, high = np.floor(flat.min(axis=0)).astype(int) - margin, np.ceil(flat.max(axis=0)).astype(int) + margin
    mask = np.zeros((int(high[1] - low[1]), int(high[0] - low[0])), np.uint8)
    placed = np.round((rings - low) * 16).astype(np.int32)
    for chosen in hulls:
        cv2.fillConvexPoly(mask, cv2.convexHull(placed[chosen].reshape(-1, 2)), (255,), cv2.LINE_AA, 4)
    return int(low[0]), int(low[1]), np.asarray(cv2.GaussianBlur(mask, (0, 0), max(soft, 0.4)))
