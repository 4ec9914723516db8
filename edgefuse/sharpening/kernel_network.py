"""Features that a small network learned through the kriging (tools/kernel/train.py), added to the fixed ones."""

from __future__ import annotations

import functools
from threading import Lock

import numpy as np

from edgefuse import runtimes, zoo
from edgefuse.sharpening.kernel import MANY, Features, Kernel, Shown, fixed
from edgefuse.util.arrays import Float32Array

MODEL = "sharpen-kernel"
AXES, LEFT = 6, 6  # of the image, and components of what the trend leaves, that the network takes
FEATURES = 8  # of each kind that it gives, and so bands of an image at most
LOUDEST = 2.0  # logarithm of how large the residual may be somewhere, and of one over how small
_MARGIN = 2
TAKES = np.float32(1 / 16)  # of asinh, about the middle of 0..1
ALIKE, LEANING, LOUD = np.float32(2), np.float32(16), np.float32(8)  # what 0..1 stands for, about its middle


class Learned:
    """Fixed features, and what the network adds to each. One call at a time."""

    margin, left = _MARGIN, LEFT

    def __init__(self, card: zoo.Card, fixed: Features) -> None:
        self._choice, self._fixed = runtimes.choose(card, threads=1), fixed
        self._lock = Lock()
        self._name, self._made = card.inputs[0].name, card.outputs[0].name

    def __call__(self, whitened: Float32Array, left: Float32Array) -> Shown:
        height, width, bands = whitened.shape
        few = min(bands, AXES)
        planes = np.full((AXES + LEFT, height, width), 0.5, np.float32)
        planes[:few] += np.moveaxis(np.arcsinh(whitened[..., :few]), 2, 0) * TAKES
        planes[AXES:] += np.moveaxis(np.arcsinh(left), 2, 0) * TAKES
        with self._lock:
            made = self._choice.runtime.run({self._name: np.ascontiguousarray(self._choice.tensor(planes))})[self._made]
            added = np.moveaxis(self._choice.planes(made), 0, 2) - np.float32(0.5)
        # its convolutions see zeros where the window ends
        inner = slice(_MARGIN, -_MARGIN), slice(_MARGIN, -_MARGIN)
        added = added[inner]
        alike, leaning = added[..., :FEATURES] * ALIKE, added[..., FEATURES:-1] * LEANING
        loud = np.exp(np.clip(added[..., -1] * LOUD, -LOUDEST, LOUDEST))
        own = self._fixed(whitened[inner], left[inner])
        alike[..., :bands] += own.alike
        leaning[..., :bands] += own.leaning
        return Shown(np.ascontiguousarray(alike), np.ascontiguousarray(leaning), loud)


def kernel(bands: int) -> Kernel:
    """For an image of so many bands: learned, or fixed where little is left to learn.

    Raises ModelError where the model's files are damaged.
    """
    return fixed(bands) if bands >= MANY else _found()


@functools.cache
def _found() -> Kernel:
    return of(zoo.find(MODEL), MANY - 1)


def of(card: zoo.Card, bands: int) -> Kernel:
    """A model's kernel for an image of so many bands, at most FEATURES."""
    return Kernel(Learned(card, fixed(bands).features), float(card.training["near"][int(bands >= MANY)]))
