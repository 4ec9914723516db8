"""Methods of fusion side by side on one source: each pair is read once, fused or looked up by every method, measured and let go."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgefuse.errors import FrameError, InputError, SourceError
from edgefuse.frames import FramePair
from edgefuse.fusion.fuser import Fuser
from edgefuse.fusion.prepare import check_sizes, eight_bits
from edgefuse.metrics import fusion
from edgefuse.metrics.flicker import Figures, Flicker
from edgefuse.metrics.fusion.table import Group
from edgefuse.metrics.planes import Image, luma
from edgefuse.metrics.references import REFERENCES
from edgefuse.metrics.targets import Kept, Targets, summary
from edgefuse.sources.base import Source
from edgefuse.sources.named import listing
from edgefuse.thermal.agc import PercentileAgc
from edgefuse.util import images


class Pictures:
    """A folder of image files named as the pairs are, whatever their suffix."""

    def __init__(self, folder: Path, what: str) -> None:
        """what: of what they are, for messages ("IFCNN's pictures", "the masks"). Raises SourceError where the folder can't be listed."""
        self.folder, self._what = folder, what
        self._files = listing(folder)

    def read(self, pair: FramePair) -> Image:
        """uint8 (H, W) or (H, W, 3) BGR of the pair's size. Raises SourceError where there is no such picture."""
        files = self._files.get(pair.name, [])
        if len(files) != 1:
            if files:
                raise SourceError(
                    f"{self.folder} has {len(files)} files for pair {pair.name} ({', '.join(f.name for f in files)}); keep one"
                )
            raise SourceError(f"{self.folder} has nothing for pair {pair.name}; add {pair.name}.png to {self._what}, or leave these out")
        try:
            image: Any = images.read(files[0])
        except ValueError as e:
            raise SourceError(f"{files[0]} {e}; mend or replace it") from None
        size = image.shape[1], image.shape[0]
        if size != pair.visible.size or image.dtype != np.uint8:
            found, wanted = (f"{s[0]}x{s[1]}" for s in (size, pair.visible.size))
            raise SourceError(f"{files[0]} is {found} {image.dtype}; pair {pair.name} needs {wanted} uint8")
        return image


class Method(ABC):
    """One row of the table. name: how it is called there. kind: "model", "fused" or "reference"."""

    kind: str

    def __init__(self, name: str) -> None:
        self.name = name

    @abstractmethod
    def picture(self, pair: FramePair, visible: Image, infrared: Image) -> Image:
        """The fused picture of a pair, uint8, of its size; `visible` and `infrared` are the pair in 8 bits."""


class ModelMethod(Method):
    kind = "model"

    def __init__(self, fuser: Fuser) -> None:
        super().__init__(fuser.card.name)
        self.fuser = fuser

    def picture(self, pair: FramePair, visible: Image, infrared: Image) -> Image:
        return self.fuser.fuse(pair).data


class FolderMethod(Method):
    """Pictures that another program fused."""

    kind = "fused"

    def __init__(self, name: str, folder: Path) -> None:
        super().__init__(name)
        self._pictures = Pictures(folder, f"{name}'s pictures")

    def picture(self, pair: FramePair, visible: Image, infrared: Image) -> Image:
        return self._pictures.read(pair)


class ReferenceMethod(Method):
    kind = "reference"

    def picture(self, pair: FramePair, visible: Image, infrared: Image) -> Image:
        return REFERENCES[self.name](visible, infrared)


@dataclass(slots=True)
class Row:
    """What a method scores. metrics: means over the pairs. flicker: NaN figures where nothing was still; None where not asked for."""

    method: Method
    metrics: dict[str, float]
    mean_rank: float = math.nan
    targets: Kept | None = None
    flicker: Figures | None = None


@dataclass(slots=True)
class Evaluation:
    """rows: the best mean rank first. pairs: how many were measured. lost: what was wrong with the others, in their order."""

    rows: list[Row]
    pairs: int
    lost: list[FrameError] = field(default_factory=list)


class _Tally:
    """Sums for one method, and no picture but the last."""

    def __init__(self, method: Method, flicker: Flicker | None) -> None:
        self.method, self.flicker = method, flicker
        self._sums: dict[str, float] = {}
        self.kept: list[float] = []

    def add(self, found: dict[str, float]) -> None:
        for name, value in found.items():
            self._sums[name] = self._sums.get(name, 0.0) + value

    def row(self, pairs: int) -> Row:
        figures = self.flicker.figures if self.flicker else None
        return Row(self.method, {name: total / pairs for name, total in self._sums.items()}, targets=summary(self.kept), flicker=figures)


def evaluate(
    source: Source, methods: Sequence[Method], groups: Sequence[Group] = ("vifb",), masks: Pictures | None = None,
    flicker: int | None = None, frames: int | None = None, show: Callable[[int], None] = lambda done: None,
) -> Evaluation:  # fmt: skip
    """Measure `methods` on `source`, one pair in memory at a time.

    masks: of warm targets, uint8, above 127 inside. flicker: a threshold in levels of 255 (`edgefuse.metrics.flicker`); None is not to
    measure it. frames: stop after so many pairs. show: told how many pairs are done, lost ones included.
    Metrics are taken on what the visible frame is, grey or colour: a fused picture is made grey by its luma, or colour by three equal
    channels. Raises SourceError for a method's missing or unfit picture and where no pair could be measured.
    """
    tallies = [_Tally(m, None if flicker is None else Flicker(flicker)) for m in methods]
    lost: list[FrameError] = []
    pairs, agc, size = 0, PercentileAgc(), (0, 0)
    while frames is None or pairs + len(lost) < frames:
        try:
            pair = source.read()
            if pair is None:
                break
            check_sizes(pair)
            cut = pair.visible.size != size
            size = pair.visible.size
            _measure(pair, tallies, groups, masks, agc, cut)
            pairs += 1
        except FrameError as e:
            lost.append(e)
            size = (0, 0)  # what follows a lost pair does not follow the one before
        show(pairs + len(lost))
    if not pairs:
        raise SourceError(f"no pair of {source.info.uri} could be measured: {lost[0] if lost else 'it has none'}")
    rows = [tally.row(pairs) for tally in tallies]
    placed = fusion.mean_rank({row.method.name: row.metrics for row in rows})
    for row in rows:
        row.mean_rank = placed[row.method.name]
    return Evaluation(sorted(rows, key=lambda row: row.mean_rank), pairs, lost)


def _measure(
    pair: FramePair, tallies: Sequence[_Tally], groups: Sequence[Group], masks: Pictures | None, agc: PercentileAgc, cut: bool
) -> None:
    visible, infrared = eight_bits(pair, agc)
    targets = None if masks is None else Targets(visible, infrared, masks.read(pair))
    inputs = fusion.Inputs(visible, infrared)
    # all before any is measured: a pair that one method can't fuse counts for none
    pictures = [_as_visible(tally.method.picture(pair, visible, infrared), visible) for tally in tallies]
    for tally, fused in zip(tallies, pictures, strict=True):
        try:
            tally.add(fusion.compare(inputs, fused, *groups))
        except InputError as e:
            raise SourceError(f"{pair.name}: {e}") from None
        if targets is not None:
            tally.kept += targets.kept(fused)
        if tally.flicker is not None:
            if cut:
                tally.flicker.cut()
            tally.flicker.add(visible, infrared, fused)


def _as_visible(fused: Image, visible: Image) -> Image:
    if visible.ndim == 2:
        return luma(fused)
    grown: Any = fused if fused.ndim == 3 else cv2.cvtColor(fused, cv2.COLOR_GRAY2BGR)
    return grown
