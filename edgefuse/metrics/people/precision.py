"""Average precision of detections at an overlap of 0.5, given true boxes in YOLO format.

Overlap is intersection over union. The detections of one kind in all pictures are sorted by falling score (equal scores in the order
given). Each is matched with the unmatched true box of its picture that it overlaps most; it is a true positive if that overlap is 0.5 or
more. With r true positives among the first n, precision is r / n, recall r / true boxes. Average precision is the mean,
over the recalls 0, 0.01, ... 1, of the highest precision at that recall or above (COCO's 101 points); 0 without detections, NaN
without true boxes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edgefuse.errors import SettingsError, SourceError

KINDS = {"person": 0, "car": 2}  # COCO's numbers, which the detector and MSRS's boxes use, too
OVERLAP = 0.5
_RECALLS = 100


@dataclass(frozen=True, slots=True)
class Box:
    """A box as fractions of the picture's width and height, 0..1 from the top left."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def area(self) -> float:
        return max(0.0, self.right - self.left) * max(0.0, self.bottom - self.top)

    def overlap(self, other: Box) -> float:
        """Intersection over union, 0..1."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        both = max(0.0, width) * max(0.0, height)
        return both / (self.area + other.area - both) if both else 0.0


@dataclass(frozen=True, slots=True)
class Detection:
    """A detected object. score: 0..1. kind: COCO's class number."""

    box: Box
    score: float
    kind: int


class Boxes:
    """A folder of NAME.txt in YOLO format: one box per line, `CLASS X Y WIDTH HEIGHT`, centre and size as fractions of the picture."""

    def __init__(self, folder: Path, classes: Mapping[str, int] = KINDS) -> None:
        """classes: the files' number for each of `KINDS`; missing kinds are not measured. Raises SourceError if there is no file."""
        self.folder, self._classes = folder, dict(classes)
        try:
            self._files = {path.stem: path for path in folder.iterdir() if path.suffix.lower() == ".txt"}
        except OSError as e:
            raise SourceError(f"cannot list {folder}: {e.strerror}; give the folder with boxes, PAIR.txt in YOLO's form") from None
        if not self._files:
            raise SourceError(f"{folder} has no .txt file; give the folder with boxes, PAIR.txt in YOLO's form")

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(self._classes)

    def read(self, name: str) -> dict[str, list[Box]] | None:
        """Return the boxes of each kind in the pair `name`; None without a file. Raises SourceError for an invalid line."""
        if name not in self._files:
            return None
        path, boxes = self._files[name], {kind: list[Box]() for kind in self._classes}
        try:
            lines = path.read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as e:
            raise SourceError(f"{path} cannot be read ({e}); mend or remove it") from None
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                number_of_class, box = _parsed(line)
            except ValueError:
                raise SourceError(
                    f"{path}, line {number}: '{line.strip()[:60]}' is not CLASS X Y WIDTH HEIGHT, each but CLASS from 0 to 1 (YOLO's form)"
                ) from None
            for kind, class_number in self._classes.items():
                if number_of_class == class_number:
                    boxes[kind].append(box)
        return boxes


def classes(text: str) -> dict[str, int]:
    """Parse `person=0,car=1` to {"person": 0, "car": 1}. Raises SettingsError for another form, an unknown kind, or a repeated number."""
    numbers: dict[str, int] = {}
    for item in text.split(","):
        kind, _, number = item.strip().partition("=")
        if kind not in KINDS or kind in numbers or not number.isdecimal() or int(number) in numbers.values():
            raise SettingsError(f"--people-classes {text}: expected the boxes' numbers for {' and '.join(KINDS)}, such as person=0,car=2")
        numbers[kind] = int(number)
    return numbers


@dataclass(slots=True)
class People:
    """Accumulates the detections in one method's pictures, and the true boxes."""

    kinds: tuple[str, ...]
    _detections: list[Sequence[Detection]] = field(default_factory=list)
    _true: list[Mapping[str, list[Box]]] = field(default_factory=list)

    def add(self, detections: Sequence[Detection], true: Mapping[str, list[Box]]) -> None:
        """Add one picture: its detections, and its true boxes by kind."""
        self._detections.append(detections)
        self._true.append(true)

    @property
    def counts(self) -> dict[str, int]:
        """Number of true boxes of each kind."""
        return {kind: sum(len(true[kind]) for true in self._true) for kind in self.kinds}

    @property
    def precision(self) -> dict[str, float]:
        """Average precision of each kind."""
        return {kind: self._precision(kind) for kind in self.kinds}

    def _precision(self, kind: str) -> float:
        detections = [[d for d in seen if d.kind == KINDS[kind]] for seen in self._detections]
        return average_precision(detections, [true[kind] for true in self._true])


def average_precision(detections: Sequence[Sequence[Detection]], true: Sequence[Sequence[Box]]) -> float:
    """Return the average precision of one kind, 0..1, from the detections and true boxes of each picture, in the same order."""
    total = sum(map(len, true))
    if not total:
        return math.nan
    unmatched = [dict(enumerate(boxes)) for boxes in true]
    ordered = sorted(((d, k) for k, seen in enumerate(detections) for d in seen), key=lambda item: -item[0].score)
    hits = np.zeros(len(ordered), np.int64)
    for n, (detection, picture) in enumerate(ordered):
        candidates = unmatched[picture]
        best = max(candidates, key=lambda k: candidates[k].overlap(detection.box), default=None)
        if best is not None and candidates[best].overlap(detection.box) >= OVERLAP:
            del candidates[best]
            hits[n] = 1
    right = np.cumsum(hits)
    precision = right / np.arange(1, len(hits) + 1)
    # compare recalls in integers, because 0.29 is not exact in floating point
    at = [precision[right * _RECALLS >= k * total].max(initial=0.0) for k in range(_RECALLS + 1)]
    return float(np.mean(at))


def _parsed(line: str) -> tuple[int, Box]:
    number, x, y, width, height = (float(word) for word in line.split())
    if not (number.is_integer() and 0 <= x <= 1 and 0 <= y <= 1 and 0 < width <= 1 and 0 < height <= 1):
        raise ValueError
    return int(number), Box(x - width / 2, y - height / 2, x + width / 2, y + height / 2)
