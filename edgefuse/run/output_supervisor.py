"""Thread that checks a run's outputs once a second: reports failing ones, and reopens those that a failed reload left closed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping

from edgefuse.events import Event
from edgefuse.telemetry.live import Live
from edgefuse.telemetry.outputs import OutputState, OutputWatch
from edgefuse.telemetry.report_types import OutputReport
from edgefuse.util.restarting_thread import FaultLog, Worker

log = logging.getLogger(__name__)

_INTERVAL_S = 1.0
_JOIN_S = 6.0  # an attachment may be opened at this moment


class Supervisor:
    """Fills `live.failing` and emits an event of kind "output" where an output begins to fail (30 s) or works again."""

    def __init__(self, states: Callable[[], Mapping[str, OutputState]], revive: Callable[[], None], live: Live) -> None:
        """states: returns the current state of every output. revive: opens the missing ones; called once a second."""
        self._states, self._revive, self._live = states, revive, live
        self._watch = OutputWatch()
        self._stop = threading.Event()
        self._worker = Worker("edgefuse-supervisor", self._run, FaultLog(log, "the supervisor of the outputs"))

    def start(self) -> None:
        """Start the thread. Raises EdgeFuseError where the system gives none."""
        self._worker.start()

    def close(self) -> None:
        """End the thread; safe to call twice."""
        self._stop.set()
        self._worker.end()
        self._worker.join(_JOIN_S)

    def report(self) -> dict[str, OutputReport]:
        """Return, for each output: wanted, failing, and the number of unexpected errors."""
        return self._watch.report()

    def _run(self) -> None:
        while not self._stop.wait(_INTERVAL_S):
            self.look()

    def look(self) -> None:
        """Look once."""
        self._revive()
        newest = self._live.newest
        changes = self._watch.update(self._states(), newest[0] if newest else 0)
        self._live.failing = self._watch.failing
        for name, fails in changes:
            facts = {"state": "failing", "why": self._live.failing[name]} if fails else {"state": "working"}
            self._live.emit(Event("output", name, facts))
