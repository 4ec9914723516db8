"""`edgefuse batch` under way: what its manifest says by now, and who does its jobs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.processes import ended, killed, until

DEADLINE_S = 300.0


class Cluster(NamedTuple):
    """A scheduler's address, and its workers."""

    address: str
    workers: list[subprocess.Popen[bytes]]


def start(folder: Path, verb: str, *more: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "edgefuse", "batch", verb, "in", "out", "--json", *map(str, more)]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def lines(folder: Path) -> list[dict[str, Any]]:
    path = folder / "out/manifest.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")] if path.exists() else []


def done_though_a_worker_is_killed(folder: Path, verb: str, count: int, cluster: Cluster) -> None:
    """`count` jobs of `in`, of two workers that have both begun when one is killed."""
    process = start(folder, verb, "--dask", cluster.address)
    pids = {w.pid for w in cluster.workers}

    def both() -> bool:
        # the one that is killed is at work
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
    # four jobs at most were under way, done or not
    assert {int(r["by"].rpartition(":")[2]) for r in lines(folder)[before + 4 :]} == {cluster.workers[1].pid}
