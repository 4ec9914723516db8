"""Exponential back-off, 0.5 s doubling to 3 s."""

from __future__ import annotations

import time

FIRST_S, LAST_S = 0.5, 3.0  # with an attempt of up to two seconds, recovery takes at most five
_STEADY_S = 10.0  # seconds without a failure that reset the back-off


class Backoff:
    """Time of the next attempt after failures; a short success does not reset it. Not thread-safe."""

    def __init__(self) -> None:
        self._wait_s, self._next = FIRST_S, 0.0

    def failed(self) -> None:
        """Note a failure now."""
        now = time.monotonic()
        if now - self._next >= _STEADY_S:
            self._wait_s = FIRST_S
        self._next = now + self._wait_s
        self._wait_s = min(2 * self._wait_s, LAST_S)

    @property
    def left_s(self) -> float:
        """Seconds until the next attempt; 0 where it may be made."""
        return max(0.0, self._next - time.monotonic())
