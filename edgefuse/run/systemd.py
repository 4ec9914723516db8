"""Signals, and notifications to systemd: readiness, watchdog, reloads."""

from __future__ import annotations

import math
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stop_on_signals(stop: Callable[[], None]) -> Iterator[list[str]]:
    """Call `stop` at the first SIGINT or SIGTERM, whose name is added to the yielded list; a second signal ends the process as usual."""
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
    """Call `reload` at each SIGHUP, in the signal handler, so it must take no lock."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGHUP, lambda *_: reload())
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, previous)


def notify(state: str) -> bool:
    """Notify systemd (sd_notify(3)); does nothing unless it started us as Type=notify. Returns False where it could not be told."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
                # a full socket must not block the run
                s.setblocking(False)
                s.connect("\0" + address[1:] if address[0] == "@" else address)
                s.send(state.encode())
        except OSError:
            return False
    return True


class Heartbeat:
    """Sends READY at the first written frame, then the watchdog notification, at most once a second, while more frames are written.

    What can't be sent, for lack of a descriptor or because systemd is busy, is sent a second later: without READY systemd would end the
    service.
    """

    INTERVAL_S = 1.0

    def __init__(self) -> None:
        self._frames, self._notified_at = 0, -math.inf
        self._ready_sent = False
        self._lock = threading.Lock()  # makes sending READY atomic

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """Notify systemd of a reload. Before the first frame nothing is sent, because READY follows with it."""
        with self._lock:
            ready = self._ready_sent
        if ready:
            notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            yield
        finally:
            if ready:
                with self._lock:
                    self._ready_sent = notify("READY=1")

    def beat(self, frames: int, failing: Iterable[str] = ()) -> None:
        """Report progress. frames: written by every sink so far, so that a frozen source or lost frames do not count.

        failing: texts about outputs that have not worked for long; they are shown by `systemctl status`, but cause no restart, which
        would help neither a full disk nor a broker that is gone.
        """
        now = time.monotonic()
        if frames > self._frames and now - self._notified_at >= self.INTERVAL_S:
            with self._lock:
                ready = "" if self._ready_sent else "READY=1\n"
                self._notified_at = now
                if notify(f"{ready}WATCHDOG=1\nSTATUS={'; '.join((f'{frames} frames fused', *failing))}"):
                    self._frames, self._ready_sent = frames, True
