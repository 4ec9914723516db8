"""The installer's command line and the rules that it installs; ./scripts/test-on-pi runs it on an emulated Raspberry Pi."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from edgefuse.thermal import supported_cameras

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
pytestmark = pytest.mark.skipif(not DEPLOY.is_dir(), reason="deploy/ is not beside these tests; they run in a checkout")


def install(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([DEPLOY / "install.sh", *arguments], capture_output=True, text=True, check=False, timeout=120)


def test_it_says_what_it_would_do() -> None:
    done = install("--help")
    assert done.returncode == 0
    for option in ("--wheels", "--from", "--extras", "--no-start", "--uninstall", "--purge"):
        assert option in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--wheel", "x"), "unknown option --wheel; see --help"),
        (("--wheels",), "--wheels needs a value; see --help"),
        (("--wheels", "/nowhere/at/all"), "--wheels /nowhere/at/all: there is no such folder"),
        (("--purge",), "--purge goes with --uninstall"),
    ],
)
def test_a_wrong_option_is_told_in_a_line_before_anything_is_touched(arguments: tuple[str, ...], said: str) -> None:
    done = install(*arguments)
    assert (done.returncode, done.stderr) == (2, f"install.sh: {said}\n")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may")
def test_it_needs_root() -> None:
    done = install()
    assert (done.returncode, done.stderr) == (2, "install.sh: needs root; run it again with sudo\n")


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="needs shellcheck")
def test_shellcheck_finds_nothing() -> None:
    done = subprocess.run(["shellcheck", DEPLOY / "install.sh"], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout


def test_the_rules_name_every_known_sensor() -> None:
    rules = re.findall(
        r'idVendor\}=="(\w+)", ATTRS\{idProduct\}=="(\w+)", ENV\{EDGEFUSE_CAMERA\}="([\w-]+)"', (DEPLOY / "70-edgefuse.rules").read_text()
    )
    known = {(*usb.split(":"), sensor.name) for sensor in supported_cameras.SENSORS for usb in sensor.usb_ids}
    assert set(rules) == known
