"""--telemetry FILE: the run's state as a line of JSON every interval (docs/how-to/telemetry.md).

A file holds whole lines, whatever happens.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

from edgefuse.events import Event
from edgefuse.settings.telemetry import TelemetrySettings
from edgefuse.telemetry.live import Info, Live
from edgefuse.telemetry.vitals import Vitals
from edgefuse.util import files
from edgefuse.util.uri import expand

_CLOSING_S = 4.0


class JsonLines:
    """A thread that writes `Vitals.read` as lines; a last one when it is closed."""

    def __init__(self, settings: TelemetrySettings, live: Live, info: Info) -> None:
        """Raises OutputError where the file can't be written."""
        self._s, self._live, self._vitals = settings, live, Vitals(live)
        self._path = None if settings.file == "-" else expand(settings.file)
        if self._path:
            files.check_file(self._path)
        self.written, self.lost = 0, 0
        self._failing = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="edgefuse-telemetry", daemon=True)
        self._thread.start()

    def report(self) -> dict[str, Any]:
        return {"lines": self.written, "lost": self.lost}

    def close(self) -> None:
        if not self._stop.is_set():
            self._stop.set()
            # a pipe that nobody reads is to hold up nobody
            self._thread.join(_CLOSING_S)

    def _run(self) -> None:
        while not self._stop.wait(self._s.interval):
            self._tell()
        self._tell()

    def _tell(self) -> None:
        try:
            line = json.dumps(self._vitals.read(), separators=(",", ":")) + "\n"
            if self._path:
                append(self._path, line.encode(), round(self._s.max_mb * 1e6), self._s.keep)
            else:
                sys.stdout.write(line)
                sys.stdout.flush()
        except Exception as e:
            # whatever it is, the next line may be well
            self.lost += 1
            if not self._failing:
                error = files.output_error(self._path, e) if self._path and isinstance(e, OSError) else f"{type(e).__name__}: {e}"
                self._live.emit(Event("sink", "telemetry", {"state": "failing", "error": str(error)}))
            self._failing = True
        else:
            self.written += 1
            if self._failing:
                self._live.emit(Event("sink", "telemetry", {"state": "writing", "lines_lost": self.lost}))
            self._failing = False


def append(path: Path, line: bytes, most: int, keep: int) -> None:
    """Add `line` to `path` whole or not at all (OSError); where it would pass `most` bytes, FILE becomes FILE.1, and so on to `keep`."""
    with contextlib.suppress(FileNotFoundError):
        size = path.stat().st_size
        if size and size + len(line) > most:
            for k in range(keep - 1, 0, -1):
                with contextlib.suppress(FileNotFoundError):
                    _numbered(path, k).replace(_numbered(path, k + 1))
            path.replace(_numbered(path, 1))
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        before = os.fstat(descriptor).st_size
        if os.write(descriptor, line) < len(line):
            # the disk is full: half a line is worse than none
            os.ftruncate(descriptor, before)
            raise OSError(errno.ENOSPC, "full")
    finally:
        os.close(descriptor)


def _numbered(path: Path, k: int) -> Path:
    return path.with_name(f"{path.name}.{k}")
