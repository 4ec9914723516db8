"""Planted secrets are in none of a run's outputs: terminal, log, report, page, metrics, files, telemetry, MQTT, errors, ps."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest

from tests.conftest import Run, one_line
from tests.mqtt.broker import MOSQUITTO, Broker, Watcher
from tests.streaming.servers import Publishing
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


def settings(port: int, token: str, url: str, video_server: Publishing | None) -> str:
    """Return settings with all tables that send or write something; those that need FFmpeg only with a video server."""
    text = f"""[run]
source = "demo?frames=0&size=96x80&fps=20"
record_raw = "raw.efr"
report = "report.json"
[web]
listen = "127.0.0.1:{port}"
token = "{token}"
[mqtt]
url = "{url}"
password_file = "password"
interval = 0.2
[telemetry]
file = "lines"
interval = 0.2
"""
    if video_server:
        text += f"""[recording]
folder = "recordings"
segment_s = 2.0
[stream]
url = "rtsp://{video_server.place}"
user = "me"
password = "SECRET stream#1"
"""
    return text


def get(port: int, path: str, token: str) -> bytes:
    """Return the answer of the page to a request with a token, whatever its status."""
    asked = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return bytes(answer.read())
    except urllib.error.HTTPError as e:
        return bytes(e.read())


@pytest.mark.slow
def test_no_output_of_a_run_shows_a_secret(tmp_path: Path) -> None:
    """Walks everything that a run with all tables gives away: also what `ps` shows of its children, and what a broker hears."""
    for package in ("uvicorn", "paho", "prometheus_client"):
        pytest.importorskip(package)
    port, token = free_port(), "SECRET-web-token-0123"
    (tmp_path / "password").write_text("SECRET-mqtt'pass\n")
    (tmp_path / "broker").mkdir()
    with contextlib.ExitStack() as stack:
        url, heard = "mqtt://me@127.0.0.1:1", None
        if MOSQUITTO:
            broker = Broker(tmp_path / "broker")
            stack.callback(broker.stop)
            heard = Watcher(broker.port)
            stack.callback(heard.close)
            url = f"mqtt://me@127.0.0.1:{broker.port}"
        video_server = None
        if shutil.which("ffmpeg"):
            video_server = stack.enter_context(Publishing("me", "SECRET stream#1"))
        (tmp_path / "a.toml").write_text(settings(port, token, url, video_server))
        command = [sys.executable, "-m", "edgefuse", "run", "--config", "a.toml"]
        log = stack.enter_context((tmp_path / "log").open("w"))
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=tmp_path, env=os.environ)
        stack.callback(killed, process)

        def served() -> bool:
            try:
                return bool(get(port, "/report.json", token))
            except OSError:
                return False

        until(served, "the page")
        until(lambda: (tmp_path / "lines").exists(), "telemetry")
        if heard:
            until(lambda: [topic for topic, _, _ in heard.heard if topic.endswith("/config")], "Home Assistant's discovery")
            heard.publish("edgefuse/broken", b"x")
            until(lambda: [topic for topic, _, _ in heard.heard if topic.endswith("/telemetry")], "telemetry at the broker")
        if video_server:
            until(lambda: video_server.packets, "the stream")
        paths = ("/", "/report.json", "/state.json", "/history.json", "/metrics", "/healthz", "/regions.json", "/recordings.json", "/none")
        pages = [get(port, path, token) for path in paths] + [get(port, "/report.json", "wrong-token-012345")]
        processes = [process.pid, *(child.pid for child in psutil.Process(process.pid).children(recursive=True))]
        assert len(processes) > 1 or video_server is None
        seen = [Path(f"/proc/{pid}/{name}").read_bytes() for pid in processes for name in ("cmdline", "status")]
        process.send_signal(signal.SIGINT)
        process.wait(60)
        messages = [topic.encode() + b" " + payload for topic, payload, _ in heard.heard] if heard else []
    for arguments in (["config", "show", "a.toml"], ["config", "check", "a.toml"], ["doctor"]):
        done = subprocess.run([*command[:3], *arguments], cwd=tmp_path, capture_output=True, check=False, timeout=300)
        seen.append(done.stdout + done.stderr)
    written = [path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file() and path.name not in ("a.toml", "password")]
    assert (tmp_path / "report.json").exists()
    for data in (*pages, *seen, *messages, *written):
        assert PLANTED.encode() not in data, data[:2000]
        assert b"stream#1" not in data, data[:2000]
        assert b"stream%231" not in data, data[:2000]
