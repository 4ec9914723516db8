"""Helpers for running `edgefuse batch` processes: progress by the manifest, and the workers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.processes import ended, killed, until

DEADLINE_S = 300.0


class Cluster(NamedTuple):
    """A scheduler's address and its workers."""

    address: str
    workers: list[subprocess.Popen[bytes]]


def start(folder: Path, verb: str, *more: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "edgefuse", "batch", verb, "in", "out", "--json", *map(str, more)]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def lines(folder: Path) -> list[dict[str, Any]]:
    path = folder / "out/manifest.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")] if path.exists() else []


def done_though_a_worker_is_killed(folder: Path, verb: str, count: int, cluster: Cluster) -> None:
    """Run `count` jobs on two workers, and kill one after both have begun."""
    process = start(folder, verb, "--dask", cluster.address)
    pids = {w.pid for w in cluster.workers}

    def both() -> bool:
        # the worker to kill is busy
        return {int(r["by"].rpartition(":")[2]) for r in lines(folder)} == pids

    until(both, process, "a record of each worker")
    killed(cluster.workers[0])
    before = len(lines(folder))
    out, err = ended(process, "the batch to end", DEADLINE_S)
    assert process.returncode == 0, err
    report = json.loads(out)
    assert before < count, "the worker was killed too late to prove anything"
    assert (report["done"], report["failed"]) == (count, [])
    assert report["workers"] == f"Dask at {cluster.address}"
    # at most four jobs were in progress, finished or not
    assert {int(r["by"].rpartition(":")[2]) for r in lines(folder)[before + 4 :]} == {cluster.workers[1].pid}
