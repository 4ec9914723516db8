"""Exponential back-off: waits that double from a first to a longest one, by default from 0.5 s to 3 s."""

from __future__ import annotations

import time

FIRST_S, LAST_S = 0.5, 3.0  # with an attempt of up to two seconds, recovery takes at most five
_STEADY_S = 10.0  # seconds without a failure that reset the back-off


class Backoff:
    """Time of the next attempt after failures. Not thread-safe.

    A loop that sleeps calls `next_wait_s`, and `reset` after a success. A loop that polls calls `failed` and reads `left_s`; a success
    shorter than ten seconds does not reset the back-off.
    """

    def __init__(self, first_s: float = FIRST_S, last_s: float = LAST_S) -> None:
        self._first_s, self._last_s = min(first_s, last_s), last_s
        self._wait_s, self._next = self._first_s, 0.0

    def next_wait_s(self) -> float:
        """Return the seconds to wait now; the next wait is twice as long, up to the longest."""
        wait_s, self._wait_s = self._wait_s, min(2 * self._wait_s, self._last_s)
        return wait_s

    def reset(self) -> None:
        """Start again from the first wait, after a success."""
        self._wait_s = self._first_s

    def failed(self) -> None:
        """Record a failure at this moment."""
        now = time.monotonic()
        if now - self._next >= _STEADY_S:
            self.reset()
        self._next = now + self.next_wait_s()

    @property
    def left_s(self) -> float:
        """Seconds until the next attempt; 0 if it is due."""
        return max(0.0, self._next - time.monotonic())
