"""Planted secrets are in none of a run's outputs: terminal, log, report, page, metrics, raw files, telemetry, errors."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.conftest import Run, one_line
from tests.support.processes import killed
from tests.support.waiting import free_port, until

pytest.importorskip("msgspec")
PLANTED = "SECRET"  # in each of them


@pytest.mark.parametrize(
    ("table", "key", "value"),
    [
        ("mqtt", "password", "31415926"),
        ("mqtt", "password", '["SECRET31415926"]'),
        ("web", "token", "31415926.5"),
        ("stream", "key", "31415926"),
        ("stream", "password", "{ a = 'SECRET31415926' }"),
        ("mqtt", "url", '["mqtt://me:SECRET31415926@broker"]'),
        ("run", "camera", '"visible=rtsp://me:SECRET31415926@door/1"'),
        ("run", "threads", '"rtsp://me:SECRET31415926@door/1"'),
    ],
)
def test_no_settings_error_shows_a_secret(run: Run, tmp_path: Path, table: str, key: str, value: str) -> None:
    (tmp_path / "a.toml").write_text(f"[{table}]\n{key} = {value}\n")
    done = run("config", "check", "a.toml")
    assert done.returncode == 2
    assert f"{table}.{key} = " in one_line(done.stderr)
    assert "31415926" not in done.stderr


@pytest.mark.parametrize("sign", ["'", '"', "#", "/", "?", " "])
def test_no_error_about_a_camera_shows_its_password(run: Run, sign: str) -> None:
    camera = f"rtsp://me:pa{sign}SECRET@127.0.0.1:1/s"
    done = run("run", "--camera", f"visible={camera}", "--camera", "infrared=http://127.0.0.1:1/x", "--frames", 1)
    assert done.returncode == 2
    assert "SECRET" not in done.stderr
    assert f"pa{sign}" not in done.stderr


@pytest.mark.slow
def test_no_output_of_a_run_shows_a_secret(tmp_path: Path) -> None:
    for package in ("uvicorn", "paho", "prometheus_client"):
        pytest.importorskip(package)
    port, token = free_port(), "SECRET-web-token-0123"
    (tmp_path / "password").write_text("SECRET-mqtt'pass\n")
    (tmp_path / "a.toml").write_text(
        f"""[run]
source = "demo?frames=0&size=96x80&fps=20"
record_raw = "raw.efr"
report = "report.json"
[web]
listen = "127.0.0.1:{port}"
token = "{token}"
[mqtt]
url = "mqtt://me@127.0.0.1:1"
password_file = "password"
[telemetry]
file = "lines"
interval = 0.2
"""
    )
    command = [sys.executable, "-m", "edgefuse", "run", "--config", "a.toml"]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=tmp_path, env=os.environ)

        def get(path: str) -> bytes:
            asked = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Authorization": f"Bearer {token}"})
            with urllib.request.urlopen(asked, timeout=10) as answer:
                return bytes(answer.read())

        def served() -> bool:
            try:
                return bool(get("/report.json"))
            except OSError:
                return False

        try:
            until(served, "the page")
            until(lambda: (tmp_path / "lines").exists(), "telemetry")
            pages = [get(path) for path in ("/", "/report.json", "/state.json", "/history.json", "/metrics")]
            command_lines = [Path(f"/proc/{process.pid}/cmdline").read_bytes(), Path(f"/proc/{process.pid}/status").read_bytes()]
            process.send_signal(signal.SIGINT)
            process.wait(60)
        finally:
            killed(process)
    shown = subprocess.run([*command[:3], "config", "show", "a.toml"], cwd=tmp_path, capture_output=True, check=True, timeout=120).stdout
    written = [(tmp_path / name).read_bytes() for name in ("log", "raw.efr", "report.json", "lines")]
    for data in (*pages, *command_lines, shown, *written):
        assert data
        assert PLANTED.encode() not in data
