"""New settings for a run that goes on: read again at SIGHUP or when asked from outside, applied or refused with one line."""

from __future__ import annotations

import contextlib
import logging
import queue
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Self

from edgefuse.errors import EdgeFuseError
from edgefuse.events import Event
from edgefuse.run.session import RunSession
from edgefuse.run.systemd import Heartbeat, reload_on_hangup
from edgefuse.settings import Settings

log = logging.getLogger(__name__)

_END_S = 10.0  # for a reload that is under way when the run ends: cameras may be slow to open


class Reloader:
    """A thread that waits for the word. Without `reread`, a settings file, there is nothing to reload, and SIGHUP ends the run."""

    def __init__(self, running: RunSession, reread: Callable[[], Settings] | None, heartbeat: Heartbeat) -> None:
        self._running, self._reread, self._heartbeat = running, reread, heartbeat
        self._asked: queue.SimpleQueue[bool] = queue.SimpleQueue()  # a signal handler may put into it
        self._thread: threading.Thread | None = None
        if reread is not None:
            running.live.register_command("reload", self._ask)
            self._thread = threading.Thread(target=self._loop, name="edgefuse-reload", daemon=True)
            self._thread.start()

    def on_hangup(self) -> AbstractContextManager[None]:
        """SIGHUP reloads. Under a terminal it means that the terminal was closed, and stays as it is."""
        if self._reread is None or sys.stdin is None or sys.stdin.isatty():
            return contextlib.nullcontext()
        return reload_on_hangup(lambda: self._asked.put(True))

    def close(self) -> None:
        """Wait for a reload that is under way, and reload no more. Safe to call twice."""
        if self._thread is not None:
            self._asked.put(False)
            self._thread.join(_END_S)
            self._thread = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _ask(self, _: Mapping[str, Any]) -> Mapping[str, Any]:
        """Refuses at once what can't be read; the rest is told by an event, as who asks may be what has to be closed for it."""
        assert self._reread is not None
        self._reread()
        self._asked.put(True)
        return {"state": "reading"}

    def _loop(self) -> None:
        while self._asked.get():
            with self._heartbeat.reloading():
                self._reload()

    def _reload(self) -> None:
        assert self._reread is not None
        try:
            changed = self._running.exchange(self._reread())
        except Exception as e:
            if not isinstance(e, EdgeFuseError):
                log.exception("a reload failed")
            self._tell("refused", {"state": "refused", "error": str(e)})
        else:
            self._tell("applied", {"state": "applied", "changed": ", ".join(changed) or "nothing"})

    def _tell(self, what: str, facts: Mapping[str, Any]) -> None:
        self._running.reloads[what] += 1
        self._running.live.emit(Event("reload", "settings", facts))
