"""Loads hyperspectral scenes, with 202 bands in [0, 1].

    hyspecnet:DIR[:easy|hard]   HySpecNet-11k as published: DIR/patches/**/NAME-DATA.npy and DIR/splits/easy/{train,val,test}.csv
    scenes:DIR                  .npz files with `cube` (H, W, B), the spectral axis resampled to 202; enmap*.npz (tiles, H, W, 218 or 224)
                                reduced to the 202 of HySpecNet-11k

Radiometric scaling is fixed: counts / 10000 clipped to [0, 1]; a cube with a maximum of at most 2 is not scaled.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tools.sscnet.network import BANDS

# water vapour bands that HySpecNet-11k drops, 0-based among EnMAP's 224
DROPPED = (*range(126, 141), *range(160, 167))
_MISSING = range(129, 135)  # missing in ../shared/data/hsi/enmap_potsdam_tiles.npz, which has 218 bands
# for testing only: two airborne sensors, an urban and a coastal scene, and two EnMAP tiles
HELD_OUT = ("abu_airport_3", "abu_beach_2", "abu_urban_5", "sandiego", "enmap_12", "enmap_13")


@dataclass(frozen=True)
class Scene:
    """A scene. cube: float32 (202, H, W) in [0, 1]. part: "train", "validation" or "test"."""

    name: str
    cube: np.ndarray
    part: str


def scaled(cube: np.ndarray) -> np.ndarray:
    """Convert counts or reflectance (H, W, B) to float32 (H, W, B) in [0, 1]."""
    whole = np.nan_to_num(cube.astype(np.float32))
    return np.clip(whole if whole.max() <= 2 else whole / 10000, 0, 1)


def resampled(cube: np.ndarray, bands: int = BANDS) -> np.ndarray:
    """Resample (H, W, B) to (H, W, bands) linearly along the spectral axis; first and last band are kept. This is no real sensor."""
    count = cube.shape[2]
    at = np.linspace(0, count - 1, bands)
    low = np.minimum(at.astype(int), max(count - 2, 0))
    share = (at - low).astype(np.float32)
    return cube[..., low] * (1 - share) + cube[..., np.minimum(low + 1, count - 1)] * share


def enmap(cube: np.ndarray) -> np.ndarray:
    """Reduce EnMAP's 224 bands, or 218 without bands 129 to 134, to HySpecNet-11k's: (H, W, 202)."""
    there = [b for b in range(224) if cube.shape[2] == 224 or b not in _MISSING]
    if len(there) != cube.shape[2]:
        raise ValueError(f"expected EnMAP's 224 or 218 bands, got {cube.shape[2]}")
    return cube[..., [k for k, b in enumerate(there) if b not in DROPPED]]


def scenes(root: Path) -> Iterator[Scene]:
    for path in sorted(root.glob("*.npz")):
        with np.load(path) as stored:
            cube = stored["cube"]
        if path.stem.startswith("enmap"):
            for k, tile in enumerate(cube):
                yield _scene(f"enmap_{k:02d}", enmap(scaled(tile)))
        elif cube.shape[2] >= 32:
            yield _scene(path.stem, resampled(scaled(cube)))


def _scene(name: str, cube: np.ndarray) -> Scene:
    return Scene(name, np.ascontiguousarray(cube.transpose(2, 0, 1)), "test" if name in HELD_OUT else "train")


def hyspecnet(root: Path, split: str = "easy") -> Iterator[Scene]:
    """Load the published splits; patches are (202, 128, 128) float32, already scaled."""
    for part, file in (("train", "train"), ("validation", "val"), ("test", "test")):
        with (root / "splits" / split / f"{file}.csv").open(newline="") as f:
            names = [name for row in csv.reader(f) for name in row]
        for name in names:
            cube = np.load(root / "patches" / name)
            if cube.shape[0] != BANDS:
                raise ValueError(f"{name}: expected {BANDS} bands first, got {cube.shape}")
            yield Scene(Path(name).stem, np.clip(cube.astype(np.float32), 0, 1), part)


def load(uris: list[str]) -> list[Scene]:
    """Load the scenes of KIND:DIR. Raises ValueError for an unknown kind or an empty folder."""
    loaded: list[Scene] = []
    for uri in uris:
        kind, _, rest = uri.partition(":")
        if kind == "scenes":
            loaded += scenes(Path(rest))
        elif kind == "hyspecnet":
            folder, _, split = rest.partition(":")
            loaded += hyspecnet(Path(folder), split or "easy")
        else:
            raise ValueError(f"{uri}: expected scenes:DIR or hyspecnet:DIR")
    if not any(s.part == "train" for s in loaded):
        raise ValueError(f"nothing to train on in {', '.join(uris)}")
    return loaded


def batch(scenes: list[Scene], count: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Draw random crops, float32 (count, 202, size, size): rotated, mirrored, with random gains, and sometimes as another sensor sees them.

    Scenes are drawn with a probability proportional to their area, at most eight times that of the smallest.
    """
    areas = np.minimum([s.cube.shape[1] * s.cube.shape[2] for s in scenes], 8 * size * size).astype(float)
    out = np.empty((count, BANDS, size, size), np.float32)
    for k in range(count):
        cube = scenes[rng.choice(len(scenes), p=areas / areas.sum())].cube
        top, left = (int(rng.integers(0, max(n - size, 0) + 1)) for n in cube.shape[1:])
        crop = cube[:, top : top + size, left : left + size]
        short = [(0, size - n) for n in crop.shape[1:]]
        crop = np.rot90(np.pad(crop, ((0, 0), *short), mode="reflect"), int(rng.integers(4)), (1, 2))
        if rng.random() < 0.5:
            crop = crop[:, :, ::-1]
        if rng.random() < 0.3:
            # shift the bands, as of another sensor
            first, last = rng.uniform(0, 15), BANDS - 1 - rng.uniform(0, 15)
            at = np.linspace(first, last, BANDS)
            low = np.minimum(at.astype(int), BANDS - 2)
            share = (at - low).astype(np.float32)[:, None, None]
            crop = crop[low] * (1 - share) + crop[low + 1] * share
        out[k] = np.clip(crop * np.float32(np.exp(rng.uniform(-0.4, 0.4))), 0, 1)
    return out
