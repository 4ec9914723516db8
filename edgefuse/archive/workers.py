"""Who does an archive's jobs: processes of this machine, or somebody's Dask cluster. Both are executors of concurrent.futures."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from typing import Any

import edgefuse
from edgefuse.errors import MissingDependencyError, SettingsError

JOB_BYTES = 300_000_000  # memory a compression may take, and some more
_CONNECT_S = "20s"


@dataclass(frozen=True, slots=True)
class Crew:
    """open: starts the executor. count: how many jobs it does at once, as of now."""

    open: Callable[[], AbstractContextManager[Executor]]
    count: Callable[[], int]
    name: str


def local(jobs: int | None = None, each_bytes: int = JOB_BYTES, threads: int = 1) -> Crew:
    """`jobs` processes here; without a number as many as there are cores, and memory for. each_bytes, threads: what a job takes."""
    import psutil

    fits = int(psutil.virtual_memory().available / each_bytes)
    count = jobs or max(1, min((os.cpu_count() or 1) // threads, fits))
    return Crew(partial(_pool, count), lambda: count, f"{count} process{'es' if count > 1 else ''} of this machine")


@contextmanager
def _pool(count: int) -> Iterator[Executor]:
    # spawned: a fork would take the threads of our libraries along, half
    pool = ProcessPoolExecutor(count, get_context("spawn"), _alone)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _alone() -> None:
    """Ctrl-C is the parent's: it lets each process end the job that it is at. Where the parent is killed, its processes end, too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if (parent := parent_process()) is not None:
        threading.Thread(target=_follow, args=(parent.sentinel,), daemon=True).start()


def _follow(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


@contextmanager
def dask(address: str) -> Iterator[Crew]:
    """The cluster whose scheduler is at `address`, whose workers see our files under the same paths and have our EdgeFuse.

    Raises MissingDependencyError; SettingsError where nobody answers, or a worker has another EdgeFuse or none.
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
        except Exception as e:  # what a worker without EdgeFuse raises is wrapped by whoever noticed first
            raise SettingsError(f"--dask {address}: its workers can't run EdgeFuse ({e}); pip install 'edgefuse[dask]' there") from None
        if versions - {edgefuse.__version__}:
            raise SettingsError(
                f"--dask {address}: its workers have EdgeFuse {', '.join(sorted(versions))}, here is {edgefuse.__version__}"
            )

        @contextmanager
        def pool() -> Iterator[Executor]:
            # a job whose worker dies is given to another
            executor = client.get_executor(pure=False, retries=2)
            try:
                yield executor
            finally:
                executor.shutdown(wait=True)

        def count() -> int:
            workers: dict[str, Any] = client.scheduler_info(n_workers=-1)["workers"]
            return max(1, sum(w["nthreads"] for w in workers.values()))

        yield Crew(pool, count, f"Dask at {address}")


def _version() -> str:
    return edgefuse.__version__
