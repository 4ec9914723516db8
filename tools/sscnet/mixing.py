"""Training crops for SSCNet: real ones, and mixed ones (spectra of real scenes with abundances from photographs' textures).

Real crops come from `tools.data.cubes.batch`. A mixed crop combines 3 to 6 spectra of the training scenes, some of them extreme. Their
shares at each pixel are a softmax of random weights over photographs' luma, fine and blurred. Then illumination, a smooth random response
over the bands, and noise are added. Both kinds may be restricted to a part of the spectral axis, as of another sensor.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from tools.data.cubes import Scene, batch
from tools.data.photographs import Photograph, crops

Floats = NDArray[np.float32]
MIXED = 0.35  # share of mixed crops
PART = 0.2  # share of the crops that cover only a part of the spectral axis
EXTREMES = 48  # per scene


def endmembers(scenes: list[Scene], rng: np.random.Generator) -> list[Floats]:
    """Return spectra (n, bands) of each scene: the extreme pixels along random directions, and as many random pixels."""
    endmember_sets = []
    for scene in scenes:
        spectra = scene.cube.reshape(scene.cube.shape[0], -1).T
        along = spectra @ rng.normal(size=(spectra.shape[1], EXTREMES)).astype(np.float32)
        chosen = np.concatenate([along.argmax(axis=0), rng.integers(0, len(spectra), EXTREMES)])
        endmember_sets.append(np.ascontiguousarray(spectra[chosen]))
    return endmember_sets


class Source:
    """Draws batches; all randomness comes from the generator passed to `batch`."""

    def __init__(self, scenes: list[Scene], photographs: list[Photograph], size: int, mixed: float = MIXED) -> None:
        self._scenes, self._photographs, self._size, self._mixed = scenes, photographs, size, mixed
        self._spectra = endmembers(scenes, np.random.default_rng(0))

    def batch(self, count: int, rng: np.random.Generator) -> Floats:
        """Draw crops, float32 (count, bands, size, size) in [0, 1]."""
        made = batch(self._scenes, count, self._size, rng)
        for crop in made:
            if self._photographs and rng.random() < self._mixed:
                crop[:] = self._mix(rng)
            if rng.random() < PART:
                crop[:] = _part(crop, rng)
        return made

    def _mix(self, rng: np.random.Generator) -> Floats:
        group = self._spectra[int(rng.integers(len(self._spectra)))]
        if rng.random() < 0.3:  # the materials of two scenes
            group = np.concatenate([group, self._spectra[int(rng.integers(len(self._spectra)))]])
        spectra = group[rng.integers(0, len(group), int(rng.integers(3, 7)))]
        planes = crops(self._photographs, 2, self._size, rng)[:, 0]
        planes = np.concatenate([planes, [cv2.GaussianBlur(p, (0, 0), rng.uniform(1, 4)) for p in planes]])
        logits = np.tensordot(rng.normal(0, rng.uniform(2, 8), (len(spectra), len(planes))), planes - planes.mean((1, 2), keepdims=True), 1)
        shares = np.exp(logits - logits.max(axis=0))
        shares /= shares.sum(axis=0)
        light = np.exp(rng.uniform(0, 0.8) * (planes[0] - planes[0].mean())) * np.exp(rng.uniform(-0.4, 0.4))
        cube = np.tensordot(spectra.T * _response(spectra.shape[1], rng), shares, 1) * light
        cube += rng.normal(0, 10 ** rng.uniform(-4, -2.5), cube.shape)
        return np.clip(cube, 0, 1).astype(np.float32)


def _response(bands: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a smooth random factor around 1 for each band, (bands, 1)."""
    knots = rng.normal(0, 0.08, 8)
    return np.exp(np.interp(np.linspace(0, 7, bands), np.arange(8), knots))[:, None]


def _part(crop: Floats, rng: np.random.Generator) -> Floats:
    """Resample a part of the spectral axis to all bands, as a sensor of that part would record."""
    bands = len(crop)
    first, last = rng.uniform(0, 0.3 * bands), bands - 1 - rng.uniform(0, 0.5 * bands)
    at = np.linspace(first, last, bands)
    low = np.minimum(at.astype(int), bands - 2)
    share = (at - low).astype(np.float32)[:, None, None]
    return crop[low] * (1 - share) + crop[low + 1] * share
