"""Ctrl-C, SIGTERM and kill -9: the report is written, the video is playable, no file is truncated."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from tests.support.processes import ended, killed, until


def _start(tmp_path: Path) -> subprocess.Popen[str]:
    args = ["--source", "demo?frames=0&size=96x80", "--save", "out", "--record", "out.mp4", "--report", "report.json"]
    command = [sys.executable, "-m", "edgefuse", "run", *args]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until(lambda: len(list((tmp_path / "out").glob("*.png"))) >= 3, process, "three pictures")
    return process


@pytest.mark.pi
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    process = _start(tmp_path)
    process.send_signal(number)
    out, err = ended(process, "the run to stop")
    assert process.returncode == 0, err
    assert err == ""
    assert "FPS" in out
    data = json.loads((tmp_path / "report.json").read_text())
    assert data["interrupted"] is True
    assert data["frames"]["in"] == data["frames"]["fused"] >= 3
    assert len(list((tmp_path / "out").iterdir())) == data["frames"]["fused"]
    assert cv2.VideoCapture(str(tmp_path / "out.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == data["frames"]["fused"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "out.mp4", "report.json"]


def test_kill_9_leaves_no_truncated_picture_and_no_video(tmp_path: Path) -> None:
    process = _start(tmp_path)
    killed(process)
    pictures = sorted((tmp_path / "out").glob("*.png"))
    assert len(pictures) >= 3
    assert all(cv2.imread(str(p)).shape == (80, 96, 3) for p in pictures)
    assert not (tmp_path / "out.mp4").exists()
