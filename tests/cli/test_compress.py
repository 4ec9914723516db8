"""`edgefuse compress`, `decompress` and `info` as real processes."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgefuse.hyperspectral.formats import create_cube, open_cube
from tests.conftest import Run, one_line
from tests.hyperspectral.cubes import described, scene
from tests.support.waiting import SECONDS, shown

SHAPE = (40, 36, 12)


@pytest.fixture
def cube(tmp_path: Path) -> Path:
    with create_cube(tmp_path / "scene.img", described(SHAPE)) as sink:
        sink[:] = scene(SHAPE)
    return tmp_path / "scene.img"


def ok(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_lossless_round_trip_with_metadata(run: Run, cube: Path, tmp_path: Path) -> None:
    report = json.loads(ok(run("compress", cube, "out.efz", "--json")))
    size = (tmp_path / "out.efz").stat().st_size
    assert report["bytes"] == {"samples": 2 * 40 * 36 * 12, "efz": size}
    assert report["bpppc"] == pytest.approx(8 * size / (40 * 36 * 12))
    assert report["ratio"] == pytest.approx(2 * 40 * 36 * 12 / size)
    assert report["quality"]["psnr_db"] == "inf"
    assert report["quality"]["max_error"] == 0
    assert report["encode_mb_s"] > 0
    assert report["peak_resident_mb"] > 1
    ok(run("decompress", "out.efz", "back.img"))
    with open_cube(cube) as a, open_cube(tmp_path / "back.img") as b:
        assert a.info == b.info
        assert np.array_equal(a[:], b[:])


def test_the_error_bound_holds(run: Run, cube: Path, tmp_path: Path) -> None:
    report = json.loads(ok(run("compress", cube, "out.efz", "--max-error", 5, "--json")))
    assert report["settings"]["max_error"] == 5
    ok(run("decompress", "out.efz", "back.npy"))
    difference = np.load(tmp_path / "back.npy").astype(int) - scene(SHAPE)
    assert np.abs(difference).max() == report["quality"]["max_error"] <= 5


def test_a_rate_is_kept_and_reported(run: Run, cube: Path) -> None:
    lossless = json.loads(ok(run("compress", cube, "a.efz", "--json")))["bytes"]["efz"]
    text = ok(run("compress", cube, "b.efz", "--bpppc", 2))
    assert "dB (peak 10000)" in text
    assert "degrees" in text
    assert "MB/s" in text
    assert (cube.parent / "b.efz").stat().st_size < lossless


@pytest.mark.parametrize("form", ["npy", "npz", "envi"])
def test_pipes(cube: Path, tmp_path: Path, form: str) -> None:
    with open_cube(cube) as source:
        np.save(tmp_path / "scene.npy", source[:])
    edgefuse = f"{sys.executable} -W error -m edgefuse"
    line = f"cat scene.npy | {edgefuse} compress - - | {edgefuse} decompress - - --format {form} > out"
    done = subprocess.run(line, shell=True, capture_output=True, text=True, cwd=tmp_path, timeout=120, check=True)
    assert done.stderr.count("efz        -:") == 2
    data = (tmp_path / "out").read_bytes()
    decoded = np.frombuffer(data, "u2").reshape(12, 40, 36).transpose(1, 2, 0) if form == "envi" else np.load(io.BytesIO(data))
    assert np.array_equal(decoded["cube"] if form == "npz" else decoded, scene(SHAPE))


def test_a_progress_bar_is_drawn_on_a_terminal(cube: Path, tmp_path: Path) -> None:
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "edgefuse", "compress", cube, "a.efz"], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=slave
    )
    os.close(slave)
    shown(master, "compressing 100/100 [====")
    assert process.wait(SECONDS) == 0
    os.close(master)


def test_a_closed_pipe_is_no_error(cube: Path, tmp_path: Path) -> None:
    line = f"{sys.executable} -m edgefuse compress {cube} - | true"
    done = subprocess.run(line, shell=True, capture_output=True, text=True, cwd=tmp_path, timeout=120, check=True)
    assert "Traceback" not in done.stderr


def test_invalid_input_is_a_one_line_error(run: Run, cube: Path, tmp_path: Path) -> None:
    (tmp_path / "junk.efz").write_bytes(b"junk")
    (tmp_path / "empty.efz").write_bytes(b"")
    for args, code, says in (
        (("compress", "missing.img", "a.efz"), 2, "missing.img"),
        (("compress", cube, cube), 2, "choose another name"),
        (("compress", cube, "a.efz", "--bpppc", 1, "--psnr", 40), 2, "give only one of them"),
        (("compress", cube, "a.efz", "--bpppc", 0), 2, "--bpppc 0"),
        (("compress", cube, "a.efz", "--max-error", "nan"), 2, "--max-error nan"),
        (("compress", cube, "a.efz", "--dataset", "x"), 2, "--dataset"),
        (("compress", cube, "a.efz", "--model", "nothing"), 2, "nothing"),
        (("compress", cube, tmp_path), 2, "folder"),
        (("decompress", "junk.efz", "a.npy"), 2, "junk.efz"),
        (("decompress", "empty.efz", "a.npy"), 2, "empty.efz"),
        (("decompress", cube, "a.npy"), 2, "scene.img"),
        (("info", "missing"), 2, "missing"),
        (("info", "junk.efz"), 2, "junk.efz"),
    ):
        done = run(*args)
        assert done.returncode == code, (args, done.stderr)
        assert says in one_line(done.stderr), args
    assert not [p for p in tmp_path.iterdir() if p.name.startswith("a.") or p.name.endswith(".part")]


def test_a_damaged_file_gives_its_intact_tiles(run: Run, tmp_path: Path) -> None:
    shape = (300, 300, 4)
    with create_cube(tmp_path / "a.npy", described(shape)) as sink:
        sink[:] = scene(shape)
    ok(run("compress", "a.npy", "a.efz"))
    data = bytearray((tmp_path / "a.efz").read_bytes())
    data[-len(data) // 3] ^= 1
    (tmp_path / "a.efz").write_bytes(data)
    done = run("decompress", "a.efz", "b.npy")
    assert done.returncode == 2
    assert "--keep-intact" in one_line(done.stderr)
    assert not (tmp_path / "b.npy").exists()
    report = json.loads(ok(run("decompress", "a.efz", "b.npy", "--keep-intact", "--json")))
    decoded, cube = np.load(tmp_path / "b.npy"), scene(shape)
    for rows, columns in report["lost"]:
        decoded[slice(*rows), slice(*columns)] = cube[slice(*rows), slice(*columns)]
    assert report["lost"]
    assert np.array_equal(decoded, cube)


def test_a_full_disk_is_a_one_line_error_and_leaves_no_file(run: Run, cube: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if (
        os.geteuid()
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", small], capture_output=True, check=False, timeout=120
        ).returncode
    ):
        pytest.skip("mounting a small file system needs root, and a container that may")
    try:
        done = run("compress", cube, "small/a.efz")
        assert done.returncode == 2
        assert "disk is full" in one_line(done.stderr)
        assert not list(small.iterdir())
    finally:
        subprocess.run(["umount", small], check=True, timeout=120)


def test_info(run: Run, cube: Path, tmp_path: Path, pairs_folder: Path) -> None:
    decoded = json.loads(ok(run("info", cube, "--json")))
    assert (decoded["kind"], decoded["format"], decoded["shape"]) == ("cube", "ENVI bsq", list(SHAPE))
    assert decoded["wavelengths"][0] == 400.1
    assert decoded["georeference"]["crs"] == "EPSG:32633"
    text = ok(run("info", "scene.img.hdr"))
    assert "40 rows x 36 columns x 12 bands" in text
    assert "nm" in text
    ok(run("compress", cube, "a.efz"))
    decoded = json.loads(ok(run("info", "a.efz", "--json")))
    assert (decoded["kind"], decoded["shape"], decoded["bytes"]) == ("compressed cube", list(SHAPE), (tmp_path / "a.efz").stat().st_size)
    assert decoded["wavelengths"][0] == 400.1
    ok(run("run", "--source", f"folder:{pairs_folder}", "--record-raw", "a.efr", "--model", "blend-classic"))
    assert json.loads(ok(run("info", "a.efr", "--json")))["pairs"] == 4
    decoded = json.loads(ok(run("info", pairs_folder / "visible/0.png", "--json")))
    assert (decoded["kind"], decoded["width"], decoded["height"]) == ("image", 96, 80)
    models = Path(__file__).resolve().parents[2] / "models/mobilefuse-edge"
    if models.is_dir():
        assert json.loads(ok(run("info", models, "--json")))["name"] == "mobilefuse-edge"
