"""Limits of what a child process may take without a report of progress: one rule for single commands and for the archive's processes."""

from __future__ import annotations

import math
import select
import time
from dataclasses import dataclass

from edgefuse.util.child_process import processor_s


@dataclass(frozen=True, slots=True)
class Limit:
    """What may pass between two reports of progress: processor time of the child, and time, in seconds."""

    cpu_s: float = math.inf
    wall_s: float = math.inf


class Stall:
    """What a child process took since its last report of progress.

    waited_s: time that this process waited for it, without the time in which this process was stopped itself.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.reported()

    def reported(self) -> None:
        """Begin anew, as the child made progress."""
        self._used_s, self.waited_s = processor_s(self._pid), 0.0

    def wait(self, descriptor: int, poll_s: float) -> bool:
        """Wait up to `poll_s` seconds until `descriptor` can be read, or is at its end. Returns whether that is so."""
        poll, began = select.poll(), time.monotonic()
        poll.register(descriptor, select.POLLIN)
        ready = bool(poll.poll(1e3 * poll_s))
        self.waited_s += min(time.monotonic() - began, 2 * poll_s)
        return ready

    def exceeds(self, limit: Limit) -> str:
        """Return what was exceeded, such as "5 s of processor time"; empty if nothing was."""
        if self.waited_s > limit.wall_s:
            return f"{limit.wall_s:.0f} s"
        if limit.cpu_s < math.inf and processor_s(self._pid) - self._used_s > limit.cpu_s:
            return f"{limit.cpu_s:.0f} s of processor time"
        return ""
