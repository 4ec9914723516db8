"""Fixture: a real Dask cluster."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.archives import Cluster
from tests.support.processes import killed, until


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A scheduler and two workers as separate processes."""
    pytest.importorskip("distributed")
    file, quiet = tmp_path / "scheduler.json", {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    common = ["--scheduler-file", str(file), "--no-dashboard"]
    started: list[subprocess.Popen[bytes]] = []
    scheduler = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", *common]
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", "--nthreads", "1", "--no-nanny", "--host", "127.0.0.1", *common]
    try:
        for command in (scheduler, [*worker, "--name", "one"], [*worker, "--name", "two"]):
            started.append(subprocess.Popen(command, cwd=tmp_path, **quiet))  # type: ignore[call-overload]
        # the file is there before it is whole
        until(lambda: file.exists() and file.read_text().rstrip().endswith("}"), started[0], "the scheduler to listen")
        yield Cluster(json.loads(file.read_text())["address"], started[1:])
    finally:
        for process in started:
            process.kill()
        for process in started:
            killed(process)
