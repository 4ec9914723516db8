"""`edgefuse run --source cubes:DIR --delete-originals`: an original goes only when nothing in it is lost; one bad file stops nothing."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from edgefuse.hyperspectral.compress import decompress_file
from edgefuse.hyperspectral.cube import CubeInfo
from edgefuse.hyperspectral.formats import create_cube
from tests.archive import bad_cubes
from tests.cli.test_watch import cube, lines, start, stop
from tests.conftest import Run
from tests.hyperspectral.cubes import samples, scene
from tests.hyperspectral.formats.test_unkept import pages
from tests.support.processes import ended, until

ATTACKS = Path(__file__).resolve().parents[3] / "shared/cases/attack"
SHAPE = (32, 32, 8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path


def report_of(run: Run, *more: object) -> dict[str, Any]:
    done = run("run", "--source", "cubes:in", "--save", "out", "--delete-originals", "--json", *more)
    return dict(json.loads(done.stdout)) | {"rc": done.returncode, "stderr": done.stderr}


def restored(folder: Path, name: str) -> np.ndarray[Any, Any]:
    decompress_file(folder / f"out/{name}.efz", folder / "back.npy")
    return np.asarray(np.load(folder / "back.npy"))


def names(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir()}


def test_all_pages_of_a_tiff_are_kept(run: Run, folder: Path) -> None:
    pytest.importorskip("rasterio")
    bands = scene((24, 20, 12)).transpose(2, 0, 1)
    pages(folder / "in/a.tif", list(np.ascontiguousarray(bands)))
    assert report_of(run)["cubes"]["deleted"] == 1
    assert np.array_equal(restored(folder, "a.tif"), bands.transpose(1, 2, 0))


def test_an_original_with_more_in_it_stays_with_the_reason_in_the_manifest(run: Run, folder: Path) -> None:
    np.savez(folder / "in/a.npz", cube=scene(SHAPE), truth=np.zeros((3, 3)))
    why = "it also has, which is not kept: other arrays: truth.npy"
    for _ in range(2):
        report = report_of(run)
        assert (report["rc"], report["cubes"]["deleted"]) == (0, 0)
        assert report["kept_originals"] == {"count": 1, "files": [{"name": "a.npz", "message": why}]}
        assert (folder / "in/a.npz").exists()
        (record,) = lines(folder)
        assert (record["state"], record["original"]) == ("done", {"state": "kept", "message": why})
    assert "1 originals stay: a.npz (it also has" in run("run", "--source", "cubes:in", "--save", "out", "--delete-originals").stdout


def test_a_shared_header_goes_with_the_last_cube(run: Run, folder: Path) -> None:
    info = CubeInfo(SHAPE, np.dtype("u2"))
    for n, name in enumerate(("scene.img", "scene.raw")):
        with create_cube(folder / "in" / name, info) as sink:
            sink[:] = scene(SHAPE, n)
        (folder / f"in/{name}.hdr").replace(folder / "in/scene.hdr")
    assert report_of(run)["cubes"]["deleted"] == 2
    assert not names(folder / "in")
    for n, name in enumerate(("scene.img", "scene.raw")):
        assert np.array_equal(restored(folder, name), scene(SHAPE, n))


def test_class_maps_are_kept_exactly(run: Run, folder: Path) -> None:
    np.save(folder / "in/classes.npy", samples((32, 32, 1), np.uint8) % 7)
    cube(folder / "in/scene.npy")
    report = report_of(run, "--bpppc", 2)
    assert report["cubes"]["done"] == 2
    assert "classes.npy is compressed without loss: it has 8-bit samples in 1 band" in report["stderr"]
    assert np.array_equal(restored(folder, "classes.npy"), samples((32, 32, 1), np.uint8) % 7)
    assert not np.array_equal(restored(folder, "scene.npy"), scene(SHAPE))
    # they were asked for by name
    np.save(folder / "a.npy", scene(SHAPE).astype(np.uint8)[:, :, :1])
    one = json.loads(run("compress", "a.npy", "a.efz", "--bpppc", 4, "--json").stdout)
    assert one["settings"]["bpppc"] == 4


def test_what_is_no_cube_is_counted_and_named(run: Run, folder: Path) -> None:
    cube(folder / "in/a.npy")
    (folder / "in/b.img").write_bytes(b"no header")
    report = report_of(run)
    assert report["passed_over"] == {"count": 1, "files": [{"name": "b.img", "message": "has no ENVI header beside it"}]}
    batch = run("batch", "compress", "in", "out2")
    assert batch.returncode == 2
    cube(folder / "in/a.npy")
    batch = run("batch", "compress", "in", "out2", "--json")
    assert (batch.returncode, json.loads(batch.stdout)["passed_over"]["count"]) == (0, 1)


def test_each_bad_file_is_named_and_the_good_one_done(run: Run, folder: Path) -> None:
    pytest.importorskip("rasterio")
    bad_cubes.bomb(folder / "in/a_bomb.tif", 200)
    bad_cubes.endless(folder / "in/a_long.img")
    list(bad_cubes.garbled(folder / "in", 5))
    cube(folder / "in/z.npy")
    (folder / "s.toml").write_text(
        '[run]\nsource = "cubes:in"\nsave = "out"\n[cubes]\ndelete_originals = true\nmemory_mb = 100\ntime_s = 3\n'
    )
    pytest.importorskip("msgspec")
    done = run("run", "--config", "s.toml", "--json")
    report = json.loads(done.stdout)
    assert (report["cubes"]["done"], report["cubes"]["bad"]) == (1, 7)
    reasons = {f["name"]: f["message"] for f in report["bad_cubes"]}
    assert "it was not done within 3 s, the limit" in reasons["a_long.img"]
    assert "a_bomb.tif" in reasons
    assert np.array_equal(restored(folder, "z.npy"), scene(SHAPE))
    assert not [n for n in names(folder / "out") if n.startswith(".")]


@pytest.mark.parametrize("name", ["segv.mat", pytest.param("hang.h5", marks=pytest.mark.slow), "nonfinite_gain.tif"])
def test_attacks_are_named_and_the_good_one_done(name: str, run: Run, folder: Path) -> None:
    if not (ATTACKS / name).is_file():
        pytest.skip("../shared/cases is not here")
    shutil.copy(ATTACKS / name, folder / "in" / name)
    cube(folder / "in/z.npy")
    report = report_of(run)
    assert (report["rc"], report["cubes"]["done"], report["cubes"]["bad"]) == (2, 1, 1)
    assert report["bad_cubes"][0]["name"] == name


@pytest.mark.slow
def test_a_newer_cube_that_is_renamed_in_survives(folder: Path) -> None:
    """A sender replaces the cube in the moment between the manifest's line and the deletion, again and again."""
    process = start(folder, "--delete-originals")
    digests = set()
    for n in range(6):
        newer = folder / "newer.npy"
        np.save(newer, scene((64, 64, 8), n))
        digests.add(hashlib.sha256(newer.read_bytes()).hexdigest())
        newer.replace(folder / "in/c.npy")
        until(lambda: digests <= kept(folder), process, "a record of the newer cube")
    until(lambda: not names(folder / "in"), process, "all originals to be deleted")
    stop(process)
    assert digests == kept(folder)


