"""Limits BLAS to one thread while tiles run in parallel, one per core, so that its threads do not compete."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


def limiter() -> object | None:
    """Return the module threadpoolctl, which limits the threads of BLAS; None where it is not installed."""
    try:
        import threadpoolctl
    except ImportError:
        return None
    return threadpoolctl


@contextmanager
def parallel_tiles(wanted: int) -> Iterator[int]:
    """Yield the number of tiles to process in parallel: `wanted`, 0 for one per core; 1 where BLAS's threads can't be limited."""
    threadpoolctl = limiter()
    if threadpoolctl is None:
        single_threaded = any(os.environ.get(name) == "1" for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"))
        yield (wanted or os.cpu_count() or 1) if single_threaded else 1
        return
    with threadpoolctl.threadpool_limits(1):  # type: ignore[attr-defined]
        yield wanted or os.cpu_count() or 1
