"""Decides when to record: always, around alarms, or on request."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from edgefuse.settings.recording import Mode


class Trigger:
    """Recording state, by mode, alarms and requests. Safe from any thread."""

    def __init__(self, mode: Mode, after_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """after_s: seconds to record after an alarm is cleared. clock: monotonic seconds."""
        self.mode, self._after_s, self._clock = mode, after_s, clock
        self._lock = threading.Lock()
        self._requested = mode == "always"
        self._raised: set[str] = set()
        self._until_s = -math.inf

    def set_requested(self, on: bool) -> None:
        """Switch requested recording on or off; a raised alarm is recorded in any case."""
        with self._lock:
            if self._requested and not on:
                self._until_s = max(self._until_s, self._clock())
            self._requested = on

    def alarm(self, name: str, state: object) -> None:
        """Note an alarm event. "raised" and "cleared" change the state, "fault" does not; any other state is a momentary alarm."""
        if self.mode == "request" or state == "fault":
            return
        with self._lock:
            if state == "raised":
                self._raised.add(name)
            elif state != "cleared" or name in self._raised:
                self._raised.discard(name)
                self._until_s = max(self._until_s, self._clock() + self._after_s)

    def wanted(self, ago_s: float = 0.0) -> bool:
        """Whether frames of now, or of `ago_s` ago, are to be recorded."""
        with self._lock:
            return self._requested or bool(self._raised) or self._clock() - ago_s < self._until_s

    def encode(self) -> bool:
        """Whether to encode frames now. In alarm mode always, because the time before an alarm must be available."""
        return self.mode == "alarm" or self.wanted()
