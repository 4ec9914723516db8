"""The demo's street: the ground with its shadows, the distant background, and street furniture."""

from __future__ import annotations

import cv2
import numpy as np

from edgefuse.demoscene.building import Building
from edgefuse.demoscene.optics import BGR, SHADOW, Array, lamp_light, tile
from edgefuse.demoscene.stage import HEAT, LAMP, REFLECTANCE, ROWS, SUN, WARMED, Heat, Stage, sunned, surface, upright

NEAR_KERB, ROAD, MIDDLE, PARKING, FAR_KERB, YARD = 10.1, 10.3, 12.9, 15.25, 17.2, 19.7  # boundaries along z in metres
ALLEY = (-2.9, 0.9)  # from and to along x, in metres
TRANSFORMER = (1.9, 2.95, 19.75, 20.2, 1.35)  # from and to along x, from and to along z, height
_PAVING, _ASPHALT, _KERB, _GRASS, _GRAVEL, _MARK, _IRON = range(7)
_MATERIALS = np.stack(
    [
        surface((136, 146, 152), (9.0, 9.5, 6.2)),
        surface((92, 90, 90), (9.8, 10.6, 7.4)),
        surface((164, 170, 174), (9.0, 9.5, 6.4)),
        surface((60, 112, 94), (6.4, 5.4, 2.2)),
        surface((112, 132, 146), (8.8, 9.0, 5.4)),
        surface((214, 220, 222), (9.8, 10.6, 7.4)),
        surface((58, 58, 62), (16.0, 15.5, 12.5)),
    ]
)
_GAINS = np.array([5.5, 7.0, 5.5, 2.6, 5.0, 7.0, 9.0], np.float32)


class Shade:
    """Ground shadows: a map of 0.1 m cells into which objects draw the area that they shade."""

    LEFT, CELLS = -45.0, 10.0

    def __init__(self) -> None:
        self.map = np.zeros((620, 900), np.uint8)

    def _cell(self, xz: Array) -> Array:
        return (xz - (self.LEFT, 0.0)) * self.CELLS

    def polygon(self, xz: Array, dark: float = 1.0) -> None:
        """Shade a convex polygon of (N, 2) x and z."""
        mask = np.zeros_like(self.map)
        cv2.fillConvexPoly(mask, np.round(self._cell(xz)).astype(np.int32), (round(255 * dark),))
        np.maximum(self.map, mask, out=self.map)

    def ball(self, x: float, y: float, z: float, radius: float) -> None:
        """Shade the ground behind a sphere in the air."""
        cx, cz = self._cell(np.array([x + y * SHADOW[0], z + y * SHADOW[1]]))
        angle = float(np.degrees(np.arctan2(SHADOW[1], SHADOW[0])))
        r = radius * self.CELLS
        if np.hypot(cx, cz) < 3000:
            cv2.ellipse(self.map, (round(cx), round(cz)), (max(round(1.35 * r), 1), max(round(r), 1)), angle, 0, 360, (255,), -1)

    def block(self, x0: float, x1: float, z0: float, z1: float, height: float) -> None:
        """Shade the ground behind an upright block, in metres."""
        base = np.array([[x0, z0], [x1, z0], [x1, z1], [x0, z1]], np.float32)
        self.polygon(cv2.convexHull(np.concatenate([base, base + np.float32(height) * np.array(SHADOW, np.float32)]))[:, 0])

    def soften(self) -> None:
        """Blur the edges of all shadows drawn so far."""
        self.map = np.asarray(cv2.GaussianBlur(self.map, (0, 0), 1.6), np.uint8)

    def sun(self, x: Array, z: Array) -> Array:
        """Return the fraction of sun, float32 0..1, that reaches ground points."""
        column, row = ((x - self.LEFT) * self.CELLS).astype(np.float32), (z * self.CELLS).astype(np.float32)
        dark = cv2.remap(self.map, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(0,))
        return np.asarray(1 - dark.astype(np.float32) / 255, np.float32)


def ground(stage: Stage, shade: Shade, building: Building, rng: np.random.Generator, manhole: tuple[float, float]) -> None:
    """Paint every pixel below the horizon."""
    camera = stage.camera
    first = max(int(np.ceil(camera.horizon + 0.5)), 0)
    tiles = tile(rng, 256, 256, 0.35), tile(rng, 256, 256, 1.1)
    sun = shade.sun(*camera.ground(0, first, camera.width, camera.height)[:2])
    lag = cv2.GaussianBlur(sun, (0, 0), 2.5 * camera.scale)  # the ground warms and cools slowly, so shadows are softer in the infrared
    for top in range(first, camera.height, ROWS):
        rows = slice(top - first, top - first + ROWS)
        _strip(stage, top, sun[rows], lag[rows], building, tiles, manhole)


