"""Shared fixtures: small pairs from the demo source, and the command line as a real subprocess."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import pytest
from hypothesis import settings

import edgefuse
from edgefuse.util import secrets
from edgefuse.util.native_stderr import native_stderr
from tests.support.warm import Warm

# a test must not fail because the machine is busy
settings.register_profile("edgefuse", deadline=None)
settings.load_profile("edgefuse")

# OpenCV reads FFmpeg's log level once in a process: a command that a test runs in this one must not hide damage from later tests
for variable in ("OPENCV_FFMPEG_LOGLEVEL", "OPENCV_FFMPEG_DEBUG"):
    os.environ.pop(variable, None)
with native_stderr():
    cv2.VideoCapture("", cv2.CAP_FFMPEG)

# a shell sets SIGINT to be ignored in background jobs, and the processes that tests interrupt would inherit that
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    # here and not in pyproject.toml, because the tests also run with an installed wheel
    config.addinivalue_line("markers", "pi: run by ./scripts/test-on-pi on an emulated Raspberry Pi, too")
    config.addinivalue_line("markers", "slow: by nature (kill series, clusters, measurements); run by ./scripts/test --all, .ci/run")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.pluginmanager.hasplugin("timeout"):
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.timeout(1200))


Run = Callable[..., subprocess.CompletedProcess[str]]
COMMAND_S = 120.0  # time limit of a command


@pytest.fixture(autouse=True)
def state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Store choices of bench --tune in a temporary folder, so that no test reads or changes this user's."""
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / ".state"))
    return tmp_path / ".state/edgefuse"


@pytest.fixture(autouse=True)
def no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the secrets that a test's settings hold, which would be hidden in the next test's text."""
    monkeypatch.setattr(secrets, "_known", frozenset())
    monkeypatch.setattr(secrets, "_pattern", None)


@pytest.fixture(scope="session")
def demo_pairs() -> list[edgefuse.FramePair]:
    """Four pairs of 96 x 80 pixels, so small that the network takes little time."""
    with edgefuse.open_source("demo?size=96x80&frames=4&scene=day") as source:
        return [pair for _ in range(4) if (pair := source.read()) is not None]


@pytest.fixture
def pairs_folder(tmp_path: Path, demo_pairs: list[edgefuse.FramePair]) -> Path:
    """A folder of visible/ and infrared/ PNGs, 0.png to 3.png."""
    root = tmp_path / "pairs"
    for k, pair in enumerate(demo_pairs):
        for frame in (pair.visible, pair.infrared):
            path = root / frame.modality / f"{k}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), frame.data)
    return root


@pytest.fixture(scope="session")
def warm() -> Iterator[Warm | None]:
    """The server that starts commands quickly; None with EDGEFUSE_TESTS_COLD=1, where each starts a new interpreter."""
    if os.environ.get("EDGEFUSE_TESTS_COLD"):
        yield None
        return
    server = Warm()
    yield server
    server.close()


@pytest.fixture
def run(tmp_path: Path, warm: Warm | None) -> Run:
    """A function that runs `python -m edgefuse ARGS` in an empty folder and captures its output."""

    def call(*args: object, python_path: Path | None = None) -> subprocess.CompletedProcess[str]:
        if warm and not python_path:
            return warm.run([str(a) for a in args], tmp_path, COMMAND_S)
        env = os.environ | ({"PYTHONPATH": f"{python_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"} if python_path else {})
        command = [sys.executable, "-W", "error", "-m", "edgefuse", *map(str, args)]
        return subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_S, cwd=tmp_path, env=env, check=False)

    return call


def one_line(text: str) -> str:
    """Return the single line of `text`. Fails if there is none, more than one, or a traceback."""
    lines = text.splitlines()
    assert len(lines) == 1, text
    assert "Traceback" not in text
    return lines[0]
