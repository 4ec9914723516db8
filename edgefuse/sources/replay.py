"""`replay:FILE.efr?fps=8.7&loop=1`: replays a recording made by `--record-raw` exactly. docs/reference/raw.md describes the file."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Self

from edgefuse.frames import FramePair
from edgefuse.sources.base import Source, SourceInfo
from edgefuse.sources.rawfile import RawReader
from edgefuse.util.uri import Uri, real, whole

_DEFAULT_FPS = 25.0


class ReplaySource(Source):
    """The pairs of a file with their original times and names; index and times continue across loops."""

    OPTIONS = ("fps", "loop")

    def __init__(self, path: Path, uri: str, fps: float | None = None, loop: int = 1) -> None:
        """fps: overrides the recorded rate. loop: number of repetitions, 0 for endless. Raises SourceError."""
        self._reader = RawReader(path)
        recorded = self._reader.head.get("fps")
        usable = isinstance(recorded, int | float) and math.isfinite(recorded) and 0.01 <= recorded <= 1000
        rate = fps or (float(recorded) if isinstance(recorded, int | float) and usable else _DEFAULT_FPS)
        known = self._reader.pairs if loop else None
        sequence = self._reader.head.get("sequence") is not False
        self.info = SourceInfo(uri, known * loop if known is not None else None, rate, (path,), sequence)
        self._loop, self._lap = loop, 1
        self._first: FramePair | None = None
        self._last: FramePair | None = None
        self._shift, self._shift_ns = 0, 0

    @classmethod
    def from_uri(cls, uri: Uri) -> Self:
        (path,) = uri.paths(1)
        return cls(path, uri.text, uri.option("fps", None, real(0.01, 1000)), uri.option("loop", 1, whole(0, 10**6)))

    def read(self) -> FramePair | None:
        pair = self._reader.read()
        if pair is None and self._last is not None and self._first is not None and self._lap != self._loop:
            self._lap += 1
            self._shift += self._last.index + 1
            self._shift_ns += self._last.visible.time_ns - self._first.visible.time_ns + round(1e9 / self.info.fps)
            self._first = self._last = None
            self._reader.rewind()
            pair = self._reader.read()
        if pair is None:
            return None
        self._first, self._last = self._first or pair, pair
        if self._lap == 1:
            return pair
        visible, infrared = (replace(f, time_ns=f.time_ns + self._shift_ns) for f in (pair.visible, pair.infrared))
        return replace(pair, visible=visible, infrared=infrared, index=pair.index + self._shift)

    def close(self) -> None:
        self._reader.close()