def kept(folder: Path) -> set[str]:
    return {f["sha256"] for r in lines(folder) if r["state"] == "done" for f in r["source"]}  # type: ignore[attr-defined]


@pytest.mark.slow
def test_two_hundred_bad_files_among_fifty_good_ones(folder: Path) -> None:
    pytest.importorskip("rasterio")
    pytest.importorskip("h5py")
    pytest.importorskip("scipy")
    incoming = folder / "in"
    bad = [*bad_cubes.truncated(incoming), *bad_cubes.wrong_headers(incoming)]
    bad += [bad_cubes.endless(incoming / f"endless{n}.img") for n in range(2)]
    bad += [bad_cubes.bomb(incoming / f"bomb{n}.tif", 400) for n in range(5)]
    bad += [bad_cubes.hanging(incoming / f"hanging{n}.h5") for n in range(3)]
    for name in ("segv.mat", "nonfinite_gain.tif"):
        for n in range(3 if (ATTACKS / name).is_file() else 0):
            bad.append(incoming / f"attack{n}_{name}")
            shutil.copy(ATTACKS / name, bad[-1])
    bad += bad_cubes.garbled(incoming, 200 - len(bad))
    good = [bad_cubes.good(incoming / f"{n:02d}good.npy", n) for n in range(50)]
    assert len(bad) == 200
    (folder / "s.toml").write_text('[run]\nsource = "cubes:in"\nsave = "out"\n[cubes]\nwatch = true\nmemory_mb = 300\ntime_s = 10\n')
    command = [sys.executable, "-W", "error", "-m", "edgefuse", "run", "--config", "s.toml", "--json"]
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=log, text=True)
    peak = 0

    def all_done() -> bool:
        nonlocal peak
        found = [process_memory(p) for p in [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]]
        peak = max(peak, *found)
        there = names(incoming / "bad") if (incoming / "bad").is_dir() else set()
        done = {r["name"] for r in lines(folder) if r["state"] == "done"}
        time.sleep(0.2)
        return {p.name for p in bad} <= there and {p.name for p in good} <= done

    began = time.monotonic()
    until(all_done, process, lambda: (folder / "log").read_text()[-3000:], 900)
    elapsed = time.monotonic() - began
    process.terminate()
    report = json.loads(ended(process, "the watch to stop")[0])
    assert process.returncode == 2  # as cubes were bad
    of_bad = [r for r in lines(folder) if r["state"] == "bad"]
    # from when a process first opened it to its name in the folder `bad`, of which it rests for 20 s
    longest, waited = (max(float(r[key]) for r in of_bad) for key in ("taken_up_s", "unchanged_s"))  # type: ignore[arg-type]
    print(f"{elapsed:.0f} s, {peak / 1e6:.0f} MB at most in one process; bad {longest} s after it was taken up, {waited} s after it came")
    assert longest <= 90
    assert (report["cubes"]["done"], report["cubes"]["bad"]) == (50, 200)
    assert {r["name"] for r in lines(folder) if r["state"] == "bad"} == {p.name for p in bad}
    for n in range(50):
        assert np.array_equal(restored(folder, f"{n:02d}good.npy"), samples(bad_cubes.SHAPE, seed=n))
    # what a process had before its limit counts begins with the libraries
    assert peak < 600e6


def process_memory(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


@pytest.mark.slow
def test_a_running_compress_keeps_its_unfinished_file(folder: Path) -> None:
    np.save(folder / "big.npy", samples((256, 256, 100)))
    cube(folder / "in/a.npy")
    (folder / "out/sub").mkdir(parents=True)
    (folder / "out/sub/.download.part").write_text("precious")
    command = [sys.executable, "-m", "edgefuse", "compress", "big.npy", "out/sub/big.efz", "--json"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    until(lambda: any(n.endswith("big.efz.part") for n in names(folder / "out/sub")), process, "the unfinished file")
    batch = [sys.executable, "-m", "edgefuse", "batch", "compress", "in", "out"]
    ended(subprocess.Popen(batch, cwd=folder, stdout=subprocess.PIPE, text=True), "the batch")
    out, _ = ended(process, "the compression")
    assert process.returncode == 0
    assert json.loads(out)["efz"] == "out/sub/big.efz"
    assert names(folder / "out/sub") == {".download.part", "big.efz"}
