"""Evaluates fusion methods on one source: each pair is read once, fused or looked up by every method, and measured."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import FrameError, InputError, SourceError
from edgefuse.frames import FramePair
from edgefuse.fusion.fuser import Fuser
from edgefuse.fusion.prepare import check_sizes, eight_bits
from edgefuse.metrics import fusion
from edgefuse.metrics.flicker import Figures, Flicker
from edgefuse.metrics.fusion.intervals import SAMPLES, Interval
from edgefuse.metrics.fusion.table import Group
from edgefuse.metrics.natural import Natural
from edgefuse.metrics.people.detector import Detector
from edgefuse.metrics.people.precision import Boxes, People
from edgefuse.metrics.planes import Image, luma
from edgefuse.metrics.references import REFERENCES
from edgefuse.metrics.targets import Kept, Targets, summary
from edgefuse.sources.base import Source
from edgefuse.sources.file_names import listing
from edgefuse.thermal.grey import ToGrey
from edgefuse.util import images


class Pictures:
    """A folder of image files, one per pair, with the pair's name and any image suffix."""

    def __init__(self, folder: Path, what: str) -> None:
        """what: name of the pictures for messages ("IFCNN's pictures", "the masks"). Raises SourceError if the folder can't be listed."""
        self.folder, self._what = folder, what
        self._files = listing(folder)

    def read(self, pair: FramePair) -> Image:
        """Return the pair's picture, uint8 (H, W) or (H, W, 3) BGR of the pair's size. Raises SourceError if it is missing or unfit."""
        files = self._files.get(pair.name, [])
        if len(files) != 1:
            if files:
                raise SourceError(
                    f"{self.folder} has {len(files)} files for pair {pair.name} ({', '.join(f.name for f in files)}); keep one"
                )
            raise SourceError(f"{self.folder} has no file for pair {pair.name}; add {pair.name}.png to {self._what}, or leave these out")
        try:
            image: Any = images.read(files[0])
        except ValueError as e:
            raise SourceError(f"{files[0]} {e}; repair or replace it") from None
        size = image.shape[1], image.shape[0]
        if size != pair.visible.size or image.dtype != np.uint8:
            actual, expected = (f"{s[0]}x{s[1]}" for s in (size, pair.visible.size))
            raise SourceError(f"{files[0]} is {actual} {image.dtype}; pair {pair.name} needs {expected} uint8")
        return image


class ComparedMethod(ABC):
    """A fusion method, one row of the table. name: its name there. kind: "model", "fused" or "reference"."""

    kind: str

    def __init__(self, name: str) -> None:
        self.name = name

    @abstractmethod
    def picture(self, pair: FramePair, visible: Image, infrared: Image) -> Image:
        """Return the fused picture of a pair, uint8, of its size; `visible` and `infrared` are the pair in 8 bits."""


class ModelMethod(ComparedMethod):
    kind = "model"

    def __init__(self, fuser: Fuser) -> None:
        super().__init__(fuser.card.name)
        self.fuser = fuser

    def picture(self, pair: FramePair, visible: Image, infrared: Image) -> Image:
        return self.fuser.fuse(pair).data


class FolderMethod(ComparedMethod):
    """Pictures fused by another program, read from a folder."""

    kind = "fused"

    def __init__(self, name: str, folder: Path) -> None:
        super().__init__(name)
        self._pictures = Pictures(folder, f"{name}'s pictures")

    def picture(self, pair: FramePair, visible: Image, infrared: Image) -> Image:
        return self._pictures.read(pair)


class ReferenceMethod(ComparedMethod):
    kind = "reference"

    def picture(self, pair: FramePair, visible: Image, infrared: Image) -> Image:
        return REFERENCES[self.name](visible, infrared)


@dataclass(frozen=True, slots=True)
class NaturalFigures:
    """Means over the pairs (`edgefuse.metrics.natural`). halo: at each of `SIGMAS`. blackened, day: over the pairs taken by day, NaN if
    there are none."""

    halo: tuple[float, ...]
    blackened: float
    day: float


