"""The demo's trees and bushes: leaves are drawn once; a small warp of the whole crown makes it sway."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edgefuse.demoscene.cutout import Cutout
from edgefuse.demoscene.optics import BGR, KEYS, LOOP_S, ZERO_C, Array, PinholeCamera, lamp_light, split, tile
from edgefuse.demoscene.stage import convex, corners, polygon


@dataclass(frozen=True, slots=True)
class Plant:
    """A tree (with a trunk) or a bush at x and z, in metres. shaded: fraction of daylight shadow it stands in."""

    x: float
    z: float
    height: float
    radius: float
    trunk: float
    leaf: float
    hue: BGR
    shaded: float = 0.0

    def blobs(self, rng: np.random.Generator) -> Array:
        """Return the spheres that form the crown: (N, 4) of x, y, z and radius."""
        n = 15 if self.trunk else 9
        middle, reach = (self.height + self.trunk * 0.75) / 2, (self.height - self.trunk * 0.75) / 2
        out = []
        for i in range(n):
            turn, up = 2.399963 * i + rng.uniform(0, 0.6), (i + 0.5) / n * 2 - 1
            wide = self.radius * np.sqrt(max(1 - 0.75 * up * up, 0.1)) * rng.uniform(0.35, 0.68)
            size = self.radius * rng.uniform(0.34, 0.5)
            y = middle + up * (reach - 0.6 * size)
            out.append((self.x + wide * np.cos(turn), y, self.z + 0.5 * wide * np.sin(turn), size))
        return np.array(out, np.float32)


class Crown:
    """A plant drawn for one camera. Call `light` once, then `cutout` for each frame."""

    def __init__(self, plant: Plant, blobs: Array, camera: PinholeCamera, rng: np.random.Generator) -> None:
        """blobs: the plant's spheres. `seen` is False where the plant lies outside the picture; then nothing is drawn."""
        self.plant, self.z = plant, plant.z
        foot, depth = camera.project(np.array([plant.x, 0.0, plant.z]))
        self.metre = metre = camera.focal / float(depth)
        centres, radii = camera.project(blobs[:, :3])[0], blobs[:, 3] * metre
        margin = 3 + 0.05 * metre
        low = np.floor(np.minimum((centres - radii[:, None]).min(axis=0), foot) - margin).astype(int)
        high = np.ceil(np.maximum((centres + radii[:, None]).max(axis=0), foot) + margin).astype(int)
        self.left, self.top, w, h = (int(n) for n in (*low, *(high - low)))
        self.seen = self.left < camera.width and self.top < camera.height and self.left + w > 0 and self.top + h > 0
        self.shape = h, w
        self.colours: dict[int, Array] = {}
        self.heats: dict[int, Array] = {}
        if self.seen:
            self.albedo, self.sun = np.zeros((h, w, 4), np.uint8), np.zeros((h, w), np.uint8)
            self.up = np.maximum((foot[1] - self.top - np.arange(h, dtype=np.float32)[:, None]) / metre, 0)
            if plant.trunk:
                self._trunk(camera)
            self._leaves(blobs, centres - low, radii, camera.mirror, rng)
            self._sway(rng)

    def light(self, keys: tuple[int, ...], lamp: tuple[float, float, float], vignette: float, soft: float) -> None:
        """Light the crown for some of the times of day. soft: standard deviation of the infrared's blur in pixels."""
        cover = self.albedo[..., 3].astype(np.float32) / 255
        solid = np.maximum(cover, 1 / 255)
        sun = self.sun * np.float32((1 - self.plant.shaded) / 255) / solid
        lamps = lamp_light(lamp, self.plant.x, self.up, self.plant.z) * 0.8
        for key in keys:
            shade = [KEYS[key].ambient[c] + KEYS[key].sun[c] * sun + KEYS[key].lamp[c] * lamps for c in range(3)]
            lit = self.albedo[..., :3] * np.dstack(shade) * vignette
            self.colours[key] = np.dstack([np.minimum(lit, self.albedo[..., 3:]).astype(np.uint8), self.albedo[..., 3]])
            celsius = (6.6, 5.6, 3.6)[key] + np.minimum(self.up, 6) * 0.10 + (4.2, 2.0, 0.0)[key] * np.minimum(sun, 1)
            heat = np.dstack([cover * (celsius * 100 + ZERO_C), cover]).astype(np.float32)
            self.heats[key] = np.asarray(cv2.GaussianBlur(heat, (0, 0), soft), np.float32)
        del self.albedo, self.sun, self.up  # no longer needed once lit

    def _trunk(self, camera: PinholeCamera) -> None:
        """Draw a trunk with a lit and a dark side, and three branches."""
        plant = self.plant
        x, bole, rise = plant.x, plant.trunk, plant.height - plant.trunk
        wide = 0.03 * plant.height**0.8
        shapes = []
        for side, tone, share in ((-1.0, 1.0, 150), (0.15, 0.72, 40)):
            left = [(x + side * wide, 0.0), (x + side * wide * 0.55, bole), (x - 0.02, bole + 0.45 * rise)]
            right = [(x + 0.02, bole + 0.45 * rise), (x + wide * 0.55, bole), (x + wide, 0.0)]
            shapes.append((left + right, (62 * tone, 78 * tone, 96 * tone, 255.0), share))
        for dx, dy in ((-0.55, 0.35), (0.5, 0.25), (0.2, 0.5)):
            branch = [(x - 0.07, bole * 0.9), (x + 0.07, bole * 0.9), (x + dx * plant.radius, bole + dy * rise)]
            shapes.append((branch, (54.0, 68.0, 84.0, 255.0), 60))
        for shape, bgr, share in shapes:
            points = camera.project(np.array([(px, y, plant.z) for px, y in shape]))[0] - (self.left, self.top)
            polygon(self.albedo, points, bgr)
            polygon(self.sun, points, (share,))

    def _leaves(self, blobs: Array, centres: Array, radii: Array, mirror: int, rng: np.random.Generator) -> None:
        """Draw the leaves from back to front, each lit by its position on its sphere."""
        size = max(self.plant.leaf * self.metre, 1.6)
        count = int(np.clip(3.4 * float(np.sum(radii**2)) / size**2, 60, 2600))
        share = radii.astype(np.float64) ** 2
        ball = rng.choice(len(blobs), count, p=share / share.sum())
        normal = rng.standard_normal((count, 3))
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        normal[:, 2] = np.abs(normal[:, 2])  # toward the camera
        deep = rng.random(count) ** 0.5
        at = centres[ball] + normal[:, :2] * (1, -1) * (radii[ball] * deep)[:, None]
        lit = np.clip(0.34 + 0.68 * (normal @ [-0.55 * mirror, 0.72, 0.42]), 0.0, 1.0) * (0.3 + 0.7 * deep)
        open_sky = np.clip(0.74 + 0.34 * normal[:, 1], 0.3, 1.1) * (0.5 + 0.55 * deep)
        order = np.argsort(normal[:, 2] * deep - blobs[ball, 2] * 0.8 + rng.uniform(0, 0.3, count))
        angle, long = rng.uniform(0, np.pi, count), size * rng.uniform(0.6, 1.15, count)
        tone, warm = rng.normal(1.0, 0.12, count), rng.normal(0, 7, count)
        outline = np.array([[1.0, 0.0], [0.35, 0.42], [-0.6, 0.34], [-1.0, 0.0], [-0.45, -0.36], [0.5, -0.4]])
        sin, cos = np.sin(angle), np.cos(angle)
        turn = np.stack([np.stack([cos, sin], axis=1), np.stack([-sin, cos], axis=1)], axis=1)
        leaves = corners(at[:, None] + (outline @ turn) * long[:, None, None])
        shade = np.clip((open_sky * tone)[:, None] * (np.asarray(self.plant.hue) + warm[:, None] * [0.1, 0.5, 1.0]), 2, 250)
        for i in order:
            b, g, r = shade[i].tolist()
            convex(self.albedo, leaves[i], (b, g, r, 255.0))
            convex(self.sun, leaves[i], (255.0 * float(lit[i]),))

    def _sway(self, rng: np.random.Generator) -> None:
        """Prepare two slow waves whose phase differs between branches and whose amplitude grows with height."""
        h, w = self.sun.shape
        grow = np.clip(self.up / self.plant.height, 0, 1) ** 1.3 * self.metre
        self.waves = []
        for turns, reach, cells, slope, spread in ((5, 0.013 * self.plant.height, 8, 1.4, 0.9), (17, 0.012, 24, 1.0, 1.4)):
            phase = spread * cv2.resize(tile(rng, cells, cells, slope), (w, h), interpolation=cv2.INTER_CUBIC)
            even, odd = (reach * grow * wave(phase) for wave in (np.cos, np.sin))
            self.waves.append((turns, even.astype(np.float32), odd.astype(np.float32)))

    def cutout(self, time: float, seconds: float, places: Array) -> Cutout:
        """Return the plant at a time of day and a moment. places: float32 (2, rows, columns), `np.indices` of at least its shape."""
        low, share = split(time)
        colour, heat = self.colours[low], self.heats[low]
        if share:
            colour = cv2.addWeighted(colour, 1 - share, self.colours[low + 1], share, 0)
            heat = cv2.addWeighted(heat, 1 - share, self.heats[low + 1], share, 0)
        h, w = self.shape
        rows, columns = places[:, :h, :w]
        for turns, even, odd in self.waves:
            angle = 2 * np.pi * turns * seconds / LOOP_S
            columns = cv2.scaleAdd(even, np.sin(angle), columns)
            columns = cv2.scaleAdd(odd, np.cos(angle), columns)
        turns, even, odd = self.waves[1]
        rows = cv2.scaleAdd(even, 0.5 * np.cos(2 * np.pi * turns * seconds / LOOP_S + 1), rows)
        colour = cv2.remap(colour, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(0, 0, 0, 0))
        heat = cv2.remap(heat, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(0, 0))
        return Cutout(self.z, self.left, self.top, np.asarray(colour), np.asarray(heat))
