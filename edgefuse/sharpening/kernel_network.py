"""Kernel features computed by a small network, trained end to end through the kriging (tools/kernel/train.py), added to the fixed ones."""

from __future__ import annotations

import functools
from threading import Lock

import numpy as np

from edgefuse import runtimes, zoo
from edgefuse.sharpening.kernel import MANY, Features, Kernel, WindowFeatures, fixed
from edgefuse.util.arrays import Float32Array

MODEL = "sharpen-kernel"
AXES, LEFT = 6, 6  # the network's inputs: principal axes of the image, components of the trend's residual
FEATURES = 8  # outputs of each kind, and so the largest number of bands of an image
MAX_LOG_SCALE = 2.0  # limit of the absolute logarithm of the residual's scale
_MARGIN = 2  # radius of the receptive field, in pixels
INPUT_SCALE = np.float32(1 / 16)  # inputs are 0.5 + asinh(x) / 16, so that they fit 0..1
SIMILARITY, SLOPE, SCALE = np.float32(2), np.float32(16), np.float32(8)  # scales of the outputs, which are centred on 0.5


class LearnedFeatures:
    """The fixed features plus the network's additive correction. Calls are serialised by a lock."""

    margin, left = _MARGIN, LEFT

    def __init__(self, card: zoo.Card, fixed: Features) -> None:
        self._choice, self._fixed = runtimes.choose(card, threads=1), fixed
        self._lock = Lock()
        self._name, self._made = card.inputs[0].name, card.outputs[0].name

    def __call__(self, whitened: Float32Array, left: Float32Array) -> WindowFeatures:
        height, width, bands = whitened.shape
        axes = min(bands, AXES)
        planes = np.full((AXES + LEFT, height, width), 0.5, np.float32)
        planes[:axes] += np.moveaxis(np.arcsinh(whitened[..., :axes]), 2, 0) * INPUT_SCALE
        planes[AXES:] += np.moveaxis(np.arcsinh(left), 2, 0) * INPUT_SCALE
        with self._lock:
            output = self._choice.runtime.run({self._name: np.ascontiguousarray(self._choice.tensor(planes))})[self._made]
            correction = np.moveaxis(self._choice.planes(output), 0, 2) - np.float32(0.5)
        # cut the margin, where its convolutions see the zero padding
        inner = slice(_MARGIN, -_MARGIN), slice(_MARGIN, -_MARGIN)
        correction = correction[inner]
        similarity, slopes = correction[..., :FEATURES] * SIMILARITY, correction[..., FEATURES:-1] * SLOPE
        scale = np.exp(np.clip(correction[..., -1] * SCALE, -MAX_LOG_SCALE, MAX_LOG_SCALE))
        base = self._fixed(whitened[inner], left[inner])
        similarity[..., :bands] += base.similarity
        slopes[..., :bands] += base.slopes
        return WindowFeatures(np.ascontiguousarray(similarity), np.ascontiguousarray(slopes), scale)


def kernel(bands: int) -> Kernel:
    """Return the kernel for an image of `bands` bands: learned below MANY bands, else fixed.

    Raises ModelError where the model's files are damaged.
    """
    return fixed(bands) if bands >= MANY else _learned()


@functools.cache
def _learned() -> Kernel:
    return from_card(zoo.find(MODEL), MANY - 1)


def from_card(card: zoo.Card, bands: int) -> Kernel:
    """Return the kernel of the model `card` for an image of `bands` bands, at most FEATURES."""
    return Kernel(LearnedFeatures(card, fixed(bands).features), float(card.training["near"][int(bands >= MANY)]))
