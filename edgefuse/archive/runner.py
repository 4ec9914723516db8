"""Archives: many jobs, whatever they do; what was done is in the manifest and not done again."""

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
from edgefuse.archive.workers import Crew
from edgefuse.errors import CubeError, EdgeFuseError, OutputError

_POLL_S = 0.5
_TRIES = 2  # of a job that its process did not survive


@dataclass(slots=True)
class Tally:
    """What became of the jobs. bytes_in, bytes_out: of files done now. failed: name and message of each."""

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
    jobs: Iterable[Job], manifest: Manifest, crew: Crew, tally: Tally, show: Callable[[Tally], None], stopped: Callable[[], bool]
) -> None:
    """Do what is not done yet. A disk that is full ends it, with OutputError, after the jobs under way; so does `stopped`, without."""
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
        # who may have killed the processes works alone, so that it is known who did
        alone = bool(suspects)
        left = suspects if alone else waiting
        running: dict[Future[dict[str, Any]], Job] = {}
        with crew.open() as pool:
            try:
                while (left or running) and not (not running and (stopped() or tally.full)):
                    room = 1 if alone else 2 * crew.count()
                    while left and len(running) < room and not stopped() and not tally.full:
                        job = left[0]
                        running[pool.submit(run_job, job)] = job
                        left.popleft()
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
                        settle(_lost(job, "the process that did it died; there may be too little memory: try --jobs 1"))
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
        # of a cluster: a worker that died again and again, a scheduler that went away; or a fault of ours
        return _lost(job, f"{type(e).__name__}: {e}")


def _lost(job: Job, message: str) -> dict[str, Any]:
    return {"name": job.name, "state": "lost", "settings": job.settings, "message": f"{job.source}: {message[:300]}"}


def complain(tally: Tally, manifest: Path) -> None:
    """Raises EdgeFuseError where jobs failed: CubeError where cubes are to blame."""
    if tally.failed:
        rest = f" (and {len(tally.failed) - 1} more; {manifest} lists them)" if len(tally.failed) > 1 else ""
        raise CubeError(f"{len(tally.failed)} of {tally.found} not done: {tally.failed[0][1]}{rest}")
    if tally.done + tally.already < tally.found:
        raise EdgeFuseError(f"stopped with {tally.found - tally.done - tally.already} of {tally.found} to do; the same command goes on")
