"""Features that a small network learned through the kriging (tools/train_kernel.py), added to the fixed ones."""

from __future__ import annotations

import functools
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from edgefuse import runtimes, zoo
from edgefuse.sharpening.kernel import Fixed, Kernel, Shown, many_bands

Floats = NDArray[np.float32]

MODEL = "sharpen-kernel"
AXES = 8  # of the image that the network takes; the features of each kind that it gives
_MOST = 5  # bands: with 6 the fixed kernel is 0.1 dB better
_MARGIN = 2
TAKES = np.float32(1 / 16)  # of asinh, about the middle of 0..1
ALIKE, LEANING = np.float32(2), np.float32(16)  # what 0..1 stands for, about its middle


class Learned:
    """Fixed features, and what the network adds to each. One call at a time."""

    margin = _MARGIN

    def __init__(self, card: zoo.Card) -> None:
        self._choice = runtimes.choose(card, threads=1)
        self._lock = Lock()
        self._name, self._made = card.inputs[0].name, card.outputs[0].name

    def __call__(self, whitened: Floats) -> Shown:
        height, width, few = whitened.shape
        planes = np.full((AXES, height, width), 0.5, np.float32)
        planes[:few] += np.moveaxis(np.arcsinh(whitened), 2, 0) * TAKES
        with self._lock:
            made = self._choice.runtime.run({self._name: np.ascontiguousarray(self._choice.tensor(planes))})[self._made]
            added = np.moveaxis(self._choice.planes(made), 0, 2) - np.float32(0.5)
        # its convolutions see zeros where the window ends
        inner = slice(_MARGIN, -_MARGIN), slice(_MARGIN, -_MARGIN)
        alike, leaning = added[(*inner, slice(AXES))] * ALIKE, added[(*inner, slice(AXES, None))] * LEANING
        fixed = Fixed()(whitened[inner])
        alike[..., :few] += fixed.alike
        leaning[..., :few] += fixed.leaning
        return Shown(np.ascontiguousarray(alike), np.ascontiguousarray(leaning))


def kernel(bands: int) -> Kernel:
    """For an image of so many bands: learned, or fixed where little is left to learn.

    Raises ModelError where the model's files are damaged.
    """
    return _learned() if bands <= _MOST else many_bands()


@functools.cache
def _learned() -> Kernel:
    card = zoo.find(MODEL)
    return Kernel(Learned(card), float(card.training["near"]))
