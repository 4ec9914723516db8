"""The demo's building: a corner shop painted as flat textures."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edgefuse.demoscene.lettering import word
from edgefuse.demoscene.optics import BGR, SHADOW, Array, lamp_light, tile
from edgefuse.demoscene.stage import GLOW, HEAT, LAMP, REFLECTANCE, SUN, Heat, Stage, sunned, surface, upright

NAMES = ("BAKERY", "BOOKS", "CAFE LUNA", "PHARMACY", "FLORIST", "CYCLES")
WALLS: tuple[tuple[str, BGR], ...] = (
    ("brick", (74, 92, 158)),
    ("plaster", (150, 196, 222)),
    ("brick", (88, 118, 168)),
    ("plaster", (176, 188, 196)),
    ("plaster", (128, 172, 214)),
)
TRIMS: tuple[BGR, ...] = ((70, 112, 44), (120, 60, 30), (44, 40, 160), (110, 96, 28), (52, 60, 62))
WALL: Heat = (9.0, 9.5, 6.6)
GLASS: Heat = (3.0, 1.0, 0.0)
LIT_GLASS: Heat = (6.5, 6.5, 6.4)
FRAME: Heat = (9.5, 8.8, 7.4)
WALL_GAIN, FRONT_SUN = 7.0, 0.72


@dataclass(frozen=True, slots=True)
class Building:
    """Position (metres) and appearance of the building. It spans `left`..`right` along x and `front`..`back` along z."""

    left: float
    right: float
    front: float
    back: float
    eaves: float
    ridge: float
    name: str
    wall: tuple[str, BGR]
    trim: BGR
    lamp: tuple[float, float, float]

    @classmethod
    def drawn(cls, rng: np.random.Generator, seed: int, lamp: tuple[float, float, float]) -> Building:
        """Random building for a seed; consecutive seeds step through the names and walls."""
        right = -3.0 + float(rng.uniform(-0.3, 0.3))
        width, eaves = float(rng.uniform(9.2, 11.0)), float(rng.uniform(5.5, 5.9))
        name, wall, trim = NAMES[seed % len(NAMES)], WALLS[seed % len(WALLS)], TRIMS[seed % len(TRIMS)]
        return cls(right - width, right, 20.0, 28.0, eaves, eaves + float(rng.uniform(1.9, 2.3)), name, wall, trim, lamp)

    @property
    def chimney(self) -> tuple[float, float, float]:
        """Position (x, y, z) of the chimney's mouth in metres."""
        return (self.left + 0.72 * (self.right - self.left), self.ridge + 0.65, (self.front + self.back) / 2)

    def shadow(self) -> list[Array]:
        """Return the convex polygons (N, 2), in x and z, that the building's shadow covers on the ground."""
        middle = (self.front + self.back) / 2
        tops = [(self.left, self.eaves, self.front), (self.right, self.eaves, self.front), (self.right, self.ridge, middle)]
        tops += [(self.left, self.ridge, middle), (self.right, self.eaves, self.back), (self.left, self.eaves, self.back)]
        cast = [(x + y * SHADOW[0], z + y * SHADOW[1]) for x, y, z in tops]
        base = [(x, z) for x in (self.left, self.right) for z in (self.front, self.back)]
        return [cv2.convexHull(np.array(cast + base, np.float32))[:, 0]]

    def paint(self, stage: Stage, rng: np.random.Generator) -> None:
        """Paint end wall, chimney, front, roof and awning, from far to near."""
        middle, width = (self.front + self.back) / 2, self.right - self.left
        ppm = 1.25 * stage.camera.focal / self.front
        x, y, yr, f, b = self.right, self.eaves, self.ridge, self.front, self.back
        end = self._wall(rng, b - f, y, ppm, 0.0)
        stage.paint_texture(end, np.array([[x, y, f], [x, y, b], [x, 0, b], [x, 0, f]], np.float32), f)
        gable = end[end.shape[0] // 2, end.shape[1] // 2].copy()
        del end  # textures are large
        stage.flat(np.array([[x, y, f], [x, yr, middle], [x, y, b]], np.float32), gable, f)
        cx, cy, cz = self.chimney
        brick = surface((70, 84, 128), (20.0, 19.0, 17.5))
        stage.block((cx - 0.45, self.ridge - 0.8, cz - 0.3), (cx + 0.45, cy, cz + 0.3), brick, 5.0, (0.7, 0.0, 1.0))
        pot = surface((60, 74, 120), (33.0, 33.0, 32.0))
        stage.block((cx - 0.2, cy, cz - 0.15), (cx + 0.2, cy + 0.35, cz + 0.15), pot, 2.0, (0.7, 0.0, 1.0))
        slope = float(np.hypot(b - middle, yr - y))
        over = 0.35
        roof = self._roof(rng, width + 2 * over, slope, ppm)
        low, x0, x1 = y - 0.1, self.left - over, x + over
        quad = [[x0, yr, middle], [x1, yr, middle], [x1, low, f - over], [x0, low, f - over]]
        front = self._front(rng, width, y, ppm, stage.camera.mirror)
        stage.paint_texture(front, upright(self.left, 0, x, y, f), f)
        stage.paint_texture(roof, np.array(quad, np.float32), f)
        gutter = surface((96, 98, 100), (8.5, 6.0, 2.0))
        stage.block((x0, y - 0.2, f - over - 0.1), (x1, y - 0.06, f - over), gutter, 6.0)
        self._awning(stage)

    def _wall(self, rng: np.random.Generator, width: float, height: float, ppm: float, sun: float) -> Array:
        """Return the texture of a wall without openings: float32 (h, w, 12)."""
        w, h = max(round(width * ppm), 8), max(round(height * ppm), 8)
        wall = np.empty((h, w, 12), np.float32)
        wall[:] = sunned(surface(self.wall[1], WALL), sun, WALL_GAIN)
        row = ((h - 0.5 - np.arange(h, dtype=np.float32)) / ppm)[:, None]
        column = ((np.arange(w, dtype=np.float32) + 0.5) / ppm)[None, :]
        stain = cv2.resize(tile(rng, 64, 64, 1.2), (w, h), interpolation=cv2.INTER_LINEAR)
        shade = 1 + 0.05 * stain + 0.04 * rng.standard_normal((h, w), dtype=np.float32)
        if self.wall[0] == "brick":
            high, long = 0.11, 0.32
            course = np.floor(row / high).astype(np.int32)
            along = column / long + 0.5 * (course % 2)
            brick = np.floor(along).astype(np.int32)
            tones = rng.standard_normal((64, 64), dtype=np.float32)
            shade += 0.11 * tones[course % 64, brick % 64]
            seam = np.maximum(_joint(row / high, 0.16, ppm * high), _joint(along, 0.06, ppm * long))
            wall[..., REFLECTANCE] += (np.array([150, 160, 168], np.float32) - wall[..., REFLECTANCE]) * (0.6 * seam)[..., None]
        shade *= 1 - 0.22 * np.exp(-row / 0.35)  # dirt splashed up from the ground
        wall[..., REFLECTANCE] *= shade[..., None]
        leak = 0.9 * np.exp(-(((row - height / 2) / 0.16) ** 2))  # heat leaks through the edge of the floor slab
        wall[..., HEAT] += (0.25 * stain + leak - 0.5 * np.exp(-row / 0.5))[..., None]
        wall[..., LAMP] = 0.15
        return wall

    def _roof(self, rng: np.random.Generator, width: float, slope: float, ppm: float) -> Array:
        w, h = max(round(width * ppm), 8), max(round(slope * ppm * 0.7), 8)
        roof = np.empty((h, w, 12), np.float32)
        roof[:] = sunned(surface((58, 70, 118), (8.0, 5.5, 0.0)), 0.9, 10.0)
        row = ((np.arange(h, dtype=np.float32) + 0.5) / h * slope)[:, None]
        column = ((np.arange(w, dtype=np.float32) + 0.5) / ppm)[None, :]
        course = np.floor(row / 0.32).astype(np.int32)
        along = column / 0.3 + 0.5 * (course % 2)
        tones = rng.standard_normal((64, 64), dtype=np.float32)[course % 64, np.floor(along).astype(np.int32) % 64]
        lap = (row / 0.32) % 1.0
        stain = cv2.resize(tile(rng, 64, 64, 1.2), (w, h), interpolation=cv2.INTER_LINEAR)
        shade = 1 + 0.07 * tones + 0.06 * stain - 0.22 * _joint(along, 0.12, ppm * 0.3) + 0.16 * (lap - 0.5)
        roof[..., REFLECTANCE] *= shade[..., None]
        roof[..., HEAT] += (0.5 * stain)[..., None]
        roof[..., LAMP] = 0.02
        return roof

    def _front(self, rng: np.random.Generator, width: float, height: float, ppm: float, mirror: int) -> Array:
        """Return the texture of the street front: shop below, four windows above, the sign between."""
        wall = self._wall(rng, width, height, ppm, FRONT_SUN)
        h, w = wall.shape[:2]
        row = ((h - 0.5 - np.arange(h, dtype=np.float32)) / ppm)[:, None]
        column = ((np.arange(w, dtype=np.float32) + 0.5) / ppm)[None, :]
        wall[..., LAMP] = lamp_light(self.lamp, self.left + column, row, self.front)
        face = _Face(wall, ppm)
        bay = width / 4
        lights = rng.permutation([True, True, False, False])
        for i in range(4):
            self._window(face, rng, bay * (i + 0.5), 3.72, 1.05, 1.36, bool(lights[i]))
        base = surface(self.trim, FRAME)
        face.rect(0.35, 0.12, width - 0.35, 2.62, sunned(base, 0.5, 4.0))
        door = width * 0.58
        for x0, x1, lit in ((0.55, door - 0.25, True), (door, door + 1.05, True), (door + 1.3, width - 0.55, False)):
            self._shop_window(face, rng, x0, x1, lit, door=x0 == door)
        board = sunned(surface((self.trim[0] * 0.75, self.trim[1] * 0.75, self.trim[2] * 0.75), WALL), FRONT_SUN, WALL_GAIN)
        face.rect(0.35, 2.72, width - 0.35, 3.34, board)
        face.text(self.name, width / 2, 2.80, 0.44, (205, 232, 240), (110, 165, 190), mirror)
        face.rect(width - 0.16, 0.0, width - 0.06, height, surface((70, 72, 74), (9.5, 8.0, 4.5), FRONT_SUN * 0.8, 0.5))
        return wall

    def _window(self, face: _Face, rng: np.random.Generator, x: float, y: float, w: float, h: float, lit: bool) -> None:
        """Draw an upper window with shutters, a sill, and the warm spot of a radiator below it."""
        face.warm(x, y - 0.35, w * 0.55, 0.28, (0.6, 1.4, 2.4))
        shutter = sunned(surface(self.trim, (9.0, 8.0, 4.8), 0, 0.4), FRONT_SUN, 6.0)
        slat = shutter * np.r_[np.full(3, 0.8, np.float32), np.ones(9, np.float32)]
        for side in (x - w / 2 - 0.42, x + w / 2 + 0.06):
            face.rect(side, y - 0.04, side + 0.36, y + h + 0.04, shutter)
            for k in range(7):
                face.rect(side + 0.04, y + 0.1 + k * h / 7, side + 0.32, y + 0.17 + k * h / 7, slat)
        frame = sunned(surface((205, 212, 214), FRAME, 0, 0.4), FRONT_SUN, 5.0)
        face.rect(x - w / 2 - 0.06, y - 0.06, x + w / 2 + 0.06, y + h + 0.06, frame)
        glow: BGR = (96, 176, 240) if lit else (4, 3, 3)
        half = w / 2 - 0.05
        for x0, x1 in ((x - half, x - 0.03), (x + 0.03, x + half)):
            face.glass(rng, x0, y, x1, y + h, LIT_GLASS if lit else GLASS, glow)
        if lit:  # curtains, gathered at the sides
            for x0, x1 in ((x - half, x - half + 0.2), (x + half - 0.2, x + half)):
                face.rect(x0, y, x1, y + h, surface((120, 132, 150), LIT_GLASS, 0.2, 0.1, (60, 112, 168)))
        face.rect(x - w / 2 - 0.14, y - 0.16, x + w / 2 + 0.14, y - 0.05, sunned(surface((168, 174, 178), WALL, 0, 0.5), 0.95, 9.0))

    def _shop_window(self, face: _Face, rng: np.random.Generator, x0: float, x1: float, lit: bool, door: bool) -> None:
        glow: BGR = (104, 186, 244) if lit else (20, 30, 38)
        heat = LIT_GLASS if lit else GLASS
        low = 0.18 if door else 0.55
        face.glass(rng, x0, low, x1, 2.4, heat, glow)
        dark = surface((44, 50, 60), heat, 0.1, 0.05, (glow[0] * 0.3, glow[1] * 0.34, glow[2] * 0.36))
        if door:
            face.rect(x0, 0.12, x1, 0.7, sunned(surface(self.trim, FRAME, 0, 0.4), 0.5, 4.0))
            face.rect(x1 - 0.14, 1.0, x1 - 0.09, 1.3, surface((150, 190, 200), FRAME, 0.5, 0.4))
            return
        shelf = np.arange(x0 + 0.2, x1 - 0.25, 0.34)
        for level in (0.62, 1.28):  # goods on two shelves
            face.rect(x0 + 0.05, level - 0.07, x1 - 0.05, level, dark)
            for s in shelf:
                tall, hue = rng.uniform(0.15, 0.42), rng.integers(40, 190, 3).astype(float)
                goods: BGR = (hue[0] * 0.7, hue[1] * 0.9, hue[2])
                shine: BGR = (goods[0] * glow[0] / 225, goods[1] * glow[1] / 320, goods[2] * glow[2] / 370)
                face.rect(s, level, s + rng.uniform(0.14, 0.28), level + tall, surface(goods, heat, 0.12, 0.05, shine))

    def _awning(self, stage: Stage) -> None:
        """Paint the striped awning over the shop. The stripes are dye, so they do not show in the infrared."""
        door = self.left + (self.right - self.left) * 0.58
        x0, x1, z = self.left + 0.5, door - 0.2, self.front
        stripes = max(round((x1 - x0) / 0.36), 1)
        bright: BGR = (self.trim[0] * 1.2, self.trim[1] * 1.2, self.trim[2] * 1.2)
        for i in range(stripes):
            a, b = x0 + (x1 - x0) * i / stripes, x0 + (x1 - x0) * (i + 1) / stripes
            colour: BGR = (214, 220, 224) if i % 2 else bright
            cloth = sunned(surface(colour, (8.5, 7.5, 2.8), 0, 0.55), 0.95, 7.0)
            stage.flat(np.array([[a, 2.68, z], [b, 2.68, z], [b, 2.2, z - 0.95], [a, 2.2, z - 0.95]], np.float32), cloth, z - 0.9)
            hem = sunned(surface(colour, (8.5, 7.5, 2.8), 0, 0.5), 0.6, 4.0)
            stage.flat(upright(a, 2.02, b, 2.2, z - 0.95), hem, z - 0.9)


def _joint(turns: Array, width: float, pixels: float) -> Array:
    """Coverage (0..1) of each pixel by the joints at whole values of `turns`.

    width: a joint's width as a fraction of a turn. pixels: pixels in a turn.
    """
    distance = np.abs((turns + 0.5) % 1.0 - 0.5) * pixels
    return np.asarray(np.clip((width * pixels / 2 - distance) + 0.5, 0, min(1.0, width * pixels)), np.float32)


class _Face:
    """Paints rectangles given in metres (x from the left, y up from the foot) onto a texture of surfaces."""

    def __init__(self, texture: Array, ppm: float) -> None:
        self.texture, self.ppm = texture, ppm

    def _mask(self, x0: float, y0: float, x1: float, y1: float) -> tuple[tuple[slice, slice], Array] | None:
        h, w = self.texture.shape[:2]
        left, right, top, bottom = x0 * self.ppm, x1 * self.ppm, h - y1 * self.ppm, h - y0 * self.ppm
        columns = np.arange(max(int(left), 0), min(int(np.ceil(right)), w))
        rows = np.arange(max(int(top), 0), min(int(np.ceil(bottom)), h))
        if not len(columns) or not len(rows):
            return None
        across = np.minimum(columns + 1, right) - np.maximum(columns, left)
        down = np.minimum(rows + 1, bottom) - np.maximum(rows, top)
        where = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
        return where, (down[:, None] * across[None, :]).astype(np.float32)

    def rect(self, x0: float, y0: float, x1: float, y1: float, what: Array) -> None:
        """Paint a rectangle with a surface; the wall's share of lamp light stays."""
        region = self._mask(x0, y0, x1, y1)
        if region is None:
            return
        where, mask = region
        roi = self.texture[where]
        lamp = roi[..., LAMP].copy()
        roi += (what - roi) * mask[..., None]
        roi[..., LAMP] = lamp

    def glass(self, rng: np.random.Generator, x0: float, y0: float, x1: float, y1: float, heat: Heat, glow: BGR) -> None:
        """Draw a pane: by day it reflects the sky above and is dark below, at night it shows the interior."""
        region = self._mask(x0, y0, x1, y1)
        if region is None:
            return
        (rows, columns), mask = region
        n, m = mask.shape
        pane = np.empty((n, m, 12), np.float32)
        pane[:] = surface((92, 74, 60), heat, 0.25, 0.0, glow)
        down = np.linspace(0, 1, n, dtype=np.float32)[:, None]
        across = np.linspace(0, 1, m, dtype=np.float32)[None, :]
        sky = np.clip(1.25 - 1.6 * down - 0.5 * across + float(rng.uniform(-0.2, 0.2)), 0, 1)
        pane[..., REFLECTANCE] += (np.array([226, 196, 168], np.float32) - pane[..., REFLECTANCE]) * (sky * 0.8)[..., None]
        pane[..., HEAT] += (1.5 * down - 1.2 * sky)[..., None]
        pane[..., GLOW] *= (0.72 + 0.4 * np.exp(-((across - 0.5) ** 2 + (down - 0.25) ** 2) / 0.18))[..., None]
        pane[..., SUN] = 0.2
        self.texture[rows, columns] += (pane - self.texture[rows, columns]) * mask[..., None]

    def warm(self, x: float, y: float, w: float, h: float, degrees: Heat) -> None:
        """Add a soft warm spot at a point, with standard deviations of w and h metres."""
        rows, columns = self.texture.shape[:2]
        up = ((rows - 0.5 - np.arange(rows, dtype=np.float32)) / self.ppm - y)[:, None]
        along = ((np.arange(columns, dtype=np.float32) + 0.5) / self.ppm - x)[None, :]
        spot = np.exp(-((up / h) ** 2) / 2) * np.exp(-((along / w) ** 2) / 2)
        self.texture[..., HEAT] += spot[..., None] * np.asarray(degrees, np.float32)

    def text(self, text: str, x: float, y: float, high: float, bgr: BGR, glow: BGR, mirror: int) -> None:
        """Paint letters centred on x with their baseline at y, in the visible only; a mirrored street shows them unmirrored."""
        big = word(text)
        wide = min(high * big.shape[1] / big.shape[0], self.texture.shape[1] / self.ppm * 0.8)
        size = max(round(wide * self.ppm), 2), max(round(high * self.ppm), 2)
        mask = cv2.resize(big[:, ::mirror], size, interpolation=cv2.INTER_AREA).astype(np.float32)[..., None] / 255
        left, top = round(x * self.ppm - size[0] / 2), round(self.texture.shape[0] - (y + high) * self.ppm)
        roi = self.texture[max(top, 0) : top + size[1], max(left, 0) : left + size[0]]
        mask = mask[: roi.shape[0], : roi.shape[1]]
        roi[..., REFLECTANCE] += (np.asarray(bgr, np.float32) - roi[..., REFLECTANCE]) * mask
        roi[..., GLOW] += (np.asarray(glow, np.float32) - roi[..., GLOW]) * mask
