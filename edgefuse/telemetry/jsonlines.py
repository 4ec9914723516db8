"""--telemetry FILE: the run's state as a line of JSON every interval (docs/how-to/telemetry.md).

A file holds whole lines, whatever happens.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import sys
import threading
from pathlib import Path

from edgefuse.events import Event
from edgefuse.settings.telemetry import TelemetrySettings
from edgefuse.telemetry.live import Info, Live
from edgefuse.telemetry.outputs import OutputState
from edgefuse.telemetry.report_types import LinesReport
from edgefuse.telemetry.vitals import Vitals
from edgefuse.util import files
from edgefuse.util.restarting_thread import FaultLog, Worker
from edgefuse.util.uri import expand

log = logging.getLogger(__name__)

_CLOSING_S = 4.0


class JsonLines:
    """Thread that writes `Vitals.read` as lines, with a last one when it is closed."""

    @staticmethod
    def check(settings: TelemetrySettings) -> None:
        """Raises OutputError where the file is not writable."""
        if settings.file != "-":
            files.check_target(expand(settings.file))

    def __init__(self, settings: TelemetrySettings, live: Live, info: Info) -> None:
        """Raises OutputError where the file is not writable."""
        self._s, self._live, self._vitals = settings, live, Vitals(live)
        self._path = None if settings.file == "-" else expand(settings.file)
        if self._path:
            files.check_file(self._path)
        self.written, self.lost = 0, 0
        self._failing = ""
        self._stop = threading.Event()
        self._faults = FaultLog(log, "telemetry")
        self._worker = Worker("edgefuse-telemetry", self._run, self._faults)
        self._worker.start()

    def report(self) -> LinesReport:
        """Return the state and counters."""
        return {"lines": self.written, "lost": self.lost}

    def outputs(self) -> dict[str, OutputState]:
        """Return whether the last line was written."""
        return {"telemetry": OutputState(True, not self._failing and self._worker.alive, faults=self._faults.count, why=self._failing)}

    def close(self) -> None:
        """Write a last line and end the thread."""
        if not self._stop.is_set():
            self._stop.set()
            self._worker.end()
            # a pipe without a reader must not block the run's end
            self._worker.join(_CLOSING_S)

    def _run(self) -> None:
        while not self._stop.wait(self._s.interval):
            self._write_line()
        self._write_line()

    def _write_line(self) -> None:
        try:
            line = json.dumps(self._vitals.read(), separators=(",", ":")) + "\n"
            if self._path:
                append(self._path, line.encode(), round(self._s.max_mb * 1e6), self._s.keep)
            else:
                sys.stdout.write(line)
                sys.stdout.flush()
        except Exception as e:
            # whatever the error, the next line may succeed
            self.lost += 1
            error = files.output_error(self._path, e) if self._path and isinstance(e, OSError) else f"{type(e).__name__}: {e}"
            first, self._failing = not self._failing, str(error)
            if first:
                self._live.emit(Event("sink", "telemetry", {"state": "failing", "error": str(error)}))
        else:
            self.written += 1
            if self._failing:
                self._live.emit(Event("sink", "telemetry", {"state": "writing", "lines_lost": self.lost}))
            self._failing = ""


def append(path: Path, line: bytes, max_bytes: int, keep: int) -> None:
    """Append `line` to `path` completely or not at all (OSError). If it would exceed `max_bytes`, FILE becomes FILE.1, up to `keep`
    files."""
    with contextlib.suppress(FileNotFoundError):
        size = path.stat().st_size
        if size and size + len(line) > max_bytes:
            for k in range(keep - 1, 0, -1):
                with contextlib.suppress(FileNotFoundError):
                    _numbered(path, k).replace(_numbered(path, k + 1))
            path.replace(_numbered(path, 1))
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        before = os.fstat(descriptor).st_size
        if os.write(descriptor, line) < len(line):
            # the disk is full: remove the incomplete line
            os.ftruncate(descriptor, before)
            raise OSError(errno.ENOSPC, "full")
    finally:
        os.close(descriptor)


def _numbered(path: Path, k: int) -> Path:
    return path.with_name(f"{path.name}.{k}")
