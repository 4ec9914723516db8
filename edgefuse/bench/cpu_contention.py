"""Measures how much of the cores other processes and the hypervisor used during a measurement."""

from __future__ import annotations

import contextlib
import os
import time

import psutil

_SHORTEST_S = 0.5  # the kernel counts in hundredths of a second
# limit of the fraction of the needed cores that was not available
CROWDED = 0.1


class CpuContention:
    """Starts counting at construction."""

    def __init__(self) -> None:
        self._busy, self._own, self._began = _busy_s(), time.process_time(), time.perf_counter()

    def cores(self) -> float | None:
        """Return the number of cores (of those this process may use) that others kept busy; None where it is unknown."""
        busy, elapsed = _busy_s(), time.perf_counter() - self._began
        if self._busy is None or busy is None or elapsed < _SHORTEST_S:
            return None
        return max(0.0, (busy - self._busy - (time.process_time() - self._own)) / elapsed)


def crowding(others: float | None, threads: int, usable: int) -> float:
    """Return the fraction of the `threads` needed cores that `others` left unavailable on `usable` cores."""
    return max(0.0, threads + (others or 0.0) - usable) / threads if threads <= usable else (others or 0.0) / usable


def _busy_s() -> float | None:
    with contextlib.suppress(OSError, psutil.Error, NotImplementedError, RuntimeError):
        cores = dict(enumerate(psutil.cpu_times(percpu=True)))
        usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(cores)
        # user time includes guest time; stolen time belongs to the hypervisor
        fields = ("user", "nice", "system", "irq", "softirq", "steal")
        return sum(float(getattr(times, f, 0.0)) for k, times in cores.items() if k in usable for f in fields)
    return None
