"""`frozen?frames=N`: a camera that stops delivering after N pairs, without an error. A plugin: its folder goes on PYTHONPATH."""

from __future__ import annotations

import threading
from typing import Self

import numpy as np

from edgefuse.frames import Frame, FramePair
from edgefuse.sources.base import Source, SourceInfo
from edgefuse.util.uri import Uri, whole


class FrozenSource(Source):
    OPTIONS = ("frames",)

    def __init__(self, uri: str, frames: int) -> None:
        self.info = SourceInfo(uri, None, 25.0)
        self._index, self._frames = 0, frames

    @classmethod
    def from_uri(cls, uri: Uri) -> Self:
        uri.paths(0)
        return cls(uri.text, uri.option("frames", 3, whole(1, 1000)))

    def read(self) -> FramePair | None:
        index, self._index = self._index, self._index + 1
        if index == self._frames:
            threading.Event().wait()
        planes = np.random.default_rng(index).integers(0, 256, (2, 80, 96), np.uint8)
        pair = (Frame(p, m, index * 40_000_000, str(index)) for p, m in zip(planes, ("visible", "infrared"), strict=True))
        return FramePair(*pair, index)
