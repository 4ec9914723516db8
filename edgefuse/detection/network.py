"""Detectors that are models: a folder with a card of the task `detection`, in ONNX or TFLite (docs/how-to/detection.md).

One input, `infrared` or `fused`: a picture, in the card's shape, layout, range and colour order. Outputs: `boxes`, (1, N, 4) in shares of
the input, 0..1, whose layout is "ltrb" or "tlbr" (left, top, right, bottom, or top, left, bottom, right); `scores`, (1, N), 0..1; and,
where the model knows several classes, `classes`, (1, N), of which the first, 0, is a person.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefuse import registry
from edgefuse.detection.base import Detection, Detector, DetectorOptions, Look, Picture, distinct
from edgefuse.errors import MissingDependencyError, ModelError
from edgefuse.runtimes import choose
from edgefuse.util.arrays import Float32Array, UInt8Array
from edgefuse.zoo import Card, Tensor

_PERSON = 0
_ORDERS = {"ltrb": (0, 1, 2, 3), "tlbr": (1, 0, 3, 2)}
_COLOURS = ("grey", "RGB", "BGR")
_MOST_OVERLAP = 0.5  # of two boxes that are both kept
_WEAK = 0.3  # share of the least score from which a detection is reported
_LARGEST = 4096  # pixels of a side


def check(card: Card, options: DetectorOptions) -> None:
    """Check a card's inputs and outputs, and that one of its runtimes is installed. Raises ModelError, MissingDependencyError."""
    _contract(card)
    wanted = [f.runtime for f in card.files] if options.runtime == "auto" else [options.runtime]
    missing: list[MissingDependencyError] = []
    for name in dict.fromkeys(wanted):
        try:
            registry.get("edgefuse.runtimes", name).version()
            return
        except MissingDependencyError as e:
            missing.append(e)
    if missing:
        raise missing[0]
    raise ModelError(f"model {card.name} has no file; a detector needs one for onnx or litert")


class NetworkDetector(Detector):
    """Runs a detector network on each frame that it is given."""

    def __init__(self, card: Card, options: DetectorOptions) -> None:
        """Raises ModelError for a card that is no detector's, MissingDependencyError where no runtime for its files is installed."""
        super().__init__(options)
        check(card, options)
        self._input, self._boxes, self._several = _contract(card)
        self._name = card.name
        self._choice = choose(card, options.runtime, options.precision, options.threads)

    @property
    def picture(self) -> Picture:
        return "infrared" if self._input.name == "infrared" else "visible"

    @property
    def name(self) -> str:
        return f"{self._name} {self._choice.precision} on {self._choice.name}"

    def detect(self, look: Look) -> Sequence[Detection]:
        picture = look.infrared if self._input.name == "infrared" else look.fused.fused
        outputs = self._choice.runtime.run({self._input.name: self._choice.tensor(tensor(picture, self._input))})
        return people(outputs, self._boxes.layout, self._several, self.options.score * _WEAK, self._name)

    def close(self) -> None:
        self._choice.runtime.close()


def tensor(picture: UInt8Array, wanted: Tensor) -> Float32Array:
    """Return a picture, uint8 (H, W) or BGR (H, W, 3), as an input: float32 (C, H, W) of the card's size, colour order and range."""
    height, width = _sides(wanted)
    size = width or picture.shape[1], height or picture.shape[0]
    made: NDArray[Any] = picture if picture.shape[1::-1] == size else cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    if wanted.colour == "grey":
        made = cv2.cvtColor(made, cv2.COLOR_BGR2GRAY) if made.ndim == 3 else made
    elif made.ndim == 2:
        made = cv2.cvtColor(made, cv2.COLOR_GRAY2BGR)
    if wanted.colour == "RGB":
        made = cv2.cvtColor(made, cv2.COLOR_BGR2RGB)
    low, high = wanted.range
    scaled = made.astype(np.float32) * np.float32((high - low) / 255) + np.float32(low)
    return np.ascontiguousarray(scaled[None] if scaled.ndim == 2 else np.moveaxis(scaled, -1, 0))


def people(outputs: Mapping[str, NDArray[Any]], layout: str, several: bool, least: float, model: str) -> list[Detection]:
    """Return the people among a model's outputs, of at least that score, without boxes that overlap a better one. Raises ModelError for
    outputs of another shape."""
    boxes, scores = (np.asarray(outputs[name], np.float64) for name in ("boxes", "scores"))
    count = boxes.shape[1] if boxes.ndim == 3 else -1
    classes = np.asarray(outputs["classes"]) if several else np.full((1, max(0, count)), _PERSON)
    if boxes.shape != (1, count, 4) or scores.shape != (1, count) or classes.shape != (1, count):
        shapes = ", ".join(f"{name} {np.shape(value)}" for name, value in outputs.items())
        raise ModelError(f"model {model}: its outputs are {shapes}; expected boxes (1, N, 4), scores (1, N) and classes (1, N)")
    detections = []
    for box, score, kind in zip(boxes[0][:, _ORDERS[layout]], scores[0], classes[0], strict=True):
        if not (np.isfinite(box).all() and score >= least) or round(float(kind)) != _PERSON:
            continue
        left, top, right, bottom = np.clip(box, 0.0, 1.0).tolist()
        if left < right and top < bottom:
            detections.append(Detection(left, top, right, bottom, min(1.0, float(score))))
    return distinct(detections, _MOST_OVERLAP)


def _contract(card: Card) -> tuple[Tensor, Tensor, bool]:
    """Return the input, the boxes' output and whether there are classes. Raises ModelError that names what is wrong."""
    outputs = {t.name: t for t in card.outputs}
    wrong = ""
    if len(card.inputs) != 1 or card.inputs[0].name not in ("infrared", "fused"):
        wrong = f"its inputs are {', '.join(t.name for t in card.inputs)}; expected infrared or fused"
    elif not {"boxes", "scores"} <= outputs.keys() <= {"boxes", "scores", "classes"}:
        wrong = f"its outputs are {', '.join(outputs)}; expected boxes, scores and perhaps classes"
    elif outputs["boxes"].layout not in _ORDERS:
        wrong = f"the layout of boxes is {outputs['boxes'].layout!r}; expected one of {', '.join(_ORDERS)}"
    elif card.inputs[0].colour not in _COLOURS:
        wrong = f"the colour of its input is {card.inputs[0].colour!r}; expected one of {', '.join(_COLOURS)}"
    elif not all(n is None or 1 <= n <= _LARGEST for n in _sides(card.inputs[0])):
        wrong = f"the shape of its input is {list(card.inputs[0].shape)}; expected sides of 1 to {_LARGEST} pixels"
    if wrong:
        raise ModelError(f"model {card.name}: {wrong} (docs/how-to/detection.md)")
    given = card.inputs[0]
    return replace(given, layout=given.layout.upper()), outputs["boxes"], "classes" in outputs


def _sides(wanted: Tensor) -> tuple[int | None, int | None]:
    """Return (height, width) of a card's input; None where it takes any."""
    axes = wanted.layout.upper()
    if len(axes) != len(wanted.shape) or not {"H", "W"} <= set(axes):
        return 0, 0
    high, wide = (wanted.shape[axes.index(axis)] for axis in "HW")
    return (high if isinstance(high, int) else None), (wide if isinstance(wide, int) else None)