@dataclass(slots=True)
class Row:
    """Results of a method. metrics, natural: means over the pairs. interval: confidence interval of the mean rank. targets, seen: kept
    contrast, on luma and in CIE Lab. flicker: NaN if nothing was still. people: average precision of each kind. None: not requested, or
    nothing to measure it on."""

    method: ComparedMethod
    metrics: dict[str, float]
    natural: NaturalFigures
    mean_rank: float = math.nan
    interval: Interval | None = None
    targets: Kept | None = None
    seen: Kept | None = None
    flicker: Figures | None = None
    people: dict[str, float] | None = None


@dataclass(slots=True)
class Evaluation:
    """Results of all methods. rows: best mean rank first. pairs: number measured. lost: errors of the other pairs, in order.
    samples: bootstrap samples behind the intervals. by_day: pairs taken by day. boxed: pairs with a file of boxes. boxes: number of
    boxes of each kind."""

    rows: list[Row]
    pairs: int
    lost: list[FrameError] = field(default_factory=list)
    samples: int = 0
    by_day: int = 0
    boxed: int = 0
    boxes: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Selects what is measured in addition to the fusion metrics.

    groups: groups of fusion metrics. masks: of warm targets, uint8, above 127 inside. flicker: threshold in levels of 255
    (`edgefuse.metrics.flicker`), None to skip it. day: name pattern of pairs taken by day; None decides by the visible frame's brightness
    (`Natural.by_day`). boxes, detector: true boxes of the pairs, and the detector to test; both or neither. bootstrap: samples for the
    ranks' confidence intervals, 0 for none.
    """

    groups: Sequence[Group] = ("vifb",)
    masks: Pictures | None = None
    flicker: int | None = None
    day: str | None = None
    boxes: Boxes | None = None
    detector: Detector | None = None
    bootstrap: int = SAMPLES


class _Tally:
    """Accumulates one method's figures over the pairs."""

    def __init__(self, method: ComparedMethod, wanted: Wanted) -> None:
        self.method = method
        self.flicker = None if wanted.flicker is None else Flicker(wanted.flicker)
        self.people = None if wanted.boxes is None else People(wanted.boxes.kinds)
        self.names: list[str] = []
        self._values = array("d")  # compact: eight bytes per figure
        self._halo: list[tuple[float, ...]] = []
        self._day: list[tuple[float, float]] = []
        self.kept: list[float] = []
        self.seen: list[float] = []

    def add(self, metrics: dict[str, float]) -> None:
        self.names = list(metrics)
        self._values.extend(metrics.values())

    def compare(self, natural: Natural, fused: Image, by_day: bool) -> None:
        self._halo.append(natural.halo(fused))
        if by_day:
            self._day.append((natural.blackened(fused), natural.day(fused)))

    @property
    def values(self) -> NDArray[np.float64]:
        """Fusion metrics, (pairs, metrics)."""
        return np.array(self._values).reshape(-1, len(self.names))

    def row(self) -> Row:
        means = self.values.sum(axis=0) / len(self._halo)
        # skip NaN: a pair without countable pixels does not affect the others
        day = [[v for v in column if not math.isnan(v)] for column in zip(*self._day, strict=True)] or [[], []]
        blackened, ssim = (float(np.mean(column)) if column else math.nan for column in day)
        natural = NaturalFigures(tuple(float(h) for h in np.mean(self._halo, axis=0)), blackened, ssim)
        return Row(
            self.method, dict(zip(self.names, map(float, means), strict=True)), natural,
            targets=summary(self.kept), seen=summary(self.seen), flicker=self.flicker.figures if self.flicker else None,
            people=self.people.precision if self.people and any(self.people.counts.values()) else None,
        )  # fmt: skip


