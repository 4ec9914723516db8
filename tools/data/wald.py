"""Loads hyperspectral scenes degraded by Wald's protocol. Bands are resampled when a batch is drawn.

    scenes:DIR   .npz files with `cube` (H, W, B), or enmap*.npz (tiles, H, W, B)
    aviris:DIR   CSAKD's AVIRIS crops as published: DIR/{train,val,test}.txt name them, DIR/NAMEGT.npz.npy or DIR/NAMEGT.npz is (H, W, 172)

A scene is reduced by 4 (Gaussian blur as wide as a low-resolution pixel, then every 4th pixel) and enlarged again by cubic interpolation.
Wide bands are averages over ranges of the band index. Radiometric scaling is fixed: counts / 10000; a cube with a maximum of at most 2 is
not scaled. (The paper scales each truth by its own minimum and maximum, which are unknown when a cube is sharpened.)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edgefuse.sharpening.csakd import RANGES, network_inputs
from edgefuse.sharpening.cubic import enlarged
from edgefuse.sharpening.psf import Psf
from tools.csakd.network import BANDS, SLOTS
from tools.data import cubes

RATIO = 4
# scenes for testing only: the codec's, and all but one of the airborne sensors with few bands (a scene of each place)
HELD_OUT = (*cubes.HELD_OUT, "gator_muufl_sub", "muufl_90", "paviaU_sub50")
LEFT_OUT = ("paris_hs", "paris_ms")  # a real pair, without ground truth
_LEAST_BANDS = 32  # smallest part of the spectrum that simulates another sensor


@dataclass(frozen=True)
class Scene:
    """A scene. truth: float32 (H, W, B), the sharp cube in [0, 1]. start: the cubic interpolation of the degraded cube. part: "train",
    "validation" or "test"."""

    name: str
    truth: np.ndarray
    start: np.ndarray
    part: str


def degraded(cube: np.ndarray) -> np.ndarray:
    sigma = RATIO / 2.355
    size = 2 * int(np.ceil(3 * sigma)) + 1
    bands = [cv2.GaussianBlur(band, (size, size), sigma, borderType=cv2.BORDER_REFLECT_101) for band in np.moveaxis(cube, 2, 0)]
    return np.ascontiguousarray(np.stack(bands, 2)[RATIO // 2 :: RATIO, RATIO // 2 :: RATIO])


def interpolated(low: np.ndarray) -> np.ndarray:
    """Interpolate the degraded cube on the original grid; the samples lie half a pixel below and to the right of the block centres."""
    h, w, _ = low.shape
    return enlarged(low, ((0, h), (0, w)), ((0, h * RATIO), (0, w * RATIO)), (h, w), Psf(RATIO, dy=0.5, dx=0.5))


def wide_bands(cube: np.ndarray, count: int = SLOTS) -> np.ndarray:
    """Average a cube (H, W, B) to `count` wide bands (H, W, count)."""
    bands = cube.shape[2]
    return np.stack([cube[..., int(a * bands) : max(int(a * bands) + 1, int(b * bands))].mean(2) for a, b in RANGES[:count]], 2)


def _scene(name: str, cube: np.ndarray, part: str) -> Scene:
    truth = cubes.scaled(cube[: cube.shape[0] // RATIO * RATIO, : cube.shape[1] // RATIO * RATIO])
    return Scene(name, truth, interpolated(degraded(truth)), part)


def scenes(root: Path) -> Iterator[Scene]:
    for path in sorted(root.glob("*.npz")):
        if path.stem in LEFT_OUT:
            continue
        with np.load(path) as stored:
            cube = stored["cube"]
        for k, tile in enumerate(cube if cube.ndim == 4 else cube[None]):
            name = f"enmap_{k:02d}" if cube.ndim == 4 else path.stem
            yield _scene(name, tile, "test" if name in HELD_OUT else "train")


def aviris(root: Path) -> Iterator[Scene]:
    for part, file in (("train", "train"), ("validation", "val"), ("test", "test")):
        for name in (root / f"{file}.txt").read_text().split():
            path = next((p for p in (root / f"{name}GT.npz.npy", root / f"{name}GT.npz") if p.is_file()), None)
            if path is None:
                raise ValueError(f"{root / name}: neither GT.npz.npy nor GT.npz of it is there")
            stored = np.load(path)
            cube = stored if isinstance(stored, np.ndarray) else stored[stored.files[0]]
            if cube.ndim != 3 or cube.shape[2] != BANDS:
                raise ValueError(f"{path}: expected {BANDS} bands last, got {cube.shape}")
            yield _scene(Path(name).name, cube, part)


def load(uris: list[str]) -> list[Scene]:
    """Load the scenes of KIND:DIR. Raises ValueError for an unknown kind, or if there is nothing to train on."""
    kinds = {"scenes": scenes, "aviris": aviris}
    loaded: list[Scene] = []
    for uri in uris:
        kind, _, folder = uri.partition(":")
        if kind not in kinds:
            raise ValueError(f"{uri}: expected scenes:DIR or aviris:DIR")
        loaded += kinds[kind](Path(folder))
    if not any(s.part == "train" for s in loaded):
        raise ValueError(f"nothing to train on in {', '.join(uris)}")
    return loaded


def batch(scenes: list[Scene], count: int, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw float32 cubes (count, 172, size, size), images (count, 6, ...) and truths (count, 172, ...): crops, rotated and mirrored, with
    random gains, with images of 4 or 6 bands; half of them only a part of the spectrum, as of another sensor; a few with noise.

    Scenes are drawn with a probability proportional to their area, at most eight times that of the smallest.
    """
    areas = np.minimum([s.truth.shape[0] * s.truth.shape[1] for s in scenes], 4 * size * size).astype(float)
    few = int(rng.choice((4, 6)))
    made: list[list[np.ndarray]] = [[], [], []]
    for _ in range(count):
        scene = scenes[rng.choice(len(scenes), p=areas / areas.sum())]
        top, left = (int(rng.integers(0, max(n - size, 0) + 1)) for n in scene.truth.shape[:2])
        window = slice(top, top + size), slice(left, left + size), _stretch(scene.truth.shape[2], rng)
        gain = np.float32(np.exp(rng.uniform(-0.9, 0.5)))
        turns, mirrored = int(rng.integers(4)), rng.random() < 0.5
        truth, start = (_turned(gain * x[window], turns, mirrored, size) for x in (scene.truth, scene.start))
        image = wide_bands(truth, few)
        if rng.random() < 0.2:
            level = 10 ** (-rng.uniform(25, 50) / 20) * np.sqrt(np.square(image).mean())
            image = image + np.float32(level) * rng.normal(size=image.shape).astype(np.float32)
        cube, image = network_inputs(start, image, BANDS)
        for into, x in zip(made, (cube, image, cubes.resampled(truth, BANDS).transpose(2, 0, 1)), strict=True):
            into.append(np.clip(x, 0, 1))
    return tuple(np.ascontiguousarray(np.stack(x), np.float32) for x in made)  # type: ignore[return-value]


def _stretch(bands: int, rng: np.random.Generator) -> slice:
    if rng.random() < 0.5 or bands <= _LEAST_BANDS:
        return slice(0, bands)
    length = int(rng.integers(_LEAST_BANDS, bands + 1))
    first = int(rng.integers(0, bands - length + 1))
    return slice(first, first + length)


def _turned(x: np.ndarray, turns: int, mirrored: bool, size: int) -> np.ndarray:
    short = [(0, size - n) for n in x.shape[:2]]
    x = np.rot90(np.pad(x, (*short, (0, 0)), mode="symmetric"), turns, (0, 1))
    return x[:, ::-1] if mirrored else x
