"""Crops to train SSCNet on: real ones, and mixed ones (spectra of real scenes over abundances made from photographs' textures).

Real crops are `tools.data.cubes.batch`'s. A mixed one takes 3 to 6 spectra of the training scenes, some of them extreme ones, and
gives each a share of every pixel by a softmax of random weights over photographs' luma, fine and blurred; then illumination, a
smooth random response over the bands, and noise. Both kinds may be seen by a sensor that covers a part of the spectral axis.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from tools.data.cubes import Scene, batch
from tools.data.photographs import Photograph, crops

Floats = NDArray[np.float32]
MIXED = 0.35  # share of the crops
PART = 0.2  # share of the crops that see only a part of the spectral axis
EXTREMES = 48  # of a scene


def endmembers(scenes: list[Scene], rng: np.random.Generator) -> list[Floats]:
    """Of each scene (n, bands): the pixels that lie farthest along random directions, and as many at random."""
    found = []
    for scene in scenes:
        spectra = scene.cube.reshape(scene.cube.shape[0], -1).T
        along = spectra @ rng.normal(size=(spectra.shape[1], EXTREMES)).astype(np.float32)
        chosen = np.concatenate([along.argmax(axis=0), rng.integers(0, len(spectra), EXTREMES)])
        found.append(np.ascontiguousarray(spectra[chosen]))
    return found


class Source:
    """Draws batches; all randomness comes from the generator that `batch` is given."""

    def __init__(self, scenes: list[Scene], photographs: list[Photograph], size: int, mixed: float = MIXED) -> None:
        self._scenes, self._photographs, self._size, self._mixed = scenes, photographs, size, mixed
        self._spectra = endmembers(scenes, np.random.default_rng(0))

    def batch(self, count: int, rng: np.random.Generator) -> Floats:
        """float32 (count, bands, size, size) in [0, 1]."""
        made = batch(self._scenes, count, self._size, rng)
        for crop in made:
            if self._photographs and rng.random() < self._mixed:
                crop[:] = self._mix(rng)
            if rng.random() < PART:
                crop[:] = _part(crop, rng)
        return made

    def _mix(self, rng: np.random.Generator) -> Floats:
        group = self._spectra[int(rng.integers(len(self._spectra)))]
        if rng.random() < 0.3:  # two scenes' materials side by side
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
    """(bands, 1): a smooth factor around 1."""
    knots = rng.normal(0, 0.08, 8)
    return np.exp(np.interp(np.linspace(0, 7, bands), np.arange(8), knots))[:, None]


def _part(crop: Floats, rng: np.random.Generator) -> Floats:
    """The crop as a sensor sees it that covers a part of the spectral axis only, in as many bands."""
    bands = len(crop)
    first, last = rng.uniform(0, 0.3 * bands), bands - 1 - rng.uniform(0, 0.5 * bands)
    at = np.linspace(first, last, bands)
    low = np.minimum(at.astype(int), bands - 2)
    share = (at - low).astype(np.float32)[:, None, None]
    return crop[low] * (1 - share) + crop[low + 1] * share