def _strip(
    stage: Stage, top: int, sun: Array, lag: Array, building: Building, tiles: tuple[Array, Array], manhole: tuple[float, float]
) -> None:
    """Paint rows of the ground from `top` on, as many as `sun` has. tiles: fine and soft texture noise."""
    camera = stage.camera
    x, z, depth = camera.ground(0, top, camera.width, top + len(sun))
    fx, fz = depth / camera.focal, depth * depth / (camera.focal * 5.0)
    weights = np.zeros((*x.shape, len(_MATERIALS)), np.float32)
    weights[..., _PAVING] = 1

    def over(material: int, mask: Array) -> None:
        weights[...] *= (1 - mask)[..., None]
        weights[..., material] += mask

    over(_KERB, _band(z, fz, NEAR_KERB, FAR_KERB + 0.2))
    over(_ASPHALT, _band(z, fz, ROAD, FAR_KERB))
    over(_GRASS, _band(z, fz, YARD, 1e6))
    over(_GRAVEL, _band(z, fz, YARD, 34) * _band(x, fx, *ALLEY))
    over(_PAVING, _band(z, fz, YARD, building.front) * _band(x, fx, building.left, building.right))
    on_road = _band(z, fz, ROAD, FAR_KERB)
    dash = np.clip((1.0 - np.abs((x / 4.0) % 1.0 - 0.5) * 4.0) / fx + 0.5, 0, 1)
    over(_MARK, _band(z, fz, MIDDLE - 0.07, MIDDLE + 0.07) * dash * 0.9)
    over(_MARK, _band(z, fz, PARKING - 0.05, PARKING + 0.05) * _band(x, fx, -60, 2.6) * 0.8)
    bars = np.clip((0.25 - np.abs((z / 1.0) % 1.0 - 0.5)) / fz + 0.5, 0, 1)
    over(_MARK, bars * _band(x, fx, 3.2, 5.9) * _band(z, fz, ROAD + 0.35, FAR_KERB - 0.3) * 0.92)
    lid = np.clip((0.36 - np.hypot(x - manhole[0], z - manhole[1])) / np.maximum(fx, fz * 0.5) + 0.5, 0, 1)
    over(_IRON, lid)

    pixels = stage.pixels[top : top + len(sun)]
    np.matmul(weights, _MATERIALS, out=pixels)
    fine, soft = tiles
    grain = _lookup(fine, x * 44, z * 44) * np.minimum(1, 0.045 / np.sqrt(fx * fz))
    patches = _lookup(soft, x * 7, z * 7)
    blades = _lookup(fine, x * 20 + 90, z * 8) * np.minimum(1, 0.1 / fx)
    grass, paving = weights[..., _GRASS], weights[..., _PAVING]
    joints = np.maximum(_lines(x / 0.6, 0.6 / fx), _lines(z / 0.6, 0.6 / fz)) * paving
    wheels = sum(np.exp(-(((z - lane) / 0.28) ** 2)) for lane in (10.95, 12.3, 13.75, 15.0)) * on_road
    texture = 1 + grain * (0.085 - 0.03 * grass) + patches * 0.055 + blades * 0.16 * grass - 0.30 * joints - 0.07 * wheels
    texture += 0.10 * on_road * np.clip(_lookup(soft, x * 3 + 77, z * 3 + 31) - 1.2, 0, 1)
    pixels[..., REFLECTANCE] *= np.maximum(texture, 0.3)[..., None]
    pixels[..., 2] += grass * patches * 9  # grass yellows in patches
    warmth = weights @ _GAINS
    pixels[..., SUN] = sun
    for key, kept in enumerate(WARMED):
        pixels[..., HEAT.start + key] += lag * warmth * kept + patches * 0.28 + 0.5 * wheels - 0.5 * joints + 0.35 * grass * blades
    spill = 0.5 * np.exp(-(((z - 18.8) / 1.1) ** 2)) * _band(x, fx, building.left + 0.3, building.right - 2.8)
    pixels[..., LAMP] = lamp_light(building.lamp, x, 0.0, z) + spill
    haze = (1 - np.exp(-np.maximum(depth - 26, 0) / 140))[..., None]
    pixels[..., REFLECTANCE] += (np.array([190, 188, 176], np.float32) - pixels[..., REFLECTANCE]) * haze * 0.6


