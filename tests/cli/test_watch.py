"""`edgefuse run --source cubes:DIR` as a real process, killed at any moment."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from edgefuse.hyperspectral.api import read_efz
from edgefuse.hyperspectral.compress import decompress_file
from edgefuse.hyperspectral.formats import create_cube
from tests.conftest import Run, one_line
from tests.hyperspectral.cubes import described, scene
from tests.support.processes import ended, killed, until

SHAPE = (32, 32, 8)


def cube(path: Path, seed: int = 0) -> Path:
    with create_cube(path, described(SHAPE)) as sink:
        sink[:] = scene(SHAPE, seed)
    return path


def start(folder: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", "-m", "edgefuse", "run", "--source", "cubes:in", "--save", "out", "--watch", *more]
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=log, text=True)
    until(lambda: "watching" in (folder / "log").read_text(), process, "the run to watch")
    return process


def lines(folder: Path) -> list[dict[str, object]]:
    path = folder / "out/manifest.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def stop(process: subprocess.Popen[str]) -> str:
    process.send_signal(signal.SIGTERM)
    out, _ = ended(process, "the run to stop")
    assert process.returncode == 0
    return out


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path


def test_existing_cubes_are_compressed_once(run: Run, folder: Path) -> None:
    for n in range(3):
        cube(folder / f"in/{n}.npy", n)
    report = json.loads(run("run", "--source", "cubes:in", "--save", "out", "--json").stdout)
    assert report["cubes"] == {"done": 3, "already_done": 0, "deleted": 0, "bad": 0, "full_disk": 0}
    report = json.loads(run("run", "--source", "cubes:in", "--save", "out", "--json").stdout)
    assert report["cubes"]["already_done"] == 3
    for n in range(3):
        decompress_file(folder / f"out/{n}.npy.efz", folder / "back.npy")
        assert np.array_equal(np.load(folder / "back.npy"), scene(SHAPE, n))
    # with other settings the cubes are compressed again, without overwriting
    assert json.loads(run("run", "--source", "cubes:in", "--save", "out", "--max-error", 4, "--json").stdout)["cubes"]["done"] == 3
    assert (folder / "out/0.npy.2.efz").exists()


def test_a_bad_cube_is_skipped_and_the_others_compressed(run: Run, folder: Path) -> None:
    cube(folder / "in/a.npy")
    (folder / "in/bad.npy").write_bytes((folder / "in/a.npy").read_bytes()[:-5])
    done = run("run", "--source", "cubes:in", "--save", "out", "--json")
    assert done.returncode == 2
    assert "bad.npy" in done.stderr
    assert json.loads(done.stdout)["cubes"] == {"done": 1, "already_done": 0, "deleted": 0, "bad": 1, "full_disk": 0}
    assert (folder / "in/bad.npy").exists()


def test_arriving_cubes_are_compressed_and_deleted(folder: Path) -> None:
    cube(folder / "in/first.npy")
    process = start(folder, "--delete-originals")
    until(lambda: len(lines(folder)) == 1, process, "the first cube")
    cube(folder / "later.img")
    (folder / "later.img").rename(folder / "in/later.img")
    (folder / "later.img.hdr").rename(folder / "in/later.img.hdr")
    until(lambda: len(lines(folder)) == 2, process, "the second cube")
    # another cube with an earlier name
    cube(folder / "first.npy", 5)
    (folder / "first.npy").rename(folder / "in/first.npy")
    until(lambda: len(lines(folder)) == 3, process, "the third cube")
    until(lambda: not [p for p in (folder / "in").iterdir() if p.suffix != ".json"], process, "all originals to be deleted")
    assert "3 compressed" in stop(process)
    for name, seed in (("first.npy", 0), ("first.npy.2", 5), ("later.img", 0)):
        decompress_file(folder / f"out/{name}.efz", folder / "back.npy")
        assert np.array_equal(np.load(folder / "back.npy"), scene(SHAPE, seed))
    record = lines(folder)[0]
    assert record["state"] == "done"
    assert record["settings"] == {"verb": "compress", "model": "spectral-edge", "max_error": 0}
    assert record["target"]["bytes"] == (folder / "out/first.npy.efz").stat().st_size  # type: ignore[index]


@pytest.mark.slow
def test_kill_9_at_any_moment_loses_nothing(folder: Path) -> None:
    count, rng = 12, random.Random(3)
    for n in range(count):
        cube(folder / f"in/{n}.npy", n)
        (folder / f"in/{n}.npy.json").unlink()
    for _ in range(4):
        process, before = start(folder, "--delete-originals"), len(lines(folder))
        until(
            lambda before=before: len(lines(folder)) > before or not any((folder / "in").iterdir()),
            process,
            "another cube, or all to be handed on",
        )  # type: ignore[misc]
        time.sleep(rng.random() / 20)
        killed(process)
        # a cube is in the input folder, or complete in the output folder
        there = {p.name for p in (folder / "in").iterdir()}
        for n in range(count):
            if f"{n}.npy" not in there:
                decompress_file(folder / f"out/{n}.npy.efz", folder / "back.npy")
                assert np.array_equal(np.load(folder / "back.npy"), scene(SHAPE, n))
    process = start(folder, "--delete-originals")
    until(lambda: not any((folder / "in").iterdir()), process, "all cubes to be handed on")
    stop(process)
    assert {p.name for p in (folder / "out").iterdir()} == {"manifest.jsonl", *(f"{n}.npy.efz" for n in range(count))}
    assert {r["name"] for r in lines(folder) if r["state"] == "done"} == {f"{n}.npy" for n in range(count)}


def test_a_damaged_output_keeps_its_original(folder: Path, run: Run) -> None:
    cube(folder / "in/a.npy")
    assert run("run", "--source", "cubes:in", "--save", "out").returncode == 0
    data = bytearray((folder / "out/a.npy.efz").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "out/a.npy.efz").write_bytes(data)
    report = json.loads(run("run", "--source", "cubes:in", "--save", "out", "--delete-originals", "--json").stdout)
    # compressed again, beside the damaged file, before the original was deleted
    assert report["cubes"]["done"] == report["cubes"]["deleted"] == 1
    decompress_file(folder / "out/a.npy.2.efz", folder / "back.npy")
    assert np.array_equal(np.load(folder / "back.npy"), scene(SHAPE))


@pytest.mark.slow
def test_a_full_disk_is_retried(folder: Path) -> None:
    out = folder / "out"
    out.mkdir()
    if (
        os.geteuid()
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", out], capture_output=True, check=False, timeout=120
        ).returncode
    ):
        pytest.skip("mounting a small file system needs root, and a container that may")
    try:
        with open(out / "filler", "wb", buffering=0) as f:
            while f.write(bytes(4096)) == 4096 and shutil.disk_usage(out).free:
                pass
        cube(folder / "in/a.npy")
        process = start(folder, "--delete-originals", "--report", "report.json")
        until(lambda: "disk is full" in (folder / "log").read_text(), process, "the warning that the disk is full")
        assert (folder / "in/a.npy").exists()
        (out / "filler").unlink()
        until(lambda: lines(folder), process, "the cube")
        assert "1 compressed" in stop(process)
        assert json.loads((folder / "report.json").read_text())["cubes"]["full_disk"] >= 1
        decompress_file(out / "a.npy.efz", folder / "back.npy")
        assert np.array_equal(np.load(folder / "back.npy"), scene(SHAPE))
    finally:
        subprocess.run(["umount", "-l", out], check=True, timeout=120)


def test_invalid_input_is_a_one_line_error(run: Run, folder: Path) -> None:
    shutil.copytree(folder / "in", folder / "pairs")
    for args, says in (
        (("--source", "cubes:missing", "--save", "out"), "missing"),
        (("--source", "cubes:in"), "--save"),
        (("--source", "cubes:in", "--save", "in"), "is the input folder; choose another place"),
        (("--source", "cubes:in", "--save", "out", "--record", "a.mp4"), "--record"),
        (("--source", "cubes:in?x=1", "--save", "out"), "no option 'x'"),
        (("--source", "demo", "--watch"), "--watch, --bpppc and the like are only for cubes"),
        (("--source", "demo", "--bpppc", "1"), "are only for cubes"),
    ):
        done = run("run", *args)
        assert done.returncode == 2, args
        assert says in one_line(done.stderr)


def test_the_same_from_a_settings_file(run: Run, folder: Path) -> None:
    pytest.importorskip("msgspec")
    cube(folder / "in/a.npy")
    (folder / "a.toml").write_text('[run]\nsource = "cubes:in"\nsave = "out"\n\n[cubes]\nmax_error = 3\n')
    report = json.loads(run("run", "--config", "a.toml", "--json").stdout)
    assert report["settings"] == {"model": "spectral-edge", "max_error": 3}
    assert report["cubes"]["done"] == 1
    (folder / "b.toml").write_text('[run]\nsource = "cubes:in"\nsave = "out"\n\n[cubes]\nmax_error = 3\nbpppc = 1\n')
    assert "give only one of them" in one_line(run("run", "--config", "b.toml").stderr)


def test_what_of_each_cube_is_compressed_is_a_setting(run: Run, folder: Path) -> None:
    pytest.importorskip("msgspec")
    first, second = scene(SHAPE, 1), scene(SHAPE, 2)
    np.savez(folder / "in/a.npz", counts=first.transpose(2, 0, 1), dark=second)
    (folder / "waves.txt").write_text(" ".join(str(400 + 10 * n) for n in range(8)))
    table = (
        'dataset = "counts"\naxes = "bands,rows,columns"\nwavelengths = "waves.txt"\nwindow = "4:20,:16"\nbands = "2:6"\nnodata = "65535"\n'
    )
    (folder / "a.toml").write_text(f'[run]\nsource = "cubes:in"\nsave = "out"\n\n[cubes]\n{table}')
    report = json.loads(run("run", "--config", "a.toml", "--json").stdout)
    assert report["cubes"]["done"] == 1
    assert report["settings"]["choice"]["window"] == [[4, 20], [None, 16]]
    found = read_efz(folder / "out/a.npz.efz")
    np.testing.assert_array_equal(found.data, first[4:20, :16, 2:6])
    assert found.info.wavelengths == (420, 430, 440, 450)
    assert found.info.nodata == 65535
    assert json.loads(run("run", "--config", "a.toml", "--json").stdout)["cubes"]["already_done"] == 1
    again = run("run", "--config", "a.toml", "--bands", "2:7", "--json")
    assert json.loads(again.stdout)["cubes"]["done"] == 1  # another choice is another job
    for args, says in (
        (("--delete-originals",), "can't be deleted; omit --delete-originals"), (("--axes", "rows,rows,bands"), "axes"),
        (("--window", "1:2"), "expected rows, then columns"), (("--bands", "x"), "expected START:STOP"),
        (("--wavelengths", "none.txt"), "cannot read none.txt"),
    ):  # fmt: skip
        done = run("run", "--config", "a.toml", *args)
        assert done.returncode == 2, args
        assert says in one_line(done.stderr)
