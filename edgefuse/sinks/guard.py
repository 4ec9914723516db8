"""Wrapper of a sink that keeps the run going when the sink fails: lost frames are counted, and the sink is retried."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import NotRequired, TypedDict

from edgefuse.errors import EdgeFuseError, OutputError
from edgefuse.events import Event, OutputState
from edgefuse.frames import FusedFrame
from edgefuse.sinks.base import Sink
from edgefuse.util.backoff import Backoff
from edgefuse.util.restarting_thread import FaultLog

log = logging.getLogger(__name__)


class SinkReport(TypedDict):
    """A sink's part of the run's report. state: "written", or "set aside" because of `error`."""

    state: str
    written: int
    lost: int
    faults: int
    error: NotRequired[str]


class GuardedSink(Sink):
    """With `keep_going`, suspends `sink` while it fails; otherwise its errors are raised."""

    def __init__(self, name: str, sink: Sink, keep_going: bool, emit: Callable[[Event], None]) -> None:
        """name: for people, reports and events, without secrets. emit: receives an event for each change of state."""
        self.name, self.keep_going = name, keep_going
        self._sink, self._emit = sink, emit
        self._written = self._lost = self._faults = 0
        self._error = ""
        self._aside_since = 0.0
        self._backoff = Backoff()
        self._unexpected = FaultLog(log, f"the sink {name}")

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
        except Exception as e:
            if not self.keep_going:
                raise
            self._lost += 1
            if not isinstance(e, EdgeFuseError | OSError):
                self._unexpected.note(e)
            self._set_aside(str(e) or type(e).__name__)
            return
        self._written += 1
        if self._error:
            self._error, away_s = "", round(time.monotonic() - self._aside_since, 1)
            self._emit(Event("sink", self.name, {"state": "back", "away_s": away_s, "lost": self._lost}))

    def _set_aside(self, error: str) -> None:
        self._backoff.failed()
        if not self._error:
            self._aside_since = time.monotonic()
            self._faults += 1
            self._emit(Event("sink", self.name, {"state": "set aside", "error": error}))
            try:
                self._sink.close()  # finishes what was written so far
            except Exception as e:
                self._emit(Event("sink", self.name, {"state": "not finished", "error": str(e)}))
        self._error = error

    @property
    def state(self) -> OutputState:
        """Whether the sink takes frames now."""
        return OutputState(True, not self._error, faults=self._faults, why=self._error)

    def report(self) -> SinkReport:
        """Return the state ("written", or "set aside" with its `error`), frames written and lost, and how often the sink was set aside."""
        state = "set aside" if self._error else "written"
        facts: SinkReport = {"state": state, "written": self._written, "lost": self._lost, "faults": self._faults}
        if self._error:
            facts["error"] = self._error
        return facts

    def close(self) -> None:
        """Close the sink. Errors are raised unless the sink was set aside, because its failure was reported already."""
        try:
            self._sink.close()
        except OutputError:
            if not self._error:
                raise
