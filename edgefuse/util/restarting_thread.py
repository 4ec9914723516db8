"""Threads that outlive their errors: one that raises is logged, counted and started again with back-off."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable

from edgefuse.errors import EdgeFuseError
from edgefuse.util.backoff import Backoff

_LOG_EVERY_S = 600.0


class FaultLog:
    """Counts unexpected errors, and logs one with its traceback at most every ten minutes. Safe from any thread."""

    def __init__(self, log: logging.Logger, what: str) -> None:
        """what: the part that fails, as the log names it."""
        self.count = 0
        self._log, self._what = log, what
        self._logged_at = -math.inf
        self._lock = threading.Lock()

    def note(self, error: BaseException) -> None:
        """Count `error`, and log it if none was logged lately. Never raises."""
        with self._lock:
            self.count += 1
            now = time.monotonic()
            if now - self._logged_at < _LOG_EVERY_S:
                return
            self._logged_at = now
        try:
            self._log.error("%s failed (%s: %s) and goes on; error %d", self._what, type(error).__name__, error, self.count, exc_info=error)
        except Exception:  # the error's own text may fail, or there is no memory for it
            self._log.error("%s failed and goes on; error %d", self._what, self.count)


class Worker:
    """Daemon thread that calls `work` until it returns; when it raises, it is called again after a back-off of 0.5 to 3 s."""

    def __init__(self, name: str, work: Callable[[], None], faults: FaultLog) -> None:
        """work: returns when it is to end; must bear being called again after it raised."""
        self._name, self._work, self._faults = name, work, faults
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread. Raises EdgeFuseError where the system gives none."""
        try:
            self._thread.start()
        except (RuntimeError, MemoryError) as e:
            raise EdgeFuseError(f"{self._name}: no thread could be started ({e}); raise the limit of processes, or free memory") from None

    def end(self) -> None:
        """Start `work` no more after it raised."""
        self._ending.set()

    @property
    def alive(self) -> bool:
        """Whether `work` runs, or will run again."""
        return self._thread.is_alive()

    def join(self, timeout_s: float) -> None:
        """Wait up to `timeout_s` for the end; does nothing for a thread that was never started."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        backoff = Backoff()
        while True:
            try:
                self._work()
                return
            except Exception as e:
                self._faults.note(e)
            backoff.failed()
            if self._ending.wait(backoff.left_s):
                return
