"""Number of tiles that are sharpened in parallel, each with one BLAS thread, so that their threads do not compete."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from edgefuse.board.limits import usable_cores
from edgefuse.util.blas import one_blas_thread


@contextmanager
def parallel_tiles(wanted: int) -> Iterator[int]:
    """Yield the number of tiles to process in parallel: `wanted`, 0 for one per core that this process may use."""
    with one_blas_thread():
        yield wanted or usable_cores()
