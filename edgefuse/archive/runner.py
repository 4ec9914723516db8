"""Runs many jobs on a pool of processes and skips those that the manifest records as done."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgefuse.archive.job import Job
from edgefuse.archive.job import run as run_job
from edgefuse.archive.manifest import Manifest
from edgefuse.archive.workers import WorkerPool
from edgefuse.errors import CubeError, EdgeFuseError, OutputError

_POLL_S = 0.5
_TRIES = 2  # of a job whose process died


@dataclass(slots=True)
class Tally:
    """Counts of jobs by outcome.

    already: jobs that the manifest lists as done. bytes_in, bytes_out: size of the files processed in this run.
    failed: (name, message) of each failed job. full: the message after the disk became full.
    """

    found: int = 0
    already: int = 0
    done: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    full: str = ""

    def add(self, record: dict[str, Any]) -> None:
        if record["state"] == "done":
            self.done += 1
            self.bytes_in += sum(f["bytes"] for f in record["source"])
            self.bytes_out += record["target"]["bytes"]
        elif record["state"] == "full":
            self.full = record["message"]
        else:
            self.failed.append((record["name"], record["message"]))


def run(
    jobs: Iterable[Job], manifest: Manifest, workers: WorkerPool, tally: Tally, show: Callable[[Tally], None], stopped: Callable[[], bool]
) -> None:
    """Run the jobs that are not done yet.

    If the disk is full, raises OutputError after the running jobs have ended. If `stopped` returns true, returns after the running jobs.
    """
    waiting: deque[Job] = deque()
    for job in jobs:
        tally.found += 1
        if manifest.done(job.name, job.files(), job.settings):
            tally.already += 1
        else:
            waiting.append(job)
    tries: dict[str, int] = {}
    suspects: deque[Job] = deque()

    def settle(record: dict[str, Any]) -> None:
        tally.add(record)
        if record["state"] != "full":
            manifest.append(record)
        show(tally)

    show(tally)
    while (waiting or suspects) and not stopped() and not tally.full:
        # jobs that ran when the pool broke run one at a time, to find the one that kills its process
        alone = bool(suspects)
        queue = suspects if alone else waiting
        running: dict[Future[dict[str, Any]], Job] = {}
        with workers.open() as pool:
            try:
                while (queue or running) and not (not running and (stopped() or tally.full)):
                    limit = 1 if alone else 2 * workers.count()
                    while queue and len(running) < limit and not stopped() and not tally.full:
                        job = queue[0]
                        running[pool.submit(run_job, job)] = job
                        queue.popleft()
                    ended, _ = wait(running, _POLL_S, FIRST_COMPLETED)
                    for future in ended:
                        record = _result(future, running[future])
                        del running[future]
                        settle(record)
                    show(tally)
            except BrokenProcessPool:
                for job in running.values():
                    tries[job.name] = tries.get(job.name, 0) + alone
                    if tries[job.name] >= _TRIES:
                        settle(_lost_record(job, "the process that did it died; there may be too little memory: try --jobs 1"))
                    else:
                        suspects.append(job)
    if tally.full:
        raise OutputError(tally.full)


def _result(future: Future[dict[str, Any]], job: Job) -> dict[str, Any]:
    try:
        return future.result()
    except BrokenProcessPool:
        raise
    except OutputError:
        raise
    except Exception as e:
        # a Dask worker that died repeatedly, a lost scheduler, or a bug in EdgeFuse
        return _lost_record(job, f"{type(e).__name__}: {e}")


def _lost_record(job: Job, message: str) -> dict[str, Any]:
    return {"name": job.name, "state": "lost", "settings": job.settings, "message": f"{job.source}: {message[:300]}"}


def raise_failures(tally: Tally, manifest: Path) -> None:
    """Raise CubeError if jobs failed, EdgeFuseError if jobs are left."""
    if tally.failed:
        rest = f" (and {len(tally.failed) - 1} more; {manifest} lists them)" if len(tally.failed) > 1 else ""
        raise CubeError(f"{len(tally.failed)} of {tally.found} not done: {tally.failed[0][1]}{rest}")
    if tally.done + tally.already < tally.found:
        raise EdgeFuseError(f"stopped with {tally.found - tally.done - tally.already} of {tally.found} to do; the same command goes on")
