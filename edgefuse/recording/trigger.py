"""When to record: always, around alarms, or when asked to."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from edgefuse.settings.recording import Mode


class Trigger:
    """Safe from any thread."""

    def __init__(self, mode: Mode, after_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """after_s: recorded after an alarm is over. clock: monotonic seconds."""
        self.mode, self._after_s, self._clock = mode, after_s, clock
        self._lock = threading.Lock()
        self._asked = mode == "always"
        self._raised: set[str] = set()
        self._until_s = -math.inf

    def ask(self, on: bool) -> None:
        """Somebody wants it on, or off; an alarm that is raised goes on being recorded."""
        with self._lock:
            if self._asked and not on:
                self._until_s = max(self._until_s, self._clock())
            self._asked = on

    def alarm(self, name: str, state: str | None) -> None:
        """state: "raised" and "cleared" as alarms tell them, "fault" changes nothing; of others one is over as soon as it is told."""
        if self.mode == "request" or state == "fault":
            return
        with self._lock:
            if state == "raised":
                self._raised.add(name)
            elif state != "cleared" or name in self._raised:
                self._raised.discard(name)
                self._until_s = max(self._until_s, self._clock() + self._after_s)

    def wanted(self, ago_s: float = 0.0) -> bool:
        """Is what happens now, or was it `ago_s` ago, to be recorded?"""
        with self._lock:
            return self._asked or bool(self._raised) or self._clock() - ago_s < self._until_s

    def encodes(self) -> bool:
        """Is it to be encoded? What comes before an alarm has to be there when it comes."""
        return self.mode == "alarm" or self.wanted()
