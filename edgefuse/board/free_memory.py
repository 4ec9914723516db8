"""Memory that this process may still allocate. Needs psutil."""

from __future__ import annotations

import os

import psutil

from edgefuse.board.limits import cgroup_limit


def free_memory() -> int:
    """Return the bytes that this process may still allocate: available memory, limited by its control group."""
    available = int(psutil.virtual_memory().available)
    limit = cgroup_limit()
    return available if limit is None else min(available, limit - psutil.Process(os.getpid()).memory_info().rss)
