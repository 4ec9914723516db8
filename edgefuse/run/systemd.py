"""Living under a terminal or an init system: signals, and word to systemd that frames go through and of reloads."""

from __future__ import annotations

import math
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType


@contextmanager
def stop_on_signals(stop: Callable[[], None]) -> Iterator[list[str]]:
    """Call `stop` at the first SIGINT or SIGTERM, whose name is then in the list yielded; a second one ends the process as usual."""
    received: list[str] = []

    def handle(number: int, _: FrameType | None) -> None:
        received.append(signal.Signals(number).name)
        for n in previous:
            signal.signal(n, signal.default_int_handler if n == signal.SIGINT else signal.SIG_DFL)
        stop()

    main = threading.current_thread() is threading.main_thread()
    previous = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)} if main else {}
    for n in previous:
        signal.signal(n, handle)
    try:
        yield received
    finally:
        for n, handler in previous.items():
            signal.signal(n, handler)


@contextmanager
def reload_on_hangup(reload: Callable[[], None]) -> Iterator[None]:
    """Call `reload` at each SIGHUP; it is called in a signal handler, so it must take no lock."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGHUP, lambda *_: reload())
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, previous)


def notify(state: str) -> None:
    """Tell systemd (sd_notify(3)); nothing where it did not start us as Type=notify, or no longer listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            # a socket that is full must not hold up a run
            s.setblocking(False)
            s.connect("\0" + address[1:] if address[0] == "@" else address)
            s.send(state.encode())


class Heartbeat:
    """READY with the first frame that was written, then the watchdog's food, once a second at most, while further ones are."""

    INTERVAL_S = 1.0

    def __init__(self) -> None:
        self._frames, self._told_at = 0, -math.inf
        self._lock = threading.Lock()  # READY is told, or it isn't

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """While new settings are read and applied. Before the first frame systemd waits for READY anyway, which is not ours to give."""
        with self._lock:
            ready = self._frames > 0
        if ready:
            notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            yield
        finally:
            if ready:
                notify("READY=1")

    def beat(self, frames: int) -> None:
        """frames: written by every sink so far. A source that froze, or frames that are all lost, don't add to it."""
        now = time.monotonic()
        if frames > self._frames and now - self._told_at >= self.INTERVAL_S:
            with self._lock:
                ready = "" if self._frames else "READY=1\n"
                notify(f"{ready}WATCHDOG=1\nSTATUS={frames} frames fused")
                self._frames, self._told_at = frames, now
