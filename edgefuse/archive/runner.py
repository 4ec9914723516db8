"""Runs many jobs on a pool of processes and skips those that the manifest records as done."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgefuse.archive.executors import WorkerPool
from edgefuse.archive.job import Job
from edgefuse.archive.job import run as run_job
from edgefuse.archive.manifest import Manifest
from edgefuse.archive.processes import TaskError
from edgefuse.errors import CubeError, EdgeFuseError, OutputError
from edgefuse.util.unfinished_files import remove_abandoned

_POLL_S = 0.5


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
    again: set[str] = set()

    def settle(record: dict[str, Any]) -> None:
        tally.add(record)
        if record["state"] != "full":
            manifest.append(record)
        show(tally)

    show(tally)
    with workers.open() as pool:
        running: dict[Future[dict[str, Any]], Job] = {}
        while (waiting or running) and not (not running and (stopped() or tally.full)):
            while waiting and len(running) < 2 * workers.count() and not stopped() and not tally.full:
                job = waiting.popleft()
                running[pool.submit(run_job, job)] = job
            ended, _ = wait(running, _POLL_S, FIRST_COMPLETED)
            for future in ended:
                job = running.pop(future)
                record = _result(future, job, job.name not in again)
                if record is None or record["state"] == "lost":
                    remove_abandoned(job.targets[0].parent)
                if record is None:
                    again.add(job.name)
                    waiting.append(job)
                else:
                    settle(record)
            show(tally)
    if tally.full:
        raise OutputError(tally.full)


def _result(future: Future[dict[str, Any]], job: Job, again: bool) -> dict[str, Any] | None:
    """Return a job's record. again: return None where the job is to be tried once more, as its process was killed."""
    try:
        return future.result()
    except OutputError:
        raise
    except TaskError as e:
        return None if e.again and again else _lost_record(job, str(e))
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
