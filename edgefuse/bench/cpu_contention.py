"""What other processes and the hypervisor took of the cores while something was measured."""

from __future__ import annotations

import contextlib
import os
import time

import psutil

_SHORTEST_S = 0.5  # the kernel counts in hundredths of a second
# share of the cores that a case needed and did not have
CROWDED = 0.1


class CpuContention:
    """Starts counting when it is made."""

    def __init__(self) -> None:
        self._busy, self._own, self._began = _busy_s(), time.process_time(), time.perf_counter()

    def cores(self) -> float | None:
        """The number of cores that others kept busy since then, of those this process may use; None where that can't be told."""
        busy, elapsed = _busy_s(), time.perf_counter() - self._began
        if self._busy is None or busy is None or elapsed < _SHORTEST_S:
            return None
        return max(0.0, (busy - self._busy - (time.process_time() - self._own)) / elapsed)


def crowding(others: float | None, threads: int, usable: int) -> float:
    """Share of the `threads` cores needed that `others` left no room for on `usable` cores."""
    return max(0.0, threads + (others or 0.0) - usable) / threads if threads <= usable else (others or 0.0) / usable


def _busy_s() -> float | None:
    with contextlib.suppress(OSError, psutil.Error, NotImplementedError, RuntimeError):
        cores = dict(enumerate(psutil.cpu_times(percpu=True)))
        usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(cores)
        # guest time is in user time already; stolen time is a hypervisor's
        fields = ("user", "nice", "system", "irq", "softirq", "steal")
        return sum(float(getattr(times, f, 0.0)) for k, times in cores.items() if k in usable for f in fields)
    return None
