"""Reloads the settings of a running run, at SIGHUP or on request; new settings are applied, or refused with a one-line error."""

from __future__ import annotations

import contextlib
import logging
import queue
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

from edgefuse.errors import EdgeFuseError
from edgefuse.events import Event, Facts
from edgefuse.run.session import RunSession
from edgefuse.run.systemd import Heartbeat, reload_on_hangup
from edgefuse.settings import Settings
from edgefuse.util.restarting_thread import FaultLog, Worker

log = logging.getLogger(__name__)

_JOIN_TIMEOUT_S = 10.0  # limit for a reload in progress when the run ends; cameras may be slow to open


class Reloader:
    """Thread that reloads settings on request. Without `reread` (no settings file) reloading is disabled, and SIGHUP ends the run."""

    def __init__(self, running: RunSession, reread: Callable[[], Settings] | None, heartbeat: Heartbeat) -> None:
        self._running, self._reread, self._heartbeat = running, reread, heartbeat
        self._requests: queue.SimpleQueue[bool] = queue.SimpleQueue()  # a SimpleQueue, because a signal handler puts into it
        self._faults = FaultLog(log, "a reload")
        self._worker: Worker | None = None
        if reread is not None:
            running.live.register_command("reload", self._request_reload)
            self._worker = Worker("edgefuse-reload", self._loop, self._faults)
            self._worker.start()

    def on_hangup(self) -> AbstractContextManager[None]:
        """Return a context in which SIGHUP reloads. With a terminal SIGHUP means that the terminal was closed, and keeps its effect."""
        if self._reread is None or sys.stdin is None or sys.stdin.isatty():
            return contextlib.nullcontext()
        return reload_on_hangup(lambda: self._requests.put(True))

    def close(self) -> None:
        """Wait for a reload in progress and accept no more. Safe to call twice."""
        if self._worker is not None:
            self._requests.put(False)
            self._worker.end()
            self._worker.join(_JOIN_TIMEOUT_S)
            self._worker = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _request_reload(self, _: Facts) -> Facts:
        """Reject unreadable settings at once. The outcome follows as an event, because the caller (MQTT, say) may itself be restarted."""
        assert self._reread is not None
        self._reread()
        self._requests.put(True)
        return {"state": "reading"}

    def _loop(self) -> None:
        while self._requests.get():
            with self._heartbeat.reloading():
                self._reload()

    def _reload(self) -> None:
        assert self._reread is not None
        try:
            changed = self._running.exchange(self._reread())
        except Exception as e:
            if not isinstance(e, EdgeFuseError):
                self._faults.note(e)
            self._report_outcome("refused", {"state": "refused", "error": str(e)})
        else:
            self._report_outcome("applied", {"state": "applied", "changed": ", ".join(changed) or "nothing"})

    def _report_outcome(self, what: str, facts: Facts) -> None:
        self._running.reloads[what] += 1
        self._running.live.emit(Event("reload", "settings", facts))
