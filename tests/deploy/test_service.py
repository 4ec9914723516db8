"""The unit file, tested without root: systemd's checks where installed, and that the programs it starts exist."""

from __future__ import annotations

import configparser
import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from edgefuse import settings
from edgefuse.cli.main import parser

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
pytestmark = pytest.mark.skipif(not DEPLOY.is_dir(), reason="deploy/ is not beside these tests; they run in a checkout")


def _unit() -> configparser.ConfigParser:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(DEPLOY / "edgefuse.service")
    return unit


def test_it_starts_a_command_that_there_is() -> None:
    program, *arguments = _unit()["Service"]["ExecStart"].split()
    assert program == "/opt/edgefuse/bin/edgefuse"
    assert parser().parse_args(arguments).command


def test_its_settings_are_settings() -> None:
    assert settings.load(DEPLOY / "edgefuse.toml", source_required=False).run.source == ""


@pytest.mark.parametrize(
    ("text", "configured"),
    [
        ((DEPLOY / "edgefuse.toml").read_text() if DEPLOY.is_dir() else "", False),
        ("", False),
        ("[run]\n# source = 'demo'\n", False),
        ('[run]\ncamera_name = "north"\n', False),
        ("[run]\nsource = 'demo'\n", True),
        ('run = {"camera" = ["visible=v4l2:0"]}\n', True),
        ('  run.camera=["visible=v4l2:0"]\n', True),
    ],
)
def test_before_it_is_configured_it_says_so_and_starts_nothing(tmp_path: Path, text: str, configured: bool) -> None:
    program, option, script = shlex.split(_unit()["Service"]["ExecCondition"])
    file = tmp_path / "edgefuse.toml"
    file.write_text(text)
    command = [
        program,
        option,
        script.replace("/etc/edgefuse/edgefuse.toml, then", "THEN").replace("/etc/edgefuse/edgefuse.toml", str(file)),
    ]
    done = subprocess.run(command, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0 if configured else 1, "")
    assert done.stdout.startswith("" if configured else "not configured: set source or camera in ")
    named = subprocess.run(command, env={"PATH": os.environ["PATH"], "EDGEFUSE_RUN_SOURCE": "demo"}, check=False, timeout=60)
    assert named.returncode == 0


def test_it_is_watched_limited_and_comes_back() -> None:
    service = _unit()["Service"]
    assert service["Type"] == "notify"
    assert service["WatchdogSec"]
    assert service["MemoryMax"]
    assert service["Restart"] == "on-failure"
    assert service["User"] == "edgefuse"
    assert _unit()["Unit"]["StartLimitIntervalSec"] == "0"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_systemd_knows_every_key_and_calls_the_exposure_low(tmp_path: Path) -> None:
    path = tmp_path / "edgefuse.service"
    path.write_text((DEPLOY / "edgefuse.service").read_text().replace("/opt/edgefuse/bin/edgefuse", "/bin/true"))
    for verb in (("verify", "--recursive-errors=yes", "--man=no"), ("security", "--offline=true", "--threshold=20", "--no-pager")):
        done = subprocess.run(["systemd-analyze", *verb, path], capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_emulated_pi_waits_for_what_a_full_disk_is_reported_by() -> None:
    message = "the disk's free space has reached keep_free_mb"
    root = Path(__file__).resolve().parents[2]
    guest = root / "deploy/emulate/guest-service"
    if not guest.is_file():
        pytest.skip("deploy/emulate is not beside these tests; they run in a checkout")
    assert f'"{message}" in journal()' in guest.read_text()
    assert message in (root / "edgefuse/recording/recorder.py").read_text()
