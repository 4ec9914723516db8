"""Fixtures: a real Dask cluster; fused pictures and masks of targets for `edgefuse eval`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgefuse.metrics.references import average
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
        # the file appears before it is complete
        until(lambda: file.exists() and file.read_text().rstrip().endswith("}"), started[0], "the scheduler to listen")
        yield Cluster(json.loads(file.read_text())["address"], started[1:])
    finally:
        for process in started:
            process.kill()
        for process in started:
            killed(process)


@pytest.fixture
def fused_folder(pairs_folder: Path, tmp_path: Path) -> Path:
    """Averages of the pairs as if another program had written them: 0.png to 2.png in colour, 3.bmp."""
    folder = tmp_path / "out=1"
    folder.mkdir()
    for path in (pairs_folder / "visible").iterdir():
        pair = [cv2.imread(str(pairs_folder / d / path.name), flag) for d, flag in (("visible", 1), ("infrared", 0))]
        cv2.imwrite(str(folder / path.with_suffix(".bmp" if path.stem == "3" else ".png").name), average(*pair))
    return folder


@pytest.fixture
def masks_folder(pairs_folder: Path, tmp_path: Path) -> Path:
    """A target of 12 x 9 pixels in each pair."""
    folder = tmp_path / "masks"
    folder.mkdir()
    mask = np.zeros((80, 96), np.uint8)
    mask[40:52, 30:39] = 255
    for path in (pairs_folder / "visible").iterdir():
        cv2.imwrite(str(folder / path.name), mask)
    return folder
