"""A real Dask cluster."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.archives import DEADLINE_S, Cluster


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A scheduler and two workers, processes of their own."""
    pytest.importorskip("distributed")
    file, quiet = tmp_path / "scheduler.json", {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    common = ["--scheduler-file", str(file), "--no-dashboard"]
    started: list[subprocess.Popen[bytes]] = []
    scheduler = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", *common]
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", "--nthreads", "1", "--no-nanny", "--host", "127.0.0.1", *common]
    try:
        for command in (scheduler, [*worker, "--name", "one"], [*worker, "--name", "two"]):
            started.append(subprocess.Popen(command, cwd=tmp_path, **quiet))  # type: ignore[call-overload]
        end = time.monotonic() + DEADLINE_S
        while not file.exists():
            assert started[0].poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)
        yield Cluster(json.loads(file.read_text())["address"], started[1:])
    finally:
        for process in started:
            process.kill()
        for process in started:
            process.wait()
