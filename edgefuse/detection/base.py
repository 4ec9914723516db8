"""Interface of a detector: finds people in one frame. `edgefuse.detection.tracker` joins them over time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from edgefuse.frames import FusedFrame
from edgefuse.util.arrays import UInt8Array

Picture = Literal["infrared", "visible"]


@dataclass(frozen=True, slots=True)
class Detection:
    """A person found in one frame. left, top, right, bottom: shares of the picture's width and height, 0..1. score: 0..1."""

    left: float
    top: float
    right: float
    bottom: float
    score: float

    @property
    def centre(self) -> tuple[float, float]:
        """(x, y) of the middle, in shares."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    def overlap(self, other: Detection) -> float:
        """Return the intersection over the union of both boxes, 0..1."""
        both = self._shared(other)
        return both / (self.area + other.area - both) if both else 0.0

    def _shared(self, other: Detection) -> float:
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(0.0, width) * max(0.0, height)

    @property
    def area(self) -> float:
        """Share of the picture that the box covers."""
        return max(0.0, self.right - self.left) * max(0.0, self.bottom - self.top)


@dataclass(frozen=True, slots=True)
class Look:
    """A fused frame as a detector needs it. Detectors must not modify its arrays.

    infrared: the infrared frame at its own resolution, uint8 (H, W), warm bright, after gain control, dead pixels filled.
    fused: the frame, with the captured pair and the fused picture.
    """

    infrared: UInt8Array
    fused: FusedFrame


@dataclass(frozen=True, slots=True)
class DetectorOptions:
    """name: of the detector, or a model's name or folder. score: least score of a person, 0..1. runtime, precision, threads: of a
    model, as for `edgefuse.runtimes.choose`."""

    name: str
    score: float = 0.5
    runtime: str = "auto"
    precision: str | None = None
    threads: int | None = 1


class Detector(ABC):
    """Finds people in the frames of one stream, one thread at a time. Register it under `edgefuse.detectors`."""

    def __init__(self, options: DetectorOptions) -> None:
        """Raises EdgeFuseError for options that it can't follow."""
        self.options = options

    @property
    def name(self) -> str:
        """Its name for reports."""
        return self.options.name

    @property
    def picture(self) -> Picture:
        """The frame whose shares its boxes are in; "visible" for the fused picture, too."""
        return "infrared"

    @abstractmethod
    def detect(self, look: Look) -> Sequence[Detection]:
        """Return the people in a frame, in any order, in shares of `picture`. Those with less than `options.score` are weak: a track is
        reported for them only if it moves."""

    def close(self) -> None:
        """Release its resources; safe to call twice."""


def distinct(detections: Sequence[Detection], most_overlap: float) -> list[Detection]:
    """Return the detections by falling score, without those that overlap a better one by more than `most_overlap`."""
    kept: list[Detection] = []
    for one in sorted(detections, key=lambda d: -d.score):
        if all(one.overlap(better) <= most_overlap for better in kept):
            kept.append(one)
    return kept
