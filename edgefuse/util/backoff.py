"""When to try again what failed: soon, then seldom, and so that what works again is in use within five seconds."""

from __future__ import annotations

import time

FIRST_S, LAST_S = 0.5, 3.0  # doubled from one to the other; of five seconds two are left for the attempt, on a busy machine
_STEADY_S = 10.0  # without a failure, and the waiting starts over


class Backoff:
    """Not thread-safe. Of what comes and goes within seconds, the next attempt waits as long as if it had never come."""

    def __init__(self) -> None:
        self._wait_s, self._next = FIRST_S, 0.0

    def failed(self) -> None:
        """It failed just now."""
        now = time.monotonic()
        if now - self._next >= _STEADY_S:
            self._wait_s = FIRST_S
        self._next = now + self._wait_s
        self._wait_s = min(2 * self._wait_s, LAST_S)

    @property
    def left_s(self) -> float:
        """Seconds to the next attempt; 0 where it may be made."""
        return max(0.0, self._next - time.monotonic())
