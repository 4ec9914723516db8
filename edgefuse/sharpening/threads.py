"""Tiles are done side by side, each on one core: the linear algebra's own threads would wait for one another."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


def limiter() -> object | None:
    """threadpoolctl, which tells the linear algebra's library how many threads to use; None where it is not installed."""
    try:
        import threadpoolctl
    except ImportError:
        return None
    return threadpoolctl


@contextmanager
def side_by_side(wanted: int) -> Iterator[int]:
    """How many tiles to do at a time: `wanted`, 0 for as many as there are cores; 1 where its threads can't be held."""
    found = limiter()
    if found is None:
        alone = any(os.environ.get(name) == "1" for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"))
        yield (wanted or os.cpu_count() or 1) if alone else 1
        return
    with found.threadpool_limits(1):  # type: ignore[attr-defined]
        yield wanted or os.cpu_count() or 1
