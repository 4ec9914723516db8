"""Executors for archive jobs (concurrent.futures): processes on this machine or a Dask cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import edgefuse
from edgefuse.archive.processes import LimitedPool, Limits
from edgefuse.board.limits import usable_cores
from edgefuse.errors import MissingDependencyError, SettingsError

JOB_BYTES = 300_000_000  # upper bound of the memory that a compression usually needs
_CONNECT_S = "20s"


@dataclass(frozen=True, slots=True)
class WorkerPool:
    """A pool of workers. open: starts the executor. count: returns how many jobs it currently runs at once. name: for messages."""

    open: Callable[[], AbstractContextManager[Executor]]
    count: Callable[[], int]
    name: str


def local(jobs: int | None, each_bytes: int, threads: int, limits: Limits) -> WorkerPool:
    """Return a pool of `jobs` processes on this machine; None: as many as cores and free memory allow.

    each_bytes, threads: memory and threads that a job usually needs. limits: what ends a job.
    """
    import psutil

    fitting = int(psutil.virtual_memory().available / each_bytes)
    count = jobs or max(1, min(usable_cores() // threads, fitting))
    return WorkerPool(partial(_pool, count, limits), lambda: count, f"{count} process{'es' if count > 1 else ''} of this machine")


@contextmanager
def _pool(count: int, limits: Limits) -> Iterator[Executor]:
    pool = LimitedPool(count, limits)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def dask(address: str) -> Iterator[WorkerPool]:
    """Connect to the Dask scheduler at `address`. Its workers need the files under the same paths and the same EdgeFuse version.

    Raises MissingDependencyError; SettingsError if no scheduler answers or a worker has another version of EdgeFuse or none.
    """
    try:
        from distributed import Client
    except ImportError as e:
        raise MissingDependencyError("distributed", "--dask", "'edgefuse[dask]'") from e
    try:
        client: Any = Client(address, timeout=_CONNECT_S)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, TypeError) as e:
        raise SettingsError(f"--dask {address}: no scheduler answers ({type(e).__name__}); start one with: dask scheduler") from None
    with client:
        try:
            versions = set(client.run(_version).values())
        except Exception as e:  # Dask wraps the error of a worker without EdgeFuse in various types
            raise SettingsError(f"--dask {address}: its workers can't run EdgeFuse ({e}); pip install 'edgefuse[dask]' there") from None
        if versions - {edgefuse.__version__}:
            raise SettingsError(
                f"--dask {address}: its workers have EdgeFuse {', '.join(sorted(versions))}, here is {edgefuse.__version__}"
            )

        @contextmanager
        def pool() -> Iterator[Executor]:
            # retry a job on another worker if its worker dies
            executor = client.get_executor(pure=False, retries=2)
            try:
                yield executor
            finally:
                executor.shutdown(wait=True)

        def count() -> int:
            workers: dict[str, Any] = client.scheduler_info(n_workers=-1)["workers"]
            return max(1, sum(w["nthreads"] for w in workers.values()))

        yield WorkerPool(pool, count, f"Dask at {address}")


def _version() -> str:
    return edgefuse.__version__
