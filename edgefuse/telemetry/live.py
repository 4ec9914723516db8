"""Interface of a run for its attachments: the newest frame, the report, events and a few commands.

The web page, MQTT, alarms and recordings use it and do not know each other. Nothing here waits for them: a frame is passed by
reference, and the newest replaces the previous one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar

from edgefuse.calibration.registration import Calibration
from edgefuse.detection.tracker import Track
from edgefuse.errors import EdgeFuseError
from edgefuse.events import Event, Facts
from edgefuse.frames import FusedFrame
from edgefuse.sinks.base import Sink
from edgefuse.telemetry.report_types import ModelFacts, Report
from edgefuse.thermal.agc import Polarity
from edgefuse.thermal.units import DegreeUnit
from edgefuse.util.printable import clean
from edgefuse.util.restarting_thread import FaultLog

log = logging.getLogger(__name__)

T = TypeVar("T")
_REPORT_S = 1.0  # seconds for which a report is reused


@dataclass(frozen=True, slots=True)
class Info:
    """Facts about the run for its attachments.

    source: its name, without secrets. fps: nominal, Hz. endless: the source has no known end. model: name, runtime, version, precision,
    threads. inputs: files and folders that the run reads and that must not be written to.
    """

    source: str
    fps: float
    endless: bool
    model: ModelFacts
    inputs: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Sighting:
    """The people of the newest look. size: of its infrared frame, (width, height). time_ns: of that frame."""

    tracks: tuple[Track, ...]
    size: tuple[int, int]
    time_ns: int


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A file of the recordings folder. begin_s: when it was begun, seconds since the epoch. open: it is being written."""

    name: str
    nbytes: int
    begin_s: float
    open: bool


class Library(Protocol):
    """The recordings of a run, as others see them."""

    def kept(self) -> list[KeptFile]:
        """Return all recordings, newest first. Raises OutputError where the folder can't be read."""

    def open_kept(self, name: str) -> BinaryIO | None:
        """Open a finished recording by its name; None where there is none of this name. Raises OSError where it can't be read."""


class Live(Sink):
    """A run as seen by its attachments; safe from any thread. It is the last of the run's sinks, so a frame seen here has been written."""

    def __init__(self, report: Callable[[], Report]) -> None:
        """report: makes the run's full report (that of `edgefuse run --json`)."""
        self._make_report, self._lock = report, threading.Lock()
        self._report_lock = threading.Lock()  # a separate lock, so that no frame waits for a report being made
        self._count = 0
        self._fused: FusedFrame | None = None
        self._report: tuple[float, Report] | None = None
        self._on_frame: list[Callable[[int, FusedFrame], None]] = []
        self._on_event: list[Callable[[Event], None]] = []
        self._faults = FaultLog(log, "a frame watcher or listener")
        self.unit: DegreeUnit = "celsius"  # in which infrared temperatures are shown
        self.calibration: Calibration | None = None  # of the infrared frames, as of the newest settings; likewise the polarity
        self.polarity: Polarity = "auto"
        self.sighting: Sighting | None = None  # None without [detect], and before the first look
        self.failing: Mapping[str, str] = {}  # outputs that are wanted and have not worked for 30 s -> why; replaced as a whole
        self.library: Library | None = None  # of the recording, where there is one
        self._commands: dict[str, Callable[[Facts], Facts]] = {}

    def write(self, fused: FusedFrame) -> None:
        """Store the frame and pass it to all watchers."""
        with self._lock:
            self._count, self._fused = self._count + 1, fused
            watchers = list(self._on_frame)
        for watcher in watchers:
            try:
                watcher(self._count, fused)
            except Exception as e:
                # an attachment must not end the run, and one bad moment must not end the attachment
                self._faults.note(e)

    @property
    def faults(self) -> int:
        """Number of errors of watchers and listeners."""
        return self._faults.count

    @property
    def newest(self) -> tuple[int, FusedFrame] | None:
        """(number of frames so far, the newest frame); None before the first."""
        with self._lock:
            return (self._count, self._fused) if self._fused is not None else None

    def report(self) -> Report:
        """Return the run's report, up to a second old."""
        with self._report_lock:
            if self._report is None or time.monotonic() - self._report[0] >= _REPORT_S:
                self._report = time.monotonic(), self._make_report()
            return self._report[1]

    def watch(self, on_frame: Callable[[int, FusedFrame], None]) -> Callable[[], None]:
        """Call `on_frame(count, fused)` for every frame in the writer's thread; it must return at once and not raise.

        Returns a function that ends this.
        """
        return self._add(self._on_frame, on_frame)

    def listen(self, on_event: Callable[[Event], None]) -> Callable[[], None]:
        """Call `on_event` for every event, in the emitting thread; it must return at once. Returns a function that ends this."""
        return self._add(self._on_event, on_event)

    def _add(self, to: list[T], what: T) -> Callable[[], None]:
        with self._lock:
            to.append(what)

        return lambda: self._remove(to, what)

    def _remove(self, of: list[T], what: T) -> None:
        with self._lock:
            if what in of:
                of.remove(what)

    def emit(self, event: Event) -> None:
        """Log an event and pass it to all listeners, without secrets and without control characters of files and networks."""
        event = replace(event, facts=clean(event.facts))
        log.info("%s %s: %s", event.kind, event.name, ", ".join(f"{k} {v}" for k, v in event.facts.items()))
        with self._lock:
            listeners = list(self._on_event)
        for listener in listeners:
            try:
                listener(event)
            except Exception as e:
                self._faults.note(e)

    def register_command(self, command: str, do: Callable[[Facts], Facts]) -> None:
        """Register the function that runs a command ("snapshot", "record", "reload"). It raises EdgeFuseError on failure."""
        with self._lock:
            self._commands[command] = do

    def run_command(self, command: str, arguments: Facts | None = None) -> Facts:
        """Run a command in the caller's thread and return its answer, JSON values. Raises EdgeFuseError where it is unknown or fails."""
        with self._lock:
            do = self._commands.get(command)
            known = ", ".join(sorted(self._commands)) or "none"
        if do is None:
            raise EdgeFuseError(f"no command '{command}'; available: {known}")
        return do(arguments or {})

    @property
    def commands(self) -> tuple[str, ...]:
        """Names of the registered commands."""
        with self._lock:
            return tuple(sorted(self._commands))
