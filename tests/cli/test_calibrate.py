"""`edgefuse calibrate` from the command line: real processes and files; nothing is written on an error."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgefuse.calibration import registration
from edgefuse.calibration.registration import corners, project
from edgefuse.frames import FramePair
from tests.calibration.scenes import board_pair, displaced, similarity, street
from tests.cameras.servers import MjpegServer
from tests.conftest import Run, one_line
from tests.support.waiting import SECONDS, Lines

WARP = similarity((320, 240), 3, 1.04, 9, -12)


def _write(root: Path, pairs: list[FramePair]) -> Path:
    for k, pair in enumerate(pairs):
        for frame in (pair.visible, pair.infrared):
            path = root / frame.modality / f"{k}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), frame.data)
    return root


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _write(tmp_path_factory.mktemp("scenes"), [displaced(street(seed), WARP) for seed in (2, 4)])


def test_automatic_calibration_check_and_use(run: Run, scenes: Path, tmp_path: Path) -> None:
    source = f"folder:{scenes}"
    done = run("calibrate", "--source", source, "--distance", 12, "--overlay", "o.png", "--json")
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert (data["method"], data["pairs"], data["saved"], data["overlay"]) == ("automatic", 2, "calibration.toml", "o.png")
    assert data["seconds"] > 0
    made = registration.load(tmp_path / "calibration.toml")
    off = project(made.homography, corners((320, 240))) - project(np.linalg.inv(WARP), corners((320, 240)))
    assert np.hypot(*off.T).mean() < 1.5
    assert (made.distance_m, made.method, len(made.images), made.visible_size) == (12, "automatic", 4, (320, 240))
    assert cv2.imread(str(tmp_path / "o.png")).shape == (240, 320, 3)
    checked = run("calibrate", "--check", "calibration.toml", "--source", source, "--json")
    assert checked.returncode == 0, checked.stderr
    assert json.loads(checked.stdout)["residual_px"] < 1
    assert (tmp_path / "overlay.png").exists()
    used = run("run", "--source", source, "--calibration", "calibration.toml", "--model", "blend-classic", "--json")
    assert json.loads(used.stdout)["frames"]["fused"] == 2
    # a moved camera is distinguished from a good fit
    moved = (tmp_path / "calibration.toml").read_text().replace(f"{made.homography[0, 2]}]", f"{made.homography[0, 2] + 9}]")
    (tmp_path / "moved.toml").write_text(moved)
    text = run("calibrate", "--check", "moved.toml", "--source", source).stdout
    assert float(text.split()[1]) == pytest.approx(9, abs=1)
    assert "run edgefuse calibrate again" in text


def test_live_cameras_instead_of_a_source(run: Run, tmp_path: Path) -> None:
    pair = displaced(street(2), WARP)
    with MjpegServer(20, lambda k: pair.visible.data) as visible, MjpegServer(20, lambda k: pair.infrared.data) as infrared:
        cameras = [
            f"--camera={m}={s.url.replace('http://', 'http://me:S3cret@')}" for m, s in (("visible", visible), ("infrared", infrared))
        ]
        marks = ("--point", "0,0=9,9", "--point", "300,0=300,9", "--point", "300,200=300,210", "--point", "0,200=9,210")
        done = run("calibrate", *cameras, *marks, "--save", "live.toml", "--json")
    assert done.returncode == 0, done.stderr
    made = registration.load(tmp_path / "live.toml")
    assert (made.visible_size, made.infrared_size, made.method) == ((320, 240), (320, 240), "points")
    told = json.loads(done.stdout)["source"]
    assert "infrared=http://***@127.0.0.1" in told
    assert "S3cret" not in done.stdout + done.stderr
    both = run("calibrate", *cameras, "--source", "demo")
    assert both.returncode == 2
    assert "not allowed with" in both.stderr


def test_points_in_a_file_and_on_the_command_line(run: Run, scenes: Path, tmp_path: Path) -> None:
    spots = np.array([(20.0, 30), (280, 25), (270, 200), (30, 210), (150, 120), (90, 60)])
    rows = np.concatenate([project(np.linalg.inv(WARP), spots), spots], axis=1)
    (tmp_path / "points.txt").write_text("\n".join(" ".join(f"{v:.3f}" for v in row) for row in rows))
    done = run("calibrate", "--source", f"folder:{scenes}", "--points", "points.txt", "--save", "a.toml")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("saved      a.toml: points, 1 pair, error 0.00 px of 320x240")
    given = [a for row in rows[:4] for a in ("--point", "{:.3f},{:.3f}={:.3f},{:.3f}".format(*row))]
    four = run("calibrate", "--source", f"folder:{scenes}", *given, "--save", "b.toml")
    assert "four points fit any two pictures" in four.stdout
    a, b = (registration.load(tmp_path / name).homography for name in ("a.toml", "b.toml"))
    assert np.allclose(project(a, spots), project(b, spots), atol=0.05)


def test_a_target_with_a_lens(run: Run, tmp_path: Path) -> None:
    to_infrared = np.array([[0.48, 0.01, 3], [-0.01, 0.47, 4], [2e-5, 0, 1]])
    _write(tmp_path / "board", [board_pair("checkerboard", 8, 5, to_infrared, (200, 160))])
    (tmp_path / "lenses.toml").write_text(
        "[visible_lens]\ncamera_matrix = [[400, 0, 200], [0, 400, 160], [0, 0, 1]]\ndistortion = [0.0, 0, 0, 0]\n"
    )
    done = run("calibrate", "--source", "folder:board", "--target", "8x5", "--lenses", "lenses.toml", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["points"] == 40
    made = registration.load(tmp_path / "calibration.toml")
    assert made.visible_lens is not None
    assert made.method == "target"


BAD = [
    ([], "one of the arguments --source --camera is required"),
    (["--source", "folder:none"], "no such folder"),
    (["--source", "SCENES", "--frames", "0"], "--frames 0: expected a whole number from 1"),
    (["--source", "SCENES", "--distance", "-1"], "--distance -1: expected a number from 0.01"),
    (["--source", "SCENES", "--view", "x"], "--view x: expected a number from 0.2 to 4"),
    (["--source", "SCENES", "--target", "9"], "--target 9: expected COLUMNSxROWS"),
    (["--source", "SCENES", "--point", "1,2"], "--point: expected VISIBLE_X,VISIBLE_Y=INFRARED_X,INFRARED_Y"),
    (["--source", "SCENES", "--point", "1,2=3,4"], "1 pair of points; 4 is the fewest"),
    (["--source", "SCENES", "--points", "none.txt"], "cannot read none.txt"),
    (["--source", "SCENES", "--click", "--target", "9x6"], "not allowed with argument"),
    (["--source", "SCENES", "--lenses", "none.toml"], "cannot read none.toml"),
    (["--source", "SCENES", "--check", "none.toml"], "cannot read none.toml"),
    (["--source", "SCENES", "--overlay", "o.jpg"], "expected a name ending in .png"),
    (["--source", "SCENES", "--save", "/proc/x/c.toml"], "cannot write"),
    (["--source", "MIXED", "--view", "1"], "no reliable calibration"),
]


@pytest.mark.parametrize(("arguments", "words"), BAD)
def test_invalid_input_is_a_one_line_error_and_leaves_no_files(
    run: Run, scenes: Path, tmp_path: Path, arguments: list[str], words: str
) -> None:
    if "MIXED" in arguments:
        one, two = street(2), street(5, "night")
        _write(tmp_path / "mixed", [FramePair(one.visible, type(two.infrared)(two.infrared.data[::-1].copy(), "infrared", 0, "x"), 0)])
    before = set(tmp_path.rglob("*"))
    done = run("calibrate", *(a.replace("SCENES", f"folder:{scenes}").replace("MIXED", "folder:mixed") for a in arguments))
    assert done.returncode == 2, done.stdout + done.stderr
    assert words in one_line(done.stderr)
    assert set(tmp_path.rglob("*")) == before


def test_inputs_are_never_overwritten(run: Run, scenes: Path) -> None:
    done = run("calibrate", "--source", f"folder:{scenes}", "--save", scenes / "visible" / "c.toml")
    assert done.returncode == 2
    assert "is an input of this calibration" in one_line(done.stderr)


def test_a_check_with_unsuitable_pictures_is_an_untrusted_measurement(run: Run, scenes: Path, tmp_path: Path) -> None:
    run("calibrate", "--source", f"folder:{scenes}", "--point", "0,0=0,0", "--point", "300,0=300,0", "--point", "300,200=300,200",
        "--point", "0,200=0,200")  # fmt: skip
    one, two = street(2), street(5, "night")
    _write(tmp_path / "mixed", [FramePair(one.visible, type(two.infrared)(two.infrared.data[::-1].copy(), "infrared", 0, "x"), 0)])
    done = run("calibrate", "--check", "calibration.toml", "--source", "folder:mixed")
    assert done.returncode == 3
    assert "no reliable residual from" in one_line(done.stderr)
    assert (tmp_path / "overlay.png").exists()


def test_interrupting_the_page_leaves_no_files(scenes: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "edgefuse", "calibrate", "--source", f"folder:{scenes}", "--click"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=os.environ) as process:
        assert process.stderr is not None
        lines = Lines(process.stderr)
        assert lines.next("the page's address").startswith("open http://127.0.0.1:")
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == 130
        assert one_line(lines.rest()) == "edgefuse: interrupted"
    assert list(tmp_path.iterdir()) == []
