"""The demo scene: places its objects and renders frame pairs.

Static objects are painted once for each time of day that the scene needs. A frame interpolates those, then pastes sky, shadows,
plants, cars and pedestrians from far to near, and adds both sensors' noise. Frame k depends only on the options and k.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from edgefuse.demoscene.building import Building
from edgefuse.demoscene.car import Vehicle
from edgefuse.demoscene.cutout import Cutout, before, hide, paste
from edgefuse.demoscene.figures import Figure
from edgefuse.demoscene.layout import Layout
from edgefuse.demoscene.optics import KEYS, VIGNETTE, ZERO_C, Array, Light, PinholeCamera, lamp_light, light_at, split, tile
from edgefuse.demoscene.plants import Crown
from edgefuse.demoscene.sky import Plume, Sky
from edgefuse.demoscene.stage import COVER, ROWS, Screen, Stage
from edgefuse.demoscene.street import TRANSFORMER, Shade, backdrop, furniture, ground

CYCLE_FRAMES = 500  # length of a day, dusk, night and dusk cycle where the scene has no end
WINDOW_C = (-14.0, 36.0)  # degrees C that 8-bit infrared shows as 0 and as 255
_ROAM = 97  # noise fields are this many pixels larger than the picture in both directions
Part = tuple[Figure | Vehicle | None, Cutout]


@dataclass(frozen=True, slots=True)
class Box:
    """Bounding box of a warm body, including the parts that are occluded.

    kind: "person", "dog" or "car". left, top, width, height: pixels, clipped to the picture.
    shown: fraction (0..1) of the whole body that is inside the picture and not occluded.
    """

    kind: str
    left: int
    top: int
    width: int
    height: int
    shown: float


class DemoScene:
    """A street seen by two registered cameras. `render` makes a pair; `bodies` and `labels` are its ground truth."""

    def __init__(
        self,
        size: tuple[int, int] = (640, 480),
        scene: str = "cycle",
        seed: int = 0,
        frames: int = 250,
        fps: float = 25.0,
        depth: int = 8,
    ) -> None:
        """size: (width, height). scene: "cycle", "day" or "night". frames: length of a cycle, 0 for endless. depth: 8 or 16 bits."""
        self.scene, self.frames, self.fps, self.depth, self.seed = scene, frames, fps, depth, seed
        self.camera = camera = PinholeCamera(*size, mirror=-1 if seed % 2 else 1)
        self.soft = max(0.85 * camera.scale, 0.45)
        layout = Layout.drawn(seed, camera)
        self.layout = layout
        keys = {"day": (0,), "night": (2,)}.get(scene, (0, 1, 2))
        rng = np.random.default_rng([seed, 7])
        self.shade = Shade()
        blobs = [plant.blobs(rng) for plant in layout.plants]
        self._shadows(layout.building, blobs)
        stage = Stage(camera)
        ground(stage, self.shade, layout.building, rng, layout.manhole)
        backdrop(stage, rng)
        layout.building.paint(stage, rng)
        furniture(stage, self.shade, layout.lamp, rng)
        self.screens: list[Screen] = stage.merged()
        self.reflectance = np.clip(stage.pixels[..., :3], 0, 255).astype(np.uint8)
        vignette = camera.vignette(VIGNETTE)
        self._paint(stage, keys, vignette)
        open_rows = np.flatnonzero(stage.pixels[..., COVER].min(axis=1) < 0.999)
        self.sky = Sky(camera, min(int(open_rows[-1]) + 3, camera.height) if len(open_rows) else 0, keys, vignette, rng)
        self._open_sky(stage)
        del stage  # frees the largest array, which is no longer needed
        crowns = [Crown(plant, balls, camera, rng) for plant, balls in zip(layout.plants, blobs, strict=True)]
        self.crowns = [crown for crown in crowns if crown.seen]
        for crown in self.crowns:
            h, w = crown.shape
            crown.light(keys, layout.lamp, camera.lens(VIGNETTE, crown.left + w / 2, crown.top + h / 2), self.soft)
        self.places = np.indices(np.max([(1, 1), *(crown.shape for crown in self.crowns)], axis=0), dtype=np.float32)
        self.plume = Plume(layout.building.chimney, camera, rng)
        h, w = self.plume.column.shape
        places = [(crown.z, crown.left, crown.top, *crown.shape) for crown in self.crowns]
        self.before = [before(self.screens, *place) for place in [*places, (self.plume.z, self.plume.left, self.plume.top, h, w)]]
        self._sensors(np.random.default_rng([seed, 8]))

    def time_of_day(self, index: int) -> float:
        """Return a frame's time of day: 0 for day, 1 for dusk, 2 for night, or between."""
        if self.scene != "cycle":
            return 0.0 if self.scene == "day" else 2.0
        way = index / max(self.frames - 1, 1) if self.frames else 1 - abs(1 - 2 * (index / CYCLE_FRAMES % 1.0))
        ramp = float(np.clip((way - 0.1) / 0.8, 0, 1))
        return 2 * ramp * ramp * (3 - 2 * ramp)

    def render(self, index: int) -> tuple[Array, Array]:
        """Render a pair: visible uint8 (H, W, 3) BGR, infrared uint8 (H, W), or at depth 16 uint16 (H, W) in 0.01 kelvin."""
        time, seconds = self.time_of_day(index), index / self.fps
        light = light_at(time)
        visible, infrared = self._still(time, seconds)
        parts = self._parts(index)
        for shadow in self._cast(parts, light):
            paste(shadow, visible, infrared)
        for vehicle in self._vehicles(seconds):  # the beam of a car outside the picture may reach into it
            self._beam(vehicle, light, visible)
        for body, cutout in parts:
            paste(cutout, visible, infrared)
            if isinstance(body, Vehicle):
                self._flare(body, light, visible)
        return self._sense(visible, infrared, light, index)

    def bodies(self, index: int) -> list[Box]:
        """Return the warm bodies in a frame, far to near, without those that have no visible pixel."""
        return self._find(index)[0]

    def labels(self, index: int) -> Array:
        """Return a label image, uint8 (H, W): i + 1 where body i of `bodies(index)` is visible, 0 elsewhere."""
        return self._find(index)[1]

    # -- painted once ---------------------------------------------------------------------------------------------------------

    def _shadows(self, building: Building, blobs: list[Array]) -> None:
        """Draw the ground shadows of static objects."""
        for shape in building.shadow():
            self.shade.polygon(shape)
        for crown in blobs:
            for x, y, z, radius in crown:
                self.shade.ball(float(x), float(y), float(z), float(radius))
        for x, y, z, radius in self.layout.dapples:
            self.shade.ball(x, y, z, radius)
        car = self.layout.parked
        self.shade.block(car.x - 2.1, car.x + 2.1, car.z - 0.8, car.z + 0.8, 1.25)
        self.shade.block(*TRANSFORMER)
        lamp = self.layout.lamp
        self.shade.block(lamp[0] - 0.06, lamp[0] + 0.06, 17.44, 17.56, lamp[1])
        self.shade.soften()

    def _paint(self, stage: Stage, keys: tuple[int, ...], vignette: Array) -> None:
        """Paint the static scene, with the parked car, by day, at dusk and at night; premultiplied where the sky shows."""
        layout, camera = self.layout, self.camera
        parked = Vehicle(layout.parked, camera, 0.0)
        halo = self._halo(layout.lamp)
        self.visible: dict[int, Array] = {}
        self.infrared: dict[int, Array] = {}
        hidden: Cutout | None = None
        for key in keys:
            self.visible[key] = stage.visible(KEYS[key], vignette, halo)
            counts = cv2.GaussianBlur(stage.counts(key), (0, 0), self.soft)
            self.infrared[key] = np.round(counts).astype(np.uint16)
            lamp = float(lamp_light(layout.lamp, layout.parked.x, 1.0, layout.parked.z))
            hidden = parked.draw(KEYS[key], 1.0, lamp, float(key), self.soft)
            paste(hidden, self.visible[key], self.infrared[key])
        if hidden is not None and (overlap := hidden.within(camera.width, camera.height)):
            rows, columns, own_rows, own_columns = overlap
            mask = np.ascontiguousarray(hidden.colour[own_rows, own_columns, 3])
            self.screens.append(Screen(hidden.z, columns.start, rows.start, mask))

    def _open_sky(self, stage: Stage) -> None:
        """Compute the fraction of sky in each of the upper pixels, for either camera."""
        cover = stage.pixels[: self.sky.rows, :, COVER]
        self.open_visible = cv2.cvtColor(np.round((1 - cover) * 255).astype(np.uint8), cv2.COLOR_GRAY2BGR) if len(cover) else cover
        soft = cv2.GaussianBlur(stage.pixels[..., COVER], (0, 0), self.soft)[: self.sky.rows]
        self.open_infrared = np.round((1 - np.clip(soft, 0, 1)) * 65535).astype(np.uint16)

    def _halo(self, lamp: tuple[float, float, float]) -> Array:
        """Return the glare around the street lamp, float32 (H, W)."""
        camera = self.camera
        at, depth = camera.project(np.array(lamp))
        metre = camera.focal / float(depth)
        row = (np.arange(camera.height, dtype=np.float32) - np.float32(at[1]))[:, None] / metre
        column = (np.arange(camera.width, dtype=np.float32) - np.float32(at[0]))[None, :] / metre
        radius2 = row * row + column * column
        return np.asarray(0.42 * np.exp(-radius2 / 0.5) + 0.16 / (1 + radius2 / 0.8) ** 1.5, np.float32)

    def _sensors(self, rng: np.random.Generator) -> None:
        """Draw both sensors' fixed-pattern noise, and the larger fields from which each frame's noise is cropped."""
        w, h = self.camera.width, self.camera.height
        grain = rng.standard_normal((h + _ROAM, w + _ROAM, 3), dtype=np.float32)
        soft = cv2.GaussianBlur(grain, (3, 3), 0.8)
        soft *= np.float32(0.6 / 0.42)
        grain *= np.float32(0.8)
        grain += soft
        self.grain = cv2.convertScaleAbs(np.maximum(grain, -128 / 22, out=grain), alpha=22, beta=128)
        del grain, soft
        counts, stripes = (5.0, 4.0) if self.depth == 16 else (22.0, 13.0)
        hiss = rng.standard_normal((h + _ROAM, w + _ROAM), dtype=np.float32)
        self.hiss = np.clip(hiss * counts + 6 * counts, 0, None).astype(np.uint16)
        columns = np.clip(rng.standard_normal(w, dtype=np.float32), -3, 3) * stripes + 0.7 * stripes * tile(rng, 16, w, 1.2)[0]
        fixed = 6 * counts + columns[None, :] + (1 - self.camera.vignette(1.0)) * 130 + tile(rng, h, w, 1.3) * stripes
        low = ZERO_C + WINDOW_C[0] * 100 if self.depth == 8 else 0
        self.fixed = np.clip(np.round(fixed + low), 0, 65535).astype(np.uint16)

    # -- put together for every frame -----------------------------------------------------------------------------------------

    def _still(self, time: float, seconds: float) -> tuple[Array, Array]:
        """Return the static scene without its sky: visible uint8 (H, W, 3), infrared uint16 (H, W) counts."""
        low, share = split(time)
        if share:
            visible: Array = cv2.addWeighted(self.visible[low], 1 - share, self.visible[low + 1], share, 0)
            infrared: Array = cv2.addWeighted(self.infrared[low], 1 - share, self.infrared[low + 1], share, 0)
        else:
            visible, infrared = self.visible[low].copy(), self.infrared[low].copy()
        rows = self.sky.rows
        if rows:
            sky, cold = self.sky.at(time, seconds)
            cv2.add(visible[:rows], cv2.multiply(sky, self.open_visible, scale=1 / 255), dst=visible[:rows])
            cv2.add(infrared[:rows], cv2.multiply(cold, self.open_infrared, scale=1 / 65535), dst=infrared[:rows])
        return visible, infrared

    def _parts(self, index: int) -> list[Part]:
        """Return all moving objects, far to near, with the parts removed that static objects hide."""
        time, seconds = self.time_of_day(index), index / self.fps
        light, layout = light_at(time), self.layout
        vehicles = self._vehicles(seconds)
        parts: list[Part] = [(None, crown.cutout(time, seconds, self.places)) for crown in self.crowns]
        parts.append((None, self.plume.cutout(time, seconds)))
        for (_, cutout), screens in zip(parts, self.before, strict=True):
            hide(cutout, screens)
        figures = [Figure(walker, self.camera, seconds) for walker in layout.walkers]
        bodies: list[tuple[Figure | Vehicle, Array]] = [(v, box) for v in vehicles if self._inside(box := v.box())]
        bodies += [(f, f.centre) for f in figures if self._inside(f.centre)]
        x, z = (np.array(c) for c in ([b.x for b, _ in bodies], [b.z for b, _ in bodies]))
        lamps = lamp_light(layout.lamp, x, 1.0, z)
        if light.glow:
            for vehicle in vehicles:
                lamps = lamps + light.glow * 1.1 * vehicle.beam(x, z)
        suns = self._sun(x, z)
        for (body, points), sun, lamp in zip(bodies, suns, lamps.tolist(), strict=True):
            cutout = body.draw(self._dimmed(light, points), sun, lamp, time, self.soft)
            hide(cutout, self.screens)
            parts.append((body, cutout))
        parts.sort(key=lambda part: -part[1].z)
        return parts

    def _vehicles(self, seconds: float) -> list[Vehicle]:
        return [Vehicle(car, self.camera, seconds) for car in self.layout.cars]

    def _inside(self, points: Array) -> bool:
        """Whether a body whose bounding block has corners at (N, 2) pixels, or its shadow or glare, may be in the picture."""
        margin = 8 + 1.2 * float(points[:, 1].max() - points[:, 1].min())
        left, top = points.min(axis=0) - margin
        right, bottom = points.max(axis=0) + margin
        return bool(left < self.camera.width and right > 0 and top < self.camera.height and bottom > 0)

    def _sun(self, x: Array, z: Array) -> list[float]:
        """Return the fraction of sun at about waist height of bodies at x and z, (N,) metres."""
        shares: list[float] = self.shade.sun(x[None] - 0.9, z[None] - 0.4)[0].tolist() if len(x) else []
        return shares

    def _dimmed(self, light: Light, points: Array) -> Light:
        """Return a light reduced by the lens's vignetting at the centre of some pixels."""
        column, row = points.mean(axis=0)
        return light.times(self.camera.lens(VIGNETTE, float(column), float(row)))

    def _cast(self, parts: Sequence[Part], light: Light) -> list[Cutout]:
        """Return the shadows of moving bodies as black cutouts on the ground."""
        out: list[Cutout] = []
        strength = 0.58 * light.sun[1] / KEYS[0].sun[1]
        bodies = [(body, cutout) for body, cutout in parts if body is not None]
        if strength < 0.02:
            return out
        suns = self._sun(np.array([body.x for body, _ in bodies]), np.array([body.z for body, _ in bodies]))
        for (body, cutout), share in zip(bodies, suns, strict=True):
            blot = body.shadow() if share > 0.05 else None
            if blot is not None:
                left, top, mask = blot
                dark = cv2.convertScaleAbs(mask, alpha=strength * share)
                empty = np.zeros_like(dark)
                shadow = Cutout(cutout.z, left, top, cv2.merge([empty, empty, empty, dark]), None)
                hide(shadow, self.screens)
                out.append(shadow)
        return out

    def _beam(self, vehicle: Vehicle, light: Light, visible: Array) -> None:
        """Add the light of the headlights on the road, in place."""
        if light.glow < 0.05:
            return
        z, forward = vehicle.z, vehicle.car.forward
        reach = np.array([[vehicle.x + forward * a, 0.0, z + b] for a, b in ((2.0, -1.0), (2.0, 1.0), (14.0, -3.4), (14.0, 3.4))])
        points = self.camera.project(reach)[0]
        left, top = np.maximum(np.floor(points.min(axis=0)), 0).astype(int)
        right, bottom = np.minimum(np.ceil(points.max(axis=0)), (self.camera.width, self.camera.height)).astype(int)
        if left >= right or top >= bottom:
            return
        for first in range(top, bottom, ROWS):
            last = min(first + ROWS, bottom)
            x, depth_z, _ = self.camera.ground(left, first, right, last)
            share = vehicle.beam(x, depth_z)[..., None] * np.array([0.62, 0.82, 0.95], np.float32) * np.float32(light.glow)
            roi = visible[first:last, left:right]
            cv2.add(roi, (self.reflectance[first:last, left:right] * share).astype(np.uint8), dst=roi)

    def _flare(self, vehicle: Vehicle, light: Light, visible: Array) -> None:
        """Add the glare of head and tail lights, in place."""
        if light.glow < 0.05:
            return
        head, tail = vehicle.lamps()
        for at, size, colour in ((head, 0.85, (190, 225, 245)), (tail, 0.45, (24, 20, 190))):
            radius = max(round(size * vehicle.metre), 2)
            x, y = round(float(at[0])), round(float(at[1]))
            x0, y0 = max(x - radius, 0), max(y - radius, 0)
            roi = visible[y0 : max(y + radius + 1, 0), x0 : max(x + radius + 1, 0)]
            if not roi.size:
                continue
            dx = (np.arange(x0, x0 + roi.shape[1], dtype=np.float32) - np.float32(at[0]))[None, :] / radius
            dy = (np.arange(y0, y0 + roi.shape[0], dtype=np.float32) - np.float32(at[1]))[:, None] / radius
            radius2 = dx * dx + dy * dy
            glare = np.clip(np.exp(-radius2 * 9) + 0.25 * np.exp(-radius2 * 3.5) - 0.01, 0, 1) * light.glow
            cv2.add(roi, (glare[..., None] * np.array(colour, np.float32)).astype(np.uint8), dst=roi)

    def _sense(self, visible: Array, infrared: Array, light: Light, index: int) -> tuple[Array, Array]:
        """Apply both sensors' response and noise. Overwrites both arguments."""
        a, b, c, d = np.random.default_rng([self.seed, 9, index]).integers(0, _ROAM, 4)
        h, w = infrared.shape
        gain = light.noise / 22
        cv2.addWeighted(visible, 1.0, self.grain[a : a + h, b : b + w], gain, -128 * gain, dst=visible)
        cv2.add(infrared, self.hiss[c : c + h, d : d + w], dst=infrared)
        cv2.subtract(infrared, self.fixed, dst=infrared)
        if self.depth == 16:
            return visible, infrared
        return visible, np.asarray(cv2.convertScaleAbs(infrared, alpha=255 / (100 * (WINDOW_C[1] - WINDOW_C[0]))))

    def _find(self, index: int) -> tuple[list[Box], Array]:
        """Return the boxes for `bodies` and the label image for `labels`."""
        labels = np.zeros((self.camera.height, self.camera.width), np.uint8)
        whole: list[tuple[str, int]] = []
        for body, cutout in self._parts(index):
            overlap = cutout.within(self.camera.width, self.camera.height)
            if overlap is None:
                continue
            rows, columns, own_rows, own_columns = overlap
            solid = cutout.colour[own_rows, own_columns, 3] > 127
            kind = "" if body is None else (body.car if isinstance(body, Vehicle) else body.body).kind
            if kind:
                whole.append((kind, cutout.area))
            labels[rows, columns][solid] = len(whole) if kind else 0
        boxes: list[Box] = []
        kept = np.zeros(len(whole) + 1, np.uint8)
        for i, (kind, area) in enumerate(whole, 1):
            ys, xs = np.nonzero(labels == i)
            if len(ys):
                kept[i] = len(boxes) + 1
                shown = min(len(ys) / max(area, 1), 1.0)
                boxes.append(Box(kind, int(xs.min()), int(ys.min()), int(np.ptp(xs)) + 1, int(np.ptp(ys)) + 1, shown))
        return boxes, kept[labels]
