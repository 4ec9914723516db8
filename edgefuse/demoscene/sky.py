"""The demo's sky with drifting clouds, and the warm plume above a chimney."""

from __future__ import annotations

import cv2
import numpy as np

from edgefuse.demoscene.cutout import Cutout
from edgefuse.demoscene.optics import BGR, ZERO_C, Array, PinholeCamera, light_at, split, tile

DRIFT_S = 120.0  # period of the clouds' drift
_TOP: tuple[BGR, ...] = ((206, 146, 84), (96, 62, 58), (26, 14, 10))
_LOW: tuple[BGR, ...] = ((238, 222, 200), (118, 156, 232), (46, 31, 26))
_CLOUD: tuple[BGR, ...] = ((252, 250, 248), (150, 142, 206), (48, 40, 36))


class Sky:
    """The top `rows` of the picture without any object in front of the sky."""

    def __init__(self, camera: PinholeCamera, rows: int, keys: tuple[int, ...], vignette: Array, rng: np.random.Generator) -> None:
        self.rows, self.width = rows, camera.width
        self.period = max(round(camera.width * 1.7), 64)
        height = np.clip(1 - np.arange(rows, dtype=np.float32) / max(camera.horizon, 1), 0, 1)[:, None, None]
        field = tile(rng, max(rows, 16), self.period, 1.65, 2.0)[:rows]
        cloud = np.clip((field - 0.35) * 0.8, 0, 1) ** 0.9 * np.clip(0.15 + 1.6 * height[..., 0], 0, 1) * 0.9
        cloud = np.round(cloud * 255).astype(np.uint8)
        self.cloud = np.hstack([cloud, cloud[:, : camera.width + 1]])
        shade = vignette[:rows, :, None]
        lift = height**0.75
        self.clear, self.white = {}, {}
        stars = np.zeros((rows, camera.width, 1), np.float32)
        if n := min(rows * camera.width // 1300, 90):
            stars[rng.integers(0, rows, n), rng.integers(0, camera.width, n), 0] = rng.uniform(8, 70, n)
        for key in keys:
            low, top, bright = (np.array(c[key], np.float32) for c in (_LOW, _TOP, _CLOUD))
            base = low + (top - low) * lift
            self.clear[key] = np.clip((base + (stars if key == 2 else 0)) * shade, 0, 255).astype(np.uint8)
            self.white[key] = np.clip((bright - base) * shade, 0, 255).astype(np.uint8)
        cold = np.broadcast_to(-3 - 34 * height[..., 0] ** 0.6, (rows, camera.width)) * 100 + ZERO_C
        self.cold = np.ascontiguousarray(cold.astype(np.uint16))

    def at(self, time: float, seconds: float) -> tuple[Array, Array]:
        """Return uint8 (rows, width, 3) and uint16 (rows, width) infrared counts at a time of day and a moment."""
        offset = (seconds / DRIFT_S * self.period) % self.period
        whole, part = int(offset), offset - int(offset)
        here, next_ = self.cloud[:, whole : whole + self.width], self.cloud[:, whole + 1 : whole + 1 + self.width]
        cloud = cv2.addWeighted(here, 1 - part, next_, part, 0)
        low, share = split(time)
        clear, white = self.clear[low], self.white[low]
        if share:
            clear = cv2.addWeighted(clear, 1 - share, self.clear[low + 1], share, 0)
            white = cv2.addWeighted(white, 1 - share, self.white[low + 1], share, 0)
        visible = cv2.add(clear, cv2.multiply(white, cv2.cvtColor(cloud, cv2.COLOR_GRAY2BGR), scale=1 / 255))
        counts = cv2.add(self.cold, cloud.astype(np.uint16) * np.uint16(7))  # a cloud is up to 18 K warmer than the clear sky
        return np.asarray(visible), np.asarray(counts)


class Plume:
    """Warm air and a little smoke above a chimney: soft noise that rises through a widening column."""

    LOOP_S = 4.0

    def __init__(self, mouth: tuple[float, float, float], camera: PinholeCamera, rng: np.random.Generator) -> None:
        foot, depth = camera.project(np.array(mouth))
        metre = camera.focal / float(depth)
        self.z = mouth[2]
        h, w = max(round(3.2 * metre), 4), max(round(2.6 * metre), 4)
        middle = 0.35 if camera.mirror > 0 else 0.65
        self.left, self.top = round(float(foot[0]) - w * middle), round(float(foot[1])) - h
        up = ((h - np.arange(h, dtype=np.float32)) / h)[:, None]
        across = camera.mirror * (np.arange(w, dtype=np.float32)[None, :] / w - middle)
        fade = np.clip(1 - up, 0, 1) ** 0.8 * np.clip((1 - up) * 4, 0, 1)
        self.column = np.exp(-(((across - 0.34 * up**1.4) / (0.07 + 0.2 * up)) ** 2)) * fade
        field = np.clip(0.66 + 0.4 * tile(rng, 64, 32, 1.2), 0, 1)
        rows = 2 * h
        self.noise = cv2.resize(np.vstack([field, field]), (w, 2 * rows), interpolation=cv2.INTER_LINEAR)
        self.rows = rows

    def cutout(self, time: float, seconds: float) -> Cutout:
        """Return the plume at a time of day and a moment."""
        h = self.column.shape[0]
        offset = (seconds / self.LOOP_S % 1.0) * self.rows
        whole = int(offset)
        part = np.float32(offset - whole)
        noise = self.noise[whole : whole + h] * (1 - part) + self.noise[whole + 1 : whole + 1 + h] * part
        cover = (self.column * (0.35 + 0.65 * noise)).astype(np.float32)
        smoke = 0.30 * cover
        shade = np.minimum(light_at(time).on(0.5, 0.1) * 235, 255).astype(np.float32)
        colour = np.dstack([*(smoke * c for c in shade), smoke * 255]).astype(np.uint8)
        hot = 14.0 + 10.0 * self.column
        return Cutout(self.z, self.left, self.top, colour, np.dstack([cover * (hot * 100 + ZERO_C), cover]).astype(np.float32))
