"""A sink that fails need not end a run: it is set aside, its lost frames are counted, and it is tried again until it works."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from edgefuse.errors import EdgeFuseError, OutputError
from edgefuse.events import Event
from edgefuse.frames import FusedFrame
from edgefuse.sinks.base import Sink
from edgefuse.util.backoff import Backoff


class GuardedSink(Sink):
    """`sink`, set aside while it fails if `patient`, else its errors are the caller's."""

    def __init__(self, name: str, sink: Sink, patient: bool, tell: Callable[[Event], None]) -> None:
        """name: for people, reports and events, without secrets. tell: of each change of state."""
        self.name, self.patient = name, patient
        self._sink, self._tell = sink, tell
        self._written = self._lost = self._faults = 0
        self._error = ""
        self._aside_since = 0.0
        self._backoff = Backoff()

    @property
    def bytes_written(self) -> int:  # type: ignore[override]
        return self._sink.bytes_written

    def write(self, fused: FusedFrame) -> None:
        if self._error and self._backoff.left_s:
            self._lost += 1
            return
        try:
            if self._error:
                self._sink.resume()
            self._sink.write(fused)
        except (EdgeFuseError, OSError) as e:
            if not self.patient:
                raise
            self._lost += 1
            self._set_aside(str(e))
            return
        self._written += 1
        if self._error:
            self._error, away_s = "", round(time.monotonic() - self._aside_since, 1)
            self._tell(Event("sink", self.name, {"state": "back", "away_s": away_s, "lost": self._lost}))

    def _set_aside(self, error: str) -> None:
        self._backoff.failed()
        if not self._error:
            self._aside_since = time.monotonic()
            self._faults += 1
            self._tell(Event("sink", self.name, {"state": "set aside", "error": error}))
            try:
                self._sink.close()  # what was written so far becomes whole
            except (EdgeFuseError, OSError) as e:
                self._tell(Event("sink", self.name, {"state": "not finished", "error": str(e)}))
        self._error = error

    def report(self) -> dict[str, Any]:
        """state: "written", or "set aside" for `error`. Frames written and lost; how often it was set aside."""
        state = "set aside" if self._error else "written"
        facts = {"state": state, "written": self._written, "lost": self._lost, "faults": self._faults}
        return facts | ({"error": self._error} if self._error else {})

    def close(self) -> None:
        """Raises what closing raises, but not where the sink was set aside: what it could not keep is told already."""
        try:
            self._sink.close()
        except OutputError:
            if not self._error:
                raise
