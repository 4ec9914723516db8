"""`frozen?frames=N`: a camera that stops delivering after N pairs, without an error. A plugin: its folder goes on PYTHONPATH."""

from __future__ import annotations

import threading
from typing import Self

from edgefuse.frames import FramePair
from edgefuse.sources import open_source
from edgefuse.sources.base import Source, SourceInfo
from edgefuse.uri import Uri, whole


class FrozenSource(Source):
    OPTIONS = ("frames",)

    def __init__(self, uri: str, frames: int) -> None:
        self.info = SourceInfo(uri, None, 25.0)
        self._demo, self._left = open_source("demo?size=96x80&frames=0"), frames

    @classmethod
    def from_uri(cls, uri: Uri) -> Self:
        uri.paths(0)
        return cls(uri.text, uri.option("frames", 3, whole(1, 1000)))

    def read(self) -> FramePair | None:
        if not self._left:
            threading.Event().wait()
        self._left -= 1
        return self._demo.read()
