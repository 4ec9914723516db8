"""Keeps BLAS on one thread: its threads wait actively for each other, and beside other work take 5 to 20 times the processor time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any


@cache
def _libraries() -> Any:
    import threadpoolctl

    return threadpoolctl.ThreadpoolController()


class _Limit:
    """The limit of a process, from its first user to its last: the number of threads belongs to the process, not to who sets it."""

    def __init__(self) -> None:
        self._lock, self._users = threading.Lock(), 0
        self._limiter: Any = None

    def enter(self) -> None:
        with self._lock:
            if not self._users:
                self._limiter = _libraries().limit(limits=1, user_api="blas")
            self._users += 1

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                # since threadpoolctl 3.7 only the thread that set a limit may take it back, and the last user may be another one
                _release()
                self._limiter.restore_original_limits()
                _release()


def _release() -> None:
    for library in _libraries().lib_controllers:
        if hasattr(library, "clear_controlling_thread"):
            library.clear_controlling_thread(force=True)


_limit = _Limit()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit NumPy's BLAS to one thread. Safe from several threads at once; the last one to leave restores the previous limit."""
    _limit.enter()
    try:
        yield
    finally:
        _limit.leave()


def blas_threads() -> int:
    """Return the most threads that a loaded BLAS uses outside of `one_blas_thread`, 1 without one."""
    return max((library["num_threads"] for library in _libraries().info() if library["user_api"] == "blas"), default=1)