def backdrop(stage: Stage, rng: np.random.Generator) -> None:
    """Paint hills, a line of trees and a distant house with a few lit windows."""
    camera = stage.camera
    if camera.horizon < 2:
        return
    bottom = min(int(camera.horizon) + 3, camera.height)
    column = (np.arange(camera.width, dtype=np.float32) - camera.width / 2) / camera.focal * camera.mirror
    row = np.arange(bottom, dtype=np.float32)[:, None]
    rolling = np.convolve(rng.standard_normal(4096), np.hanning(96) / 6, "same")
    crest = camera.horizon - (46 + 16 * np.interp(column * 120 + 2048, np.arange(4096), rolling)) * camera.scale
    mask = np.clip(row - crest[None, :] + 0.5, 0, 1) * np.clip(camera.horizon + 1.5 - row, 0, 1)
    hills = np.empty((bottom, camera.width, 12), np.float32)
    hills[:] = surface((172, 152, 124), (3.5, 3.0, 0.0), 0.6)
    woods = cv2.resize(tile(rng, 64, 256, 1.0, 2.0), (camera.width, bottom), interpolation=cv2.INTER_LINEAR)
    haze = np.clip(1 - (camera.horizon - row) / (50 * camera.scale), 0, 1)
    hills[..., REFLECTANCE] *= ((1 - 0.11 * np.clip(woods, -0.4, 1.2)) * (0.94 + 0.16 * haze))[..., None]
    hills[..., HEAT] += (0.5 * woods + 1.5 * haze)[..., None]
    stage.over(0, hills, mask)
    del hills, mask
    _tree_row(stage, rng, 170.0, 10.0, (118, 134, 112), (4.4, 3.8, 1.4))
    _tree_row(stage, rng, 64.0, 3.6, (66, 112, 84), (5.4, 4.8, 2.6))
    x0, z = 9.5 + float(rng.uniform(-1, 1.5)), 41.0
    x1, tall = x0 + 11.0, 5.6
    house = surface((150, 178, 196), (8.5, 8.5, 5.6))
    stage.block((x0, 0, z), (x1, tall, z + 8), house, 7.0, (0.62, 0.1, 1.0))
    eaves = [[x0 - 0.4, tall, z - 0.3], [x1 + 0.4, tall, z - 0.3]]
    roof = np.array([*eaves, [x1 - 1.2, tall + 3, z + 4], [x0 + 1.2, tall + 3, z + 4]], np.float32)
    stage.flat(roof, sunned(surface((72, 78, 96), (7.0, 4.0, -1.0)), 0.85, 11.0))
    for i in range(5):
        for level in (0.9, 3.4):
            glow: BGR = (88, 160, 226) if rng.random() < 0.45 else (0, 0, 0)
            x = x0 + 1.0 + i * 2.05
            stage.flat(upright(x, level, x + 0.95, level + 1.4, z), surface((92, 78, 66), (4.0, 2.5, 2.5), 0.3, 0.0, glow))


