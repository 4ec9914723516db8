"""Waits with a deadline; on failure each says what it waited for."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import IO, TypeVar

# reached only if something is broken, even on a machine twenty times slower than the author's
SECONDS = 120.0
T = TypeVar("T")


def until(condition: Callable[[], T], what: str | Callable[[], object], seconds: float = SECONDS) -> T:
    """Wait until `condition` returns something true, and return it.

    what: what is waited for, for the message; a function is called when the wait fails, for example to return a log.
    """
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:g} s for {what() if callable(what) else what}")
        time.sleep(0.01)
    return value


def joined(thread: threading.Thread, what: str, seconds: float = SECONDS) -> None:
    """Wait for the end of a thread."""
    thread.join(seconds)
    assert not thread.is_alive(), f"waited {seconds:g} s for the end of {what}"


def signalled(event: threading.Event, what: str, seconds: float = SECONDS) -> None:
    """Wait for an event to be set."""
    assert event.wait(seconds), f"waited {seconds:g} s for {what}"


def datagram(listener: socket.socket, what: str) -> bytes:
    """Return the next datagram from a socket that has a timeout."""
    try:
        return listener.recv(4096)
    except TimeoutError:
        raise AssertionError(f"waited {listener.gettimeout()} s for {what}") from None


def free_port() -> int:
    """Return a TCP port of loopback that is currently unused."""
    with socket.create_server(("127.0.0.1", 0)) as s:
        return int(s.getsockname()[1])


class Lines:
    """Lines of a text stream, such as a child's standard error, read by a thread as they arrive."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._lines: list[str] = []
        self._ended = False
        self._came = threading.Condition()
        self._taken = 0
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        # the test may close the stream first
        with contextlib.suppress(ValueError), self._stream:
            for line in self._stream:
                with self._came:
                    self._lines.append(line)
                    self._came.notify_all()
        with self._came:
            self._ended = True
            self._came.notify_all()

    def next(self, what: str, seconds: float = SECONDS) -> str:
        """Return the next line with its line break; empty at the end of the stream."""
        with self._came:
            came = self._came.wait_for(lambda: len(self._lines) > self._taken or self._ended, seconds)
            assert came, f"waited {seconds:g} s for {what}; before it came:\n{''.join(self._lines)}"
            if self._taken == len(self._lines):
                return ""
            self._taken += 1
            return self._lines[self._taken - 1]

    def rest(self, what: str = "the end of the output", seconds: float = SECONDS) -> str:
        """Wait for the end of the stream and return the remaining text."""
        joined(self._thread, what, seconds)
        taken, self._taken = self._taken, len(self._lines)
        return "".join(self._lines[taken:])


def shown(terminal: int, words: str, seconds: float = SECONDS) -> str:
    """Read a pseudo-terminal's file descriptor until the `words` appear, and return the text."""
    text = b""
    deadline = time.monotonic() + seconds
    os.set_blocking(terminal, False)
    while words.encode() not in text:
        assert time.monotonic() < deadline, f"waited {seconds:g} s for {words!r} on the terminal; there is {text!r}"
        try:
            text += os.read(terminal, 65536)
        except BlockingIOError:
            time.sleep(0.01)
    os.set_blocking(terminal, True)
    return text.decode()
