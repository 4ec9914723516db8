"""Living under a terminal or an init system: signals."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