def _tree_row(stage: Stage, rng: np.random.Generator, z: float, height: float, bgr: BGR, heat: Heat) -> None:
    """Paint a row of distant trees at z metres across the whole picture: clumps of leaves with a lit and a dark side."""
    camera = stage.camera
    metre = camera.focal / z
    foot = camera.horizon + 5 * metre
    top, bottom = max(int(foot - 1.9 * height * metre) - 2, 0), min(int(foot) + 2, camera.height)
    if top >= bottom:
        return
    picture = np.full((bottom - top, camera.width, 3), np.asarray(bgr) * 0.6, np.uint8)
    cover = np.zeros((bottom - top, camera.width), np.uint8)
    step = 0.62 * height * metre
    for left in np.arange(-step, camera.width + step, max(step, 1.5)):
        tall, tone = height * rng.uniform(0.55, 1.15) * (1.5 if rng.random() < 0.12 else 1.0), rng.uniform(0.8, 1.1)
        spread = rng.uniform(-0.5, 0.5, 22) * height * 0.95
        ups = rng.uniform(0.05, 0.86, 22) * tall * (1 - 2.2 * (spread / height) ** 2)
        for across, up in sorted(zip(spread, ups, strict=True), key=lambda c: -c[1]):
            radius = height * rng.uniform(0.10, 0.19) * metre
            middle = np.array([left + across * metre, foot - top - up * metre])
            for shrink, shift, shade in ((1.0, 0.0, 0.62 + 0.26 * up / tall), (0.7, -0.22, 0.74 + 0.34 * up / tall)):
                b, g, r = (min(c * shade * tone, 255.0) for c in bgr)
                at = round(float(middle[0] + shift * camera.mirror * radius) * 16), round(float(middle[1] + shift * radius) * 16)
                size = max(round(radius * shrink * 16), 8)
                cv2.circle(picture, at, size, (b, g, r), -1, cv2.LINE_AA, 4)
                cv2.circle(cover, at, size, (255,), -1, cv2.LINE_AA, 4)
    ground_line = np.clip(foot + 0.5 - np.arange(top, bottom), 0, 1)[:, None]
    low = np.clip((np.arange(top, bottom) - foot + 0.45 * height * metre) * 0.5, 0, 1)[:, None]  # nothing shows under the trees
    mask = np.maximum(cover / np.float32(255), low) * ground_line
    what = np.empty((*cover.shape, 12), np.float32)
    what[:] = surface(bgr, heat, 0.62)
    leaves = cv2.resize(tile(rng, 64, 256, 0.3), (camera.width, bottom - top), interpolation=cv2.INTER_LINEAR)
    what[..., REFLECTANCE] = picture * (1 + 0.16 * leaves)[..., None]
    what[..., HEAT] += ((picture.mean(axis=2) / np.mean(bgr) - 0.8) * 2.0)[..., None]
    stage.over(top, what, mask)


def furniture(stage: Stage, shade: Shade, lamp: tuple[float, float, float], rng: np.random.Generator) -> None:
    """Paint fence, transformer box, litter bin, bollards, a sign on its post and the street lamp, from far to near."""
    fence = surface((84, 112, 142), (8.0, 7.0, 3.0))
    for i in range(46):
        x = 1.4 + i * 0.27
        tone = float(rng.uniform(0.82, 1.12))
        board = fence.copy()
        board[REFLECTANCE] *= tone
        share = float(shade.sun(np.array([[x]]), np.array([[27.4]]))[0, 0])
        stage.flat(upright(x, 0, x + 0.25, 1.75, 27.5), sunned(board, 0.62 * share, 5.0), 27.5)
    lit = float(lamp_light(lamp, 2.4, 0.8, 19.8))
    box = surface((96, 122, 108), (22.5, 21.5, 18.5), 0, lit)
    x0, x1, z, back, tall = TRANSFORMER
    stage.block((x0, 0.0, z), (x1, tall, back), box, 6.0)
    for x in (x0 + 0.1, x0 + 0.6):
        vent = surface((62, 82, 72), (28.5, 27.5, 25.0), 0.3, lit)
        stage.flat(upright(x, 0.85, x + 0.36, 1.2, z), vent)
    warning = sunned(surface((40, 205, 235), (22.5, 21.5, 18.5), 0, lit), 0.55, 6.0)
    stage.flat(np.array([[x0 + 0.4, 0.72, z], [x0 + 0.62, 0.36, z], [x0 + 0.18, 0.36, z]], np.float32), warning)
    light = float(lamp_light(lamp, -1.4, 0.5, 19.6))
    stage.block((-1.55, 0.0, 19.6), (-1.1, 0.95, 19.85), surface((60, 96, 44), (9.0, 8.5, 4.5), 0, light), 6.0)
    for i in range(4):
        x = -12.4 + i * 1.9
        post = surface((70, 66, 64), (9.0, 8.8, 5.0), 0, float(lamp_light(lamp, x, 0.5, 17.6)))
        stage.block((x - 0.07, 0.0, 17.55), (x + 0.07, 0.9, 17.65), post, 7.0)
        band = sunned(surface((220, 224, 226), (9.0, 8.8, 5.0), 0, 0.5), 0.55, 7.0)
        stage.flat(upright(x - 0.07, 0.68, x + 0.07, 0.82, 17.54), band)
    _sign(stage, lamp)
    _lamp(stage, lamp)


