"""What those outside may see of a run and ask of it: the newest frame, the report, events and a few commands.

The web page, MQTT, alarms and recordings stand on this and know nothing of one another. Nothing here waits for any of them: a frame is
handed over by reference and the newest replaces the one before.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgefuse.errors import EdgeFuseError
from edgefuse.events import Event
from edgefuse.frames import FusedFrame
from edgefuse.sinks.base import Sink

log = logging.getLogger(__name__)

_REPORT_S = 1.0  # a report is made at most this often, however many ask


@dataclass(frozen=True, slots=True)
class Info:
    """What an attachment may know of the run. source: its name, without secrets. fps: nominal, Hz. endless: the source has no known end.
    model: name, runtime, version, precision, threads. inputs: files and folders read from, which nobody may write to."""

    source: str
    fps: float
    endless: bool
    model: Mapping[str, Any]
    inputs: tuple[Path, ...] = ()


class Live(Sink):
    """One run, as seen from outside; safe from any thread. It is the last of the run's sinks, so a frame seen here was written."""

    def __init__(self, report: Callable[[], Mapping[str, Any]]) -> None:
        """report: everything there is to tell of the run now (`edgefuse run --json`'s report)."""
        self._make_report, self._lock = report, threading.Lock()
        self._report_lock = threading.Lock()  # of its own: no frame waits for a report that is being made
        self._count = 0
        self._fused: FusedFrame | None = None
        self._report: tuple[float, Mapping[str, Any]] | None = None
        self._on_frame: list[Callable[[int, FusedFrame], None]] = []
        self._on_event: list[Callable[[Event], None]] = []
        self._commands: dict[str, Callable[[Mapping[str, Any]], Mapping[str, Any]]] = {}

    def write(self, fused: FusedFrame) -> None:
        with self._lock:
            self._count, self._fused = self._count + 1, fused
            watchers = list(self._on_frame)
        for watcher in watchers:
            try:
                watcher(self._count, fused)
            except Exception:
                # nobody outside may end a run
                log.exception("a watcher of the frames failed and is let go")
                self._remove(self._on_frame, watcher)

    @property
    def newest(self) -> tuple[int, FusedFrame] | None:
        """(how many frames there were, the last of them); None before the first."""
        with self._lock:
            return (self._count, self._fused) if self._fused is not None else None

    def report(self) -> Mapping[str, Any]:
        """The run's report, up to a second old."""
        with self._report_lock:
            if self._report is None or time.monotonic() - self._report[0] >= _REPORT_S:
                self._report = time.monotonic(), self._make_report()
            return self._report[1]

    def watch(self, on_frame: Callable[[int, FusedFrame], None]) -> Callable[[], None]:
        """Call `on_frame(count, fused)` in the writer's thread with every frame: it must return at once, and raise nothing. Returns what
        ends it."""
        return self._add(self._on_frame, on_frame)

    def listen(self, on_event: Callable[[Event], None]) -> Callable[[], None]:
        """Call `on_event` with every event, in the thread of whoever tells it: it must return at once. Returns what ends it."""
        return self._add(self._on_event, on_event)

    def _add(self, to: list[Any], what: Any) -> Callable[[], None]:
        with self._lock:
            to.append(what)

        return lambda: self._remove(to, what)

    def _remove(self, of: list[Any], what: Any) -> None:
        with self._lock:
            if what in of:
                of.remove(what)

    def tell(self, event: Event) -> None:
        """Something happened: to the log, and to all who listen."""
        log.info("%s %s: %s", event.kind, event.name, ", ".join(f"{k} {v}" for k, v in event.facts.items()))
        with self._lock:
            listeners = list(self._on_event)
        for listener in listeners:
            try:
                listener(event)
            except Exception:
                log.exception("a listener failed at %s %s", event.kind, event.name)

    def offer(self, command: str, do: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> None:
        """Answer `ask(command)` with `do(arguments)`: "snapshot", "record", "reload". It raises EdgeFuseError for what can't be done."""
        with self._lock:
            self._commands[command] = do

    def ask(self, command: str, arguments: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        """The answer to a command, JSON values, in the asker's thread. Raises EdgeFuseError where it is not offered or can't be done."""
        with self._lock:
            do = self._commands.get(command)
            known = ", ".join(sorted(self._commands)) or "none"
        if do is None:
            raise EdgeFuseError(f"there is no command '{command}' here; there is {known}")
        return do(arguments or {})

    @property
    def commands(self) -> tuple[str, ...]:
        """What may be asked now."""
        with self._lock:
            return tuple(sorted(self._commands))