def evaluate(
    source: Source, methods: Sequence[ComparedMethod], wanted: Wanted | None = None, frames: int | None = None,
    show: Callable[[int], None] = lambda done: None,
) -> Evaluation:  # fmt: skip
    """Measure `methods` on `source`, one pair in memory at a time.

    frames: stop after this many pairs. show: progress callback with the number of pairs done, including lost ones.
    Metrics are computed in grey or colour, as the visible frame is: a fused picture is converted to luma or to three equal channels.
    Raises SourceError for a method's missing or unfit picture and if no pair could be measured.
    """
    wanted = wanted or Wanted()
    tallies = [_Tally(m, wanted) for m in methods]
    evaluation = Evaluation([], 0)
    grey, size = ToGrey(), (0, 0)
    while frames is None or evaluation.pairs + len(evaluation.lost) < frames:
        try:
            pair = source.read()
            if pair is None:
                break
            check_sizes(pair)
            is_cut = pair.visible.size != size
            size = pair.visible.size
            _measure(pair, tallies, wanted, grey, is_cut, evaluation)
            evaluation.pairs += 1
        except FrameError as e:
            evaluation.lost.append(e)
            size = (0, 0)  # a lost pair interrupts the sequence
        show(evaluation.pairs + len(evaluation.lost))
    if not evaluation.pairs:
        raise SourceError(f"no pair of {source.info.uri} could be measured: {evaluation.lost[0] if evaluation.lost else 'it has none'}")
    _rank(evaluation, tallies, wanted.bootstrap)
    return evaluation


def _measure(pair: FramePair, tallies: Sequence[_Tally], wanted: Wanted, grey: ToGrey, is_cut: bool, counts: Evaluation) -> None:
    visible, infrared = eight_bits(pair, grey)
    targets = None if wanted.masks is None else Targets(visible, infrared, wanted.masks.read(pair))
    boxes = None if wanted.boxes is None else wanted.boxes.read(pair.name)
    inputs, natural = fusion.Inputs(visible, infrared), Natural(visible, infrared)
    by_day = natural.by_day if wanted.day is None else fnmatchcase(pair.name, wanted.day)
    # fuse with all methods before measuring: a pair that one can't fuse is skipped for all
    pictures = [_as_visible(tally.method.picture(pair, visible, infrared), visible) for tally in tallies]
    counts.by_day += by_day
    counts.boxed += boxes is not None
    for tally, fused in zip(tallies, pictures, strict=True):
        try:
            tally.add(fusion.compare(inputs, fused, *wanted.groups))
        except InputError as e:
            raise SourceError(f"{pair.name}: {e}") from None
        tally.compare(natural, fused, by_day)
        if targets is not None:
            tally.kept += targets.kept(fused)
            tally.seen += targets.seen(fused)
        if tally.people is not None and boxes is not None and wanted.detector is not None:
            tally.people.add(wanted.detector.find(fused), boxes)
        if tally.flicker is not None:
            if is_cut:
                tally.flicker.cut()
            tally.flicker.add(visible, infrared, fused)


def _rank(evaluation: Evaluation, tallies: Sequence[_Tally], samples: int) -> None:
    """Fill in the rows of the result, best mean rank first."""
    rows = [tally.row() for tally in tallies]
    mean_ranks = fusion.mean_rank({row.method.name: row.metrics for row in rows})
    intervals = fusion.intervals({tally.method.name: tally.values for tally in tallies}, tallies[0].names, samples) if tallies else {}
    for row in rows:
        row.mean_rank, row.interval = mean_ranks[row.method.name], intervals.get(row.method.name)
    evaluation.samples = samples if intervals else 0
    evaluation.rows = sorted(rows, key=lambda row: row.mean_rank)
    if tallies and tallies[0].people is not None:
        evaluation.boxes = tallies[0].people.counts


def _as_visible(fused: Image, visible: Image) -> Image:
    if visible.ndim == 2:
        return luma(fused)
    converted: Image = fused if fused.ndim == 3 else cv2.cvtColor(fused, cv2.COLOR_GRAY2BGR)
    return converted