def _sign(stage: Stage, lamp: tuple[float, float, float]) -> None:
    """Paint the blue sign of the crossing; in the infrared it is as cold as its post."""
    x, z, y = 2.8, 17.5, 2.35
    lit = float(lamp_light(lamp, x, y, z))
    metal: Heat = (9.0, 7.5, 3.5)
    post = surface((128, 130, 132), metal, 0, lit)
    stage.block((x - 0.035, 0, z), (x + 0.035, y + 0.4, z + 0.05), post, 6.0)
    for half, colour in ((0.4, (226, 228, 230)), (0.36, (168, 92, 24))):
        plate = sunned(surface(colour, metal, 0, lit), 0.6, 6.0)
        stage.flat(upright(x - half, y - half, x + half, y + half, z), plate, z)
    white = sunned(surface((232, 234, 236), metal, 0, lit), 0.6, 6.0)
    stage.flat(np.array([[x, y + 0.28, z], [x + 0.28, y - 0.24, z], [x - 0.28, y - 0.24, z]], np.float32), white)
    dark = sunned(surface((30, 26, 24), metal, 0, lit), 0.6, 6.0)
    for quad in (
        [[x - 0.05, y + 0.12], [x + 0.05, y + 0.12], [x + 0.05, y - 0.05], [x - 0.05, y - 0.05]],
        [[x - 0.04, y - 0.03], [x + 0.02, y - 0.03], [x - 0.06, y - 0.2], [x - 0.12, y - 0.2]],
        [[x - 0.02, y - 0.03], [x + 0.04, y - 0.03], [x + 0.12, y - 0.2], [x + 0.06, y - 0.2]],
    ):
        stage.flat(np.array([[*p, z] for p in quad], np.float32), dark)


def _lamp(stage: Stage, lamp: tuple[float, float, float]) -> None:
    """Paint the street lamp: a post behind the kerb, an arm over the road, and a lamp head that is warm when lit."""
    x, y, z = lamp
    foot = 17.5
    steel = sunned(surface((86, 92, 90), (9.0, 8.0, 4.5), 0, 0.25), 0.6, 6.0)
    side = [[0.09, 0.0, foot], [0.05, y - 0.1, foot], [0.04, y + 0.15, foot]]
    post = [[x - dx, up, z0] for dx, up, z0 in side] + [[x + dx, up, z0] for dx, up, z0 in side[::-1]]
    stage.flat(np.array(post, np.float32), steel, foot)
    shaft = [[x, y + 0.16, foot], [x, y + 0.07, foot], [x, y + 0.1, z], [x, y + 0.2, z]]
    camera = stage.camera
    points = camera.project(np.array(shaft, np.float32))[0]
    stage.fill(points + np.array([[-1, 0], [-1, 0], [1, 0], [1, 0]]) * camera.scale, steel, z)
    head = surface((110, 116, 118), (11.0, 22.0, 30.0), 0.6, 0.1)
    stage.flat(_tapered(x, y + 0.08, 0.42, y + 0.26, 0.3, z), head, z)
    bulb = surface((200, 205, 208), (11.0, 25.0, 36.0), 0.3, 0.2, (150, 225, 255))
    stage.flat(_tapered(x, y - 0.02, 0.26, y + 0.08, 0.36, z), bulb, z)


def _tapered(x: float, y0: float, half0: float, y1: float, half1: float, z: float) -> Array:
    """Return an upright trapezium around x, float32 (4, 3), with half widths half0 at y0 and half1 at y1."""
    return np.array([[x - half0, y0, z], [x + half0, y0, z], [x + half1, y1, z], [x - half1, y1, z]], np.float32)


def _band(value: Array, footprint: Array, low: float, high: float) -> Array:
    """Return the fraction of each pixel's footprint that lies between low and high."""
    inside = np.minimum(value + footprint / 2, high) - np.maximum(value - footprint / 2, low)
    return np.asarray(np.clip(inside / footprint, 0, 1), np.float32)


def _lines(turns: Array, pixels: Array) -> Array:
    """Return coverage by the joints of slabs at whole `turns`, 3 % of a turn wide. pixels: pixels in a turn."""
    distance = np.abs((turns + 0.5) % 1.0 - 0.5) * pixels
    return np.asarray(np.clip(0.015 * pixels - distance + 0.5, 0, np.minimum(1.0, 0.03 * pixels)), np.float32)


def _lookup(field: Array, column: Array, row: Array) -> Array:
    """Sample a tile at texel positions, with wrap-around."""
    rows, columns = field.shape
    at = (column % columns).astype(np.float32), (row % rows).astype(np.float32)
    return np.asarray(cv2.remap(field, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP))
