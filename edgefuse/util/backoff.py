"""Exponential back-off: waits that double from a first one to a longest one; 0.5 s to 3 s where nothing else is said."""

from __future__ import annotations

import time

FIRST_S, LAST_S = 0.5, 3.0  # what works again is in use within five seconds: two are left for the attempt, on a busy machine
_STEADY_S = 10.0  # without a failure, and the waiting starts over


class Backoff:
    """Not thread-safe. Who waits for itself asks `next_wait_s` and calls `reset`; who is asked again and again calls `failed` and looks
    at `left_s`: there, of what comes and goes within seconds, the next attempt waits as long as if it had never come."""

    def __init__(self, first_s: float = FIRST_S, last_s: float = LAST_S) -> None:
        self._first_s, self._last_s = min(first_s, last_s), last_s
        self._wait_s, self._next = self._first_s, 0.0

    def next_wait_s(self) -> float:
        """Seconds to wait now; the next wait is twice as long, up to the longest."""
        wait_s, self._wait_s = self._wait_s, min(2 * self._wait_s, self._last_s)
        return wait_s

    def reset(self) -> None:
        """It works: the next wait is the first one again."""
        self._wait_s = self._first_s

    def failed(self) -> None:
        """It failed just now."""
        now = time.monotonic()
        if now - self._next >= _STEADY_S:
            self.reset()
        self._next = now + self.next_wait_s()

    @property
    def left_s(self) -> float:
        """Seconds to the next attempt; 0 where it may be made."""
        return max(0.0, self._next - time.monotonic())
