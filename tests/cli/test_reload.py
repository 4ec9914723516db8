"""SIGHUP: the settings file is reloaded, applied or refused, and the run continues."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.processes import ended
from tests.support.waiting import SECONDS, Lines, datagram

pytest.importorskip("msgspec")

GOOD = '[run]\nsource = "demo?frames=0&size=64x64"\nmodel = "blend-classic"\nreport = "report.json"\n'


def test_a_valid_file_is_applied_and_an_invalid_one_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "edgefuse.toml"
    path.write_text(GOOD + 'save = "a"\n')
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(SECONDS)
        env = os.environ | {"NOTIFY_SOCKET": systemd.getsockname()}
        command = [sys.executable, "-W", "error", "-m", "edgefuse", "run", "--config", path.name]
        process = subprocess.Popen(
            command, cwd=tmp_path, env=env, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

        def reload() -> None:
            process.send_signal(signal.SIGHUP)
            deadline = time.monotonic() + SECONDS
            for wanted in ("RELOADING=1\nMONOTONIC_USEC=", "READY=1"):
                while not datagram(systemd, wanted).decode().startswith(wanted):
                    assert time.monotonic() < deadline, wanted

        try:
            assert datagram(systemd, "READY").startswith(b"READY=1\n")
            for text in (
                GOOD + 'save = "b"\nsharpness = 2\n',
                GOOD + "shapness = 1\n",
                "[run\n",
                GOOD + 'runtime = "onnx"\n',
            ):
                path.write_text(text)
                reload()
            path.unlink()
            reload()
            process.terminate()
            _, errors = ended(process, "the run to stop")
        finally:
            process.kill()
    assert process.returncode == 0, errors
    lines = [line.removeprefix("edgefuse: reload settings: state ") for line in errors.splitlines()]
    assert lines[0] == "applied, changed run.sharpness, run.save"
    assert lines[1] == "refused, error edgefuse.toml: run.shapness: unknown key; did you mean sharpness?"
    assert lines[2].startswith("refused, error edgefuse.toml: not valid TOML")
    assert lines[3].startswith("refused, error model blend-classic is a closed form")
    assert lines[4] == "refused, error cannot read edgefuse.toml: No such file or directory; give an existing settings file"
    assert len(lines) == 5
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["reloads"] == {"applied": 1, "refused": 4}
    assert report["frames"]["in"] == report["frames"]["fused"]
    # a frame's pictures exist in both folders only if the frame was written twice
    assert sum(1 for folder in "ab" for _ in (tmp_path / folder).iterdir()) == report["frames"]["fused"]


def test_without_a_settings_file_a_hangup_ends_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "edgefuse", "run", "--source", "demo?frames=0&size=64x64", "--model", "blend-classic"]
    # under nohup, which these tests may use, SIGHUP is ignored, and a child inherits that
    with subprocess.Popen(
        command, cwd=tmp_path, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            assert Lines(process.stdout).next("the model's line").startswith("model")
            process.send_signal(signal.SIGHUP)
            assert process.wait(SECONDS) == -signal.SIGHUP
        finally:
            process.kill()
