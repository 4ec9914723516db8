"""The fuser: prepares a pair for a model, runs it, and makes the picture."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefuse import runtimes, zoo
from edgefuse.errors import FrameError, ModelError
from edgefuse.frames import Frame, FramePair, FusedFrame
from edgefuse.fusion import colour
from edgefuse.runtimes import Choice
from edgefuse.settings import Colour
from edgefuse.thermal import PercentileAgc
from edgefuse.zoo import Card

STAGES = ("prepare", "network", "colour")


class Fuser:
    """Fuses pairs with one model. Keeps state between frames (the gain control), so one fuser a stream, one thread at a time."""

    def __init__(self, card: Card, choice: Choice, colour: Colour = "balanced") -> None:
        """Raises ModelError where the model is not one that fuses a visible and an infrared frame."""
        wanted, given = {"visible", "infrared"}, {t.name for t in card.inputs}
        if card.task != "fusion" or given != wanted or "fused" not in {t.name for t in card.outputs}:
            raise ModelError(
                f"model {card.name} is for {card.task} with inputs {', '.join(sorted(given))}; fusion needs infrared and visible"
            )
        self.card, self.choice, self.colour = card, choice, colour
        self._has_map = "map" in {t.name for t in card.outputs}
        self._agc = PercentileAgc()

    def fuse(self, pair: FramePair) -> FusedFrame:
        """The fused frame, of the visible frame's size. Raises FrameError where the pair's sizes differ."""
        if pair.visible.size != pair.infrared.size:
            sizes = " but infrared ".join("x".join(map(str, f.size)) for f in (pair.visible, pair.infrared))
            raise FrameError(pair.name, "size", f"{pair.name}: visible is {sizes}; register and resize the infrared frame first")
        begin = time.perf_counter_ns()
        luma, chroma = colour.split(_to_8_bit(pair.visible))
        inputs = {"visible": self._tensor(luma), "infrared": self._tensor(self._infrared(pair.infrared))}
        prepared = time.perf_counter_ns()
        outputs = self.choice.runtime.run(inputs)
        ran = time.perf_counter_ns()
        fused = _to_picture(outputs["fused"].reshape(luma.shape))
        blending_map = outputs["map"].reshape(luma.shape) if self._has_map else None
        data = colour.join(fused, chroma, blending_map, self.colour)
        done = time.perf_counter_ns()
        return FusedFrame(data, blending_map, pair, dict(zip(STAGES, (prepared - begin, ran - prepared, done - ran), strict=True)))

    def _infrared(self, frame: Frame) -> NDArray[np.uint8]:
        data: NDArray[Any] = frame.data
        if frame.colour:
            # a recorded or compressed infrared frame comes with three equal channels, or with a palette whose luma is the best there is
            data = cv2.cvtColor(data, cv2.COLOR_BGR2GRAY)
        return self._agc(data) if data.dtype == np.uint16 else data

    def _tensor(self, luma: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self.choice.file.tensor(np.multiply(luma, np.float32(1 / 255), dtype=np.float32))

    def close(self) -> None:
        self.choice.runtime.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def load(
    model: str = zoo.DEFAULT_MODEL, runtime: str = "auto", precision: str | None = None, threads: int | None = None,
    colour: Colour = "balanced",
) -> Fuser:  # fmt: skip
    """A fuser for the model `model` (a name or a folder with a card). `edgefuse.runtimes.choose` describes the other arguments."""
    card = zoo.find(model)
    return Fuser(card, runtimes.choose(card, runtime, precision, threads), colour)


def _to_8_bit(frame: Frame) -> NDArray[Any]:
    # a 16-bit visible frame is full range by definition: a gain per frame would flicker and shift its colours
    return cv2.convertScaleAbs(frame.data, alpha=255 / 65535) if frame.data.dtype == np.uint16 else frame.data


def _to_picture(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    """float32 in [0, 1] -> uint8, rounded to nearest, saturated."""
    return cv2.convertScaleAbs(np.maximum(image, 0), alpha=255)
