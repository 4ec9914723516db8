"""`edgefuse batch` as a real process, on this machine and on a real Dask cluster, with workers killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from edgefuse.hyperspectral.cube import CubeInfo
from edgefuse.hyperspectral.formats import create_cube
from tests.cli.archives import DEADLINE_S, Cluster, done_though_a_worker_is_killed, lines, start
from tests.conftest import Run, one_line
from tests.hyperspectral.cubes import described, scene
from tests.support.processes import ended, killed, until

SHAPE = (24, 24, 6)


def fill(folder: Path, count: int, shape: tuple[int, int, int] = SHAPE) -> None:
    for n in range(count):
        path = folder / f"in/{n % 3}/{n}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        with create_cube(path, CubeInfo(shape, np.dtype("u2"))) as sink:
            sink[:] = scene(shape, n)


def whole(folder: Path, run: Run, count: int, shape: tuple[int, int, int] = SHAPE) -> None:
    """Check that every cube is restored bit-exactly."""
    report = json.loads(run("batch", "decompress", "out", "back", "--jobs", 2, "--json").stdout)
    assert report["done"] == count
    for n in range(count):
        assert np.array_equal(np.load(folder / f"back/{n % 3}/{n}.npy"), scene(shape, n))


def test_an_archive_of_several_formats_round_trips(run: Run, tmp_path: Path) -> None:
    (tmp_path / "in/sub").mkdir(parents=True)
    for name in ("a.img", "a.npy", "sub/b.bip"):
        with create_cube(tmp_path / "in" / name, described(SHAPE)) as sink:
            sink[:] = scene(SHAPE)
    (tmp_path / "in/readme.md").write_text("no cube")
    report = json.loads(run("batch", "compress", "in", "out", "--json").stdout)
    assert (report["found"], report["done"], report["failed"]) == (3, 3, [])
    assert {str(p.relative_to(tmp_path / "out")) for p in tmp_path.glob("out/**/*.efz")} == {"a.img.efz", "a.npy.efz", "sub/b.bip.efz"}
    report = json.loads(run("batch", "compress", "in", "out", "--json").stdout)
    assert (report["already_done"], report["done"]) == (3, 0)
    assert "3 found, 0 done before, 3 done now" in run("batch", "decompress", "out", "back", "--format", "npy").stdout
    for name in ("a.img.npy", "a.npy", "sub/b.bip.npy"):
        assert np.array_equal(np.load(tmp_path / "back" / name), scene(SHAPE))


def test_a_bad_cube_is_reported_and_the_others_are_processed(run: Run, tmp_path: Path) -> None:
    fill(tmp_path, 3)
    (tmp_path / "in/0/bad.npy").write_bytes(b"\x93NUMPY no")
    done = run("batch", "compress", "in", "out", "--jobs", 1)
    assert done.returncode == 2
    assert "1 of 4 not done: in/0/bad.npy" in one_line(done.stderr)
    assert "3 done now, 1 failed" in done.stdout
    (tmp_path / "in/0/bad.npy").unlink()
    assert run("batch", "compress", "in", "out").returncode == 0


@pytest.mark.slow
def test_a_killed_batch_continues(run: Run, tmp_path: Path) -> None:
    fill(tmp_path, 12)
    process = start(tmp_path, "compress", "--jobs", 2)
    until(lambda: len(lines(tmp_path)) >= 2, process, "two records")
    children = psutil.Process(process.pid).children(recursive=True)
    killed(process)
    # its worker processes end with it
    assert not psutil.wait_procs(children, DEADLINE_S)[1]
    before = len(lines(tmp_path))
    report = json.loads(run("batch", "compress", "in", "out", "--json").stdout)
    assert report["already_done"] >= before - 1
    assert report["already_done"] + report["done"] == 12
    whole(tmp_path, run, 12)


@pytest.mark.slow
def test_an_interrupted_batch_finishes_running_jobs_and_continues(run: Run, tmp_path: Path) -> None:
    fill(tmp_path, 12)
    process = start(tmp_path, "compress", "--jobs", 1)
    until(lambda: lines(tmp_path), process, "a record")
    process.send_signal(signal.SIGINT)
    out, err = ended(process, "the end of the command", DEADLINE_S)
    assert process.returncode == 1, err
    assert "the same command goes on" in one_line(err)
    assert 1 <= json.loads(out)["done"] < 12
    whole(tmp_path, run, json.loads(run("batch", "compress", "in", "out", "--json").stdout)["found"])


@pytest.mark.slow
def test_a_killed_worker_process_loses_nothing(run: Run, tmp_path: Path) -> None:
    fill(tmp_path, 12)
    process = start(tmp_path, "compress", "--jobs", 2)
    pid = until(lambda: {r["by"] for r in lines(tmp_path)}, process, "a record").pop().rpartition(":")[2]
    os.kill(int(pid), signal.SIGKILL)
    out, err = ended(process, "the end of the command", DEADLINE_S)
    assert process.returncode == 0, err
    assert json.loads(out)["done"] == 12
    whole(tmp_path, run, 12)


@pytest.mark.slow
def test_a_cluster_that_loses_a_worker(run: Run, tmp_path: Path, cluster: Cluster) -> None:
    count = 60
    # the workers use the same paths
    fill(tmp_path, count, (64, 64, 12))
    done_though_a_worker_is_killed(tmp_path, "compress", count, cluster)
    whole(tmp_path, run, count, (64, 64, 12))


def test_an_absent_cluster_is_a_one_line_error(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    fill(tmp_path, 1)
    # a scheduler that is about to start is waited for, here for a second
    code = (
        "import sys; from edgefuse.archive import executors; executors._CONNECT_S = '1s';"
        "from edgefuse.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "batch", "compress", "in", "out", "--dask", "tcp://127.0.0.1:1"],
        cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "no scheduler answers" in one_line(done.stderr)


def test_invalid_input_is_a_one_line_error(run: Run, tmp_path: Path) -> None:
    fill(tmp_path, 1)
    (tmp_path / "empty").mkdir()
    for args, says in (
        (("compress", "missing", "out"), "missing"),
        (("compress", "empty", "out"), "holds no cubes"),
        (("decompress", "in", "out"), "no .efz files"),
        (("compress", "in", "in"), "choose another place"),
        (("compress", "in", "out", "--format", "npy"), "--format"),
        (("decompress", "in", "out", "--psnr", 40), "--psnr"),
        (("compress", "in", "out", "--jobs", 0), "--jobs"),
        (("compress", "in", "out", "--jobs", 2, "--dask", "x"), "--dask"),
        (("blur", "in", "out"), "blur"),
    ):
        done = run("batch", *args)
        assert done.returncode == 2, (args, done.stderr)
        assert says in one_line(done.stderr), args
