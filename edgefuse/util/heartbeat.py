"""Reports of progress from a command's process to the one that supervises it (edgefuse/cli/supervisor.py).

Without a supervisor, as in a program that imports EdgeFuse, every function here does nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

_BEAT_S = 0.25  # least time between two reports of progress
_supervisor: _Supervisor | None = None


class _Supervisor:
    """The pipe to the supervising process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._next = descriptor, 0.0
        self._lock = threading.Lock()

    def tell(self, **message: object) -> None:
        with self._lock, contextlib.suppress(OSError):
            os.write(self._descriptor, json.dumps(message).encode() + b"\n")

    def beat(self) -> None:
        if (now := time.monotonic()) >= self._next:
            self._next = now + _BEAT_S
            self.tell(beat=True)


def connect(descriptor: int) -> None:
    """Report to the process that reads from the other end of this pipe."""
    global _supervisor
    _supervisor = _Supervisor(descriptor)


def beat(*_: object) -> None:
    """Report progress; at most four reports a second are sent."""
    if _supervisor is not None:
        _supervisor.beat()


def _text(path: Path) -> str:
    return os.fsencode(path).decode("utf-8", "surrogateescape")


@contextlib.contextmanager
def opening(path: Path) -> Iterator[None]:
    """Report that the block opens the file `path`, which takes a time that its size limits."""
    if _supervisor is None:
        yield
        return
    try:
        size = path.stat().st_size
    except OSError:
        size = 0
    _supervisor.tell(opening=_text(path), bytes=size)
    try:
        yield
    finally:
        _supervisor.tell(opened=True)


def working(stall_s: float) -> None:
    """Report the seconds of processor time that may pass between two reports of progress from now on."""
    if _supervisor is not None:
        _supervisor.tell(stall_s=stall_s)


def leaves(folder: Path) -> None:
    """Report a temporary folder that the supervisor deletes if it ends this process."""
    if _supervisor is not None:
        _supervisor.tell(leaves=_text(folder))


def writes(path: Path) -> None:
    """Report a file that is written: if the supervisor ends this process, it deletes the unfinished files of this process beside it."""
    if _supervisor is not None:
        _supervisor.tell(writes=_text(path.parent))


def finished() -> None:
    """Report that only output is left to write, to a reader that may take as long as it likes."""
    if _supervisor is not None:
        _supervisor.tell(finished=True)
