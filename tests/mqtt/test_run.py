"""`edgefuse run --mqtt` in its own process: last will, disconnect, passwords."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Run, one_line
from tests.mqtt.broker import Broker, Watcher
from tests.support.processes import ended, killed
from tests.support.waiting import SECONDS, until

Watch = Callable[..., Watcher]
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start an endless run."""
    made: list[subprocess.Popen[str]] = []

    def begin(*arguments: str) -> subprocess.Popen[str]:
        command = [
            sys.executable,
            "-W",
            "error",
            "-m",
            "edgefuse",
            "run",
            "--source",
            "demo?size=96x80&depth=16&frames=0",
            "--runtime",
            "numpy",
        ]
        made.append(subprocess.Popen([*command, *arguments], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return made[-1]

    yield begin
    for process in made:
        killed(process)


def test_a_run_that_is_killed_is_offline_by_its_last_will(broker: Broker, watch: Watch, start: Start) -> None:
    watcher = watch(broker.port, "edgefuse/+/state")
    process = start("--mqtt", broker.url)
    until(lambda: watcher.heard, "the run's state")
    ((topic, first, _),) = watcher.heard
    process.send_signal(signal.SIGKILL)
    process.wait(SECONDS)
    until(lambda: len(watcher.heard) == 2, "the broker telling the last will")
    assert (first, watcher.on(topic)[-1]) == (b"online", b"offline")
    # later subscribers see it too
    late = watch(broker.port, "edgefuse/+/state")
    until(lambda: late.heard == [(topic, b"offline", True)], "the retained state")


def test_a_stopped_run_publishes_offline_and_disconnects(broker: Broker, watch: Watch, start: Start) -> None:
    watcher = watch(broker.port, "edgefuse/#")
    process = start("--mqtt", broker.url, "--json")
    until(lambda: any(topic.endswith("/telemetry") for topic, _, _ in watcher.heard), "telemetry")
    process.send_signal(signal.SIGTERM)
    out, err = ended(process, "the run to stop")
    assert process.returncode == 0, err
    report = json.loads(out)["mqtt"]
    assert (report["state"], report["waiting"], report["lost"], report["connections"]) == ("closed", 0, {}, 1)
    until(lambda: [p for t, p, _ in watcher.heard if t.endswith("/state")] == [b"online", b"offline"], "the states online and offline")
    device = report["device"]
    assert {t.split("/")[1] for t, _, _ in watcher.heard} == {device}
    assert "edgefuse: sink mqtt: state connected" in err


def test_a_run_works_without_its_broker(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("paho.mqtt")
    done = run("run", "--source", "demo?size=96x80&frames=30", "--runtime", "numpy", "--mqtt", "mqtt://ann@127.0.0.1:1", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["frames"]["fused"], report["mqtt"]["connections"]) == (30, 0)


def test_settings_from_a_file_and_its_password_file(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("paho.mqtt")
    pytest.importorskip("msgspec")
    (tmp_path / "secret").write_text("hush\n")
    (tmp_path / "edgefuse.toml").write_text(
        '[run]\nsource = "demo?size=96x80&frames=5"\nruntime = "numpy"\n'
        '[mqtt]\nurl = "mqtt://127.0.0.1:1"\nuser = "ann"\npassword_file = "secret"\ndevice = "cam-9"\n'
    )  # fmt: skip
    done = run("run", "--config", "edgefuse.toml", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["mqtt"]["device"] == "cam-9"
    assert "hush" not in done.stdout + done.stderr
    (tmp_path / "edgefuse.toml").write_text('[run]\nsource = "demo?size=64x64"\n[mqtt]\nurl = "mqtt://h"\ndevice = "a/b"\n')
    refused = run("run", "--config", "edgefuse.toml")
    assert refused.returncode == 2
    assert "mqtt.device = 'a/b': expected" in one_line(refused.stderr)


def test_without_paho_the_error_has_the_install_command(run: Run, tmp_path: Path) -> None:
    blocked = tmp_path / "blocked" / "paho"
    blocked.mkdir(parents=True)
    (blocked / "__init__.py").write_text("raise ImportError('not here')\n")
    done = run("run", "--source", "demo?frames=1&size=64x64", "--mqtt", "mqtt://h", python_path=blocked.parent)
    assert done.returncode == 2
    assert one_line(done.stderr.splitlines()[-1]).endswith("run: pip install 'edgefuse[mqtt]'")
