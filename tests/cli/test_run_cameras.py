"""`edgefuse run --camera` from the command line and under systemd."""

from __future__ import annotations

import datetime
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgefuse.calibration.registration import Calibration, save
from tests.cameras.servers import MjpegServer, noise
from tests.conftest import Run, one_line
from tests.support.processes import ended
from tests.support.waiting import SECONDS, datagram

SIZE = (96, 80)


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[MjpegServer, MjpegServer]]:
    with MjpegServer(30, noise(*SIZE)) as visible, MjpegServer(9, noise(*SIZE, 1)) as infrared:
        yield visible, infrared


def secret(url: str) -> str:
    return url.replace("http://", "http://me:S3cret@") + "?token=S3cret"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_report_after_a_signal_systemd_readiness_and_hidden_password(
    servers: tuple[MjpegServer, MjpegServer], tmp_path: Path, number: signal.Signals
) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        listener.settimeout(SECONDS)
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "edgefuse", "run", "--camera", f"visible={secret(servers[0].url)}", "--camera",
             f"infrared={secret(servers[1].url)}", "--model", "blend-classic", "--record", "out.mp4", "--report", "report.json"],
            cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"NOTIFY_SOCKET": address},
        )  # fmt: skip
        assert datagram(listener, "READY").startswith(b"READY=1")
        process.send_signal(number)
        out, err = ended(process, "the run to stop")
        # a watchdog message may arrive first
        told = [datagram(listener, "STOPPING")]
        while told[-1] != b"STOPPING=1":
            told.append(datagram(listener, "STOPPING"))
        assert all(b"READY" not in t for t in told)
    assert process.returncode == 0, err
    assert "S3cret" not in out + err + (tmp_path / "report.json").read_text()
    assert "visible camera http://***@127.0.0.1" in err
    assert "cameras    visible" in out
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["interrupted"] is True
    shown = [f"{s.url.replace('http://', 'http://***@')}?***" for s in servers]
    assert report["source"] == f"visible={shown[0]},infrared={shown[1]}"
    for camera in report["cameras"].values():
        assert camera["received"] == camera["fused"] + sum(camera["dropped"].values())
        assert camera["fused"] > 0
    # as many as its constant rate needs for the time from the first to the last frame, however many were dropped between them
    assert cv2.VideoCapture(str(tmp_path / "out.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) > 0


def test_a_number_of_pairs_from_a_settings_file(run: Run, servers: tuple[MjpegServer, MjpegServer], tmp_path: Path) -> None:
    text = f'[run]\ncamera = ["visible={servers[0].url}", "infrared={servers[1].url}"]\nfresh = true\n'
    (tmp_path / "edgefuse.toml").write_text(text)
    done = run("run", "--config", "edgefuse.toml", "--camera", "--frames", 5, "--model", "blend-classic", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["frames"]["in"] == 5
    assert report["pairing"]["held"] == 0


def test_cameras_of_different_sizes_need_a_calibration(run: Run, servers: tuple[MjpegServer, MjpegServer], tmp_path: Path) -> None:
    with MjpegServer(20, noise(48, 40)) as small:
        pair = ["--camera", f"visible={servers[0].url}", "--camera", f"infrared={small.url}", "--model", "blend-classic", "--frames", 3]
        done = run("run", *pair)
        assert done.returncode == 2
        assert "visible is 96x80, infrared 48x40; run edgefuse calibrate once, then give --calibration FILE" in done.stderr
        save(
            Calibration(
                homography=np.diag([2.0, 2.0, 1.0]), visible_size=SIZE, infrared_size=(48, 40), method="points", error_px=0.1,
                made=datetime.date(2026, 11, 21),
            ),
            tmp_path / "calibration.toml",
        )  # fmt: skip
        done = run("run", *pair, "--calibration", "calibration.toml", "--save", "out")
        assert done.returncode == 0, done.stderr
        assert cv2.imread(str(next((tmp_path / "out").iterdir()))).shape == (80, 96, 3)
    done = run(
        "run", "--camera", f"visible={servers[0].url}", "--camera", f"infrared={servers[1].url}", "--calibration", "calibration.toml"
    )
    assert done.returncode == 2
    assert "infrared" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--camera", "visible=webcam:0", "--camera", "infrared=v4l2:1e4e:0100"], "unknown camera 'webcam'; choose from picamera2, v4l2"),
        (["--camera", "visible=picamera2:0"], "no infrared camera; add --camera infrared=CAMERA"),
        (["--camera", "visible=picamera2:0", "--camera", "visible=picamera2:1"], "two visible cameras"),
        (["--camera", "infrared=v4l2:1e4e", "--camera", "visible=picamera2:0"], "expected a USB id VENDOR:PRODUCT"),
        (["--camera", "infrared=v4l2:ffff:ffff", "--camera", "visible=v4l2:ffff:fffe"], "no such USB camera (attached: "),
        (["--camera", "infrared=v4l2:/dev/null", "--camera", "visible=v4l2:/dev/absent"], "v4l2:/dev/"),
        (["--camera", "infrared=v4l2:/dev/null", "--camera", "visible=v4l2:/dev/null"], "no such video device (attached: "),
        (
            ["--camera", "infrared=http://127.0.0.1:1/v", "--camera", "visible=http://127.0.0.1:1/v"],
            "are the same camera; a pair needs two",
        ),
        (["--camera", "visible=http://a:S3cret@127.0.0.1:1/v", "--camera", "infrared=v4l2:/dev/absent"], "camera"),
        (["--camera", "--camera", "visible=picamera2:0"], "is not visible=CAMERA or infrared=CAMERA"),
        (["--camera", "--source", "demo"], "--source and --camera: give only one of them"),
        (["--camera", "rtsp://a:S3cret@door/1"], "camera 'rtsp://***@door/1' is not visible=CAMERA"),
        (["--camera", "visible=picamera2:0", "rtsp://a:S3cret@door/1"], "unrecognized arguments: rtsp://***@door/1"),
    ],
)  # fmt: skip
def test_invalid_input_is_a_one_line_error_and_exit_2(run: Run, args: list[str], words: str) -> None:
    done = run("run", *args)
    assert done.returncode == 2
    assert words in one_line(done.stderr)
    assert "S3cret" not in done.stderr


def test_camera_without_a_value_and_without_a_pair_lists_the_cameras(run: Run) -> None:
    done = run("run", "--camera")
    if done.returncode == 0:
        pytest.skip("a pair of cameras is attached")
    assert done.returncode == 2
    message = one_line(done.stderr)
    assert "visible camera" in message
    assert "--camera visible=CAMERA --camera infrared=CAMERA" in message
