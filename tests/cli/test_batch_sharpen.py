"""`edgefuse batch sharpen` as a real process, on this machine and on a real Dask cluster, with a worker killed."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import numpy as np
import pytest

from edgefuse.hyperspectral.cube import CubeInfo
from edgefuse.hyperspectral.formats import create_cube, open_cube
from edgefuse.sharpening.base import Options
from edgefuse.sharpening.psf import Psf
from edgefuse.sharpening.sharpen import prepare, sharpen
from edgefuse.util.arrays import Float32Array
from tests.cli.archives import DEADLINE_S, Cluster, done_though_a_worker_is_killed, lines, start
from tests.conftest import Run, one_line
from tests.sharpening.scenes import image, low, scene
from tests.support.processes import ended, until

SIDE, BANDS = 32, 8


def pair(n: int, side: int = SIDE) -> tuple[Float32Array, Float32Array]:
    cube = scene(side, side, BANDS, n)
    return low(cube, Psf(4)), image(cube)


def write(path: Path, samples: Float32Array) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with create_cube(path, CubeInfo(samples.shape, samples.dtype)) as sink:  # type: ignore[arg-type]
        sink[:] = samples


def fill(folder: Path, count: int, side: int = SIDE) -> None:
    for n in range(count):
        for name, samples in zip(("hsi", "msi"), pair(n, side), strict=True):
            write(folder / f"in/{n % 3}/{n}_{name}.npy", samples)


def whole(folder: Path, count: int, side: int = SIDE) -> None:
    """Check that each result equals sharpening that cube alone."""
    for n in range(count):
        made = np.empty((side, side, BANDS), np.float32)
        sharpen(prepare(*pair(n, side), Options(threads=1)), made)
        assert np.allclose(np.load(folder / f"out/{n % 3}/{n}_hsi.npy"), made, atol=1e-4)


def test_results_resuming_and_reports(run: Run, tmp_path: Path) -> None:
    fill(tmp_path, 3)
    write(tmp_path / "in/alone_msi.npy", pair(0)[1])
    report = json.loads(run("batch", "sharpen", "in", "out", "--json", "--report").stdout)
    assert (report["found"], report["done"], report["failed"]) == (3, 3, [])
    assert report["passed_over"] == ["in/alone_msi.npy"]
    whole(tmp_path, 3)
    # two run at a time, and either may end first
    record, *_ = sorted(lines(tmp_path), key=lambda line: [f["file"] for f in line["source"]])
    assert record["settings"]["verb"] == "sharpen"
    assert [f["file"] for f in record["source"]] == ["0_hsi.npy", "0_msi.npy"]
    assert record["figures"]["consistency"]["psnr_db"] > 40
    # a changed image makes its pair run again; changed settings make all of them run again
    write(tmp_path / "in/0/0_msi.npy", pair(0)[1] * 2)
    done = run("batch", "sharpen", "in", "out", "--report")
    assert "3 found, 2 done before, 1 done now" in done.stdout
    assert "passed     1 over" in done.stdout
    report = json.loads(run("batch", "sharpen", "in", "out", "--uncertainty", "--json").stdout)
    assert (report["already_done"], report["done"]) == (0, 3)
    with open_cube(tmp_path / "out/1/1_hsi.uncertainty.npy") as unsure:
        assert unsure.shape == (SIDE, SIDE, 1)
    # both output files must exist
    (tmp_path / "out/1/1_hsi.uncertainty.npy").unlink()
    report = json.loads(run("batch", "sharpen", "in", "out", "--uncertainty", "--json").stdout)
    assert (report["already_done"], report["done"]) == (2, 1)


def test_separate_folders_and_another_format(run: Run, tmp_path: Path) -> None:
    cube, sharp = pair(0)
    write(tmp_path / "hyperion/x/a.npy", cube)
    write(tmp_path / "ali/x/a.bsq", sharp)
    done = run("batch", "sharpen", "hyperion", "out", "--images", "ali", "--format", "envi", "--jobs", 1)
    assert done.returncode == 0, done.stderr
    with open_cube(tmp_path / "out/x/a.npy.img") as made:
        assert made.shape == (SIDE, SIDE, BANDS)


def test_bad_pairs_are_reported_and_the_others_processed(run: Run, tmp_path: Path) -> None:
    fill(tmp_path, 3)
    (tmp_path / "in/0/bad_hsi.npy").write_bytes(b"\x93NUMPY no")
    write(tmp_path / "in/0/bad_msi.npy", pair(0)[1])
    write(tmp_path / "in/1/alone_hsi.npy", pair(0)[0])
    write(tmp_path / "in/2/odd_hsi.npy", pair(0)[0])
    write(tmp_path / "in/2/odd_msi.npy", pair(0)[1][:-1])
    done = run("batch", "sharpen", "in", "out", "--json")
    assert done.returncode == 2
    assert "3 of 6 not done: " in one_line(done.stderr)
    report = json.loads(done.stdout)
    assert report["done"] == 3
    told = {f["name"]: f["message"] for f in report["failed"]}
    assert "bad_hsi.npy" in told["0/bad_hsi.npy"]
    assert "no image beside it" in told["1/alone_hsi.npy"]
    assert "whole number" in told["2/odd_hsi.npy"]
    whole(tmp_path, 3)


@pytest.mark.slow
def test_an_interrupted_batch_continues(run: Run, tmp_path: Path) -> None:
    fill(tmp_path, 20)
    process = start(tmp_path, "sharpen", "--jobs", 1)
    until(lambda: lines(tmp_path), process, "a record")
    process.send_signal(signal.SIGINT)
    out, err = ended(process, "the end of the command", DEADLINE_S)
    assert process.returncode == 1, err
    assert "the same command goes on" in one_line(err)
    first = json.loads(out)["done"]
    assert 1 <= first < 20
    assert not list((tmp_path / "out").rglob(".*.part"))
    report = json.loads(run("batch", "sharpen", "in", "out", "--json").stdout)
    assert (report["already_done"], report["already_done"] + report["done"]) == (first, 20)
    whole(tmp_path, 20)


@pytest.mark.slow
def test_a_cluster_that_loses_a_worker(tmp_path: Path, cluster: Cluster) -> None:
    count, side = 40, 48
    fill(tmp_path, count, side)
    done_though_a_worker_is_killed(tmp_path, "sharpen", count, cluster)
    whole(tmp_path, count, side)


def test_invalid_input_is_a_one_line_error(run: Run, tmp_path: Path) -> None:
    fill(tmp_path, 1)
    (tmp_path / "empty").mkdir()
    for args, says in (
        (("empty", "out"), "NAME_hsi"),
        (("missing", "out"), "missing"),
        (("in", "in"), "choose another place"),
        (("in", "out", "--images", "in"), "leave it out"),
        (("in", "out", "--images", "empty"), "no cube in"),
        (("in", "out", "--model", "other"), "sharpen-edge"),
        (("in", "out", "--psf", "wide"), "--psf wide"),
        (("in", "out", "--threads", -1), "--threads"),
        (("in", "out", "--tile", 30), "not done"),
        (("in", "out", "--bpppc", 1), "--bpppc"),
    ):
        done = run("batch", "sharpen", *args)
        assert done.returncode == 2, (args, done.stderr)
        assert says in one_line(done.stderr), args
