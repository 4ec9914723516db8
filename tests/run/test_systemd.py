"""Signals, and notifications to systemd: READY with the first written frame, the watchdog only while frames are written, STOPPING."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgefuse.run.systemd import Heartbeat, stop_on_signals
from tests.support.processes import ended, killed
from tests.support.waiting import SECONDS, datagram

FROZEN = Path(__file__).resolve().parents[1] / "frozen"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_stops_and_handlers_are_restored(number: signal.Signals) -> None:
    before, stops = signal.getsignal(number), []
    with stop_on_signals(lambda: stops.append(1)) as received:
        os.kill(os.getpid(), number)
        assert received == [number.name]
    assert stops == [1]
    assert signal.getsignal(number) is before


def test_a_second_interrupt_raises_keyboard_interrupt() -> None:
    with stop_on_signals(lambda: None):
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    """The receiving end of NOTIFY_SOCKET."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(str(tmp_path / "notify"))
        s.settimeout(SECONDS)
        yield s


def _start(systemd: socket.socket, *args: str) -> subprocess.Popen[bytes]:
    path = os.pathsep.join(filter(None, (str(FROZEN), os.environ.get("PYTHONPATH"))))
    env = os.environ | {"NOTIFY_SOCKET": systemd.getsockname(), "PYTHONPATH": path}
    command = [sys.executable, "-m", "edgefuse", "run", "--model", "blend-classic", *args]
    return subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


@pytest.mark.pi
def test_ready_then_watchdog_then_stopping(systemd: socket.socket) -> None:
    process = _start(systemd, "--source", "demo?frames=0&size=96x80")
    assert datagram(systemd, "READY").decode().splitlines()[:2] == ["READY=1", "WATCHDOG=1"]
    assert datagram(systemd, "the watchdog's food").decode().splitlines()[0] == "WATCHDOG=1"
    process.terminate()
    while (told := datagram(systemd, "STOPPING")) != b"STOPPING=1":
        assert b"READY" not in told
    _, errors = ended(process, "the run to stop")
    assert (process.returncode, errors) == (0, b"")


@pytest.mark.pi
def test_a_frozen_source_sends_no_watchdog(systemd: socket.socket) -> None:
    process = _start(systemd, "--source", "frozen?frames=3")
    try:
        assert datagram(systemd, "READY").startswith(b"READY=1\n")
        systemd.settimeout(3 * Heartbeat.INTERVAL_S)
        # on a busy machine a second may pass before the third frame, the last one
        with pytest.raises(TimeoutError):  # noqa: PT012
            for _ in range(3):
                systemd.recv(1000)
        assert process.poll() is None
    finally:
        killed(process)


def test_lost_frames_send_no_watchdog(systemd: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", systemd.getsockname())
    monkeypatch.setattr(Heartbeat, "INTERVAL_S", 0.0)
    systemd.settimeout(0.2)
    heartbeat = Heartbeat()
    for frames in (0, 1, 1, 2):
        heartbeat.beat(frames)
    assert systemd.recv(1000) == b"READY=1\nWATCHDOG=1\nSTATUS=1 frames fused"
    assert systemd.recv(1000) == b"WATCHDOG=1\nSTATUS=2 frames fused"
    with pytest.raises(TimeoutError):
        systemd.recv(1000)


def test_a_missing_systemd_socket_is_no_error(systemd: socket.socket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for address in (str(tmp_path / "nobody"), "@nobody-there"):
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        Heartbeat().beat(1)
    monkeypatch.delenv("NOTIFY_SOCKET")
    Heartbeat().beat(1)


def test_ready_is_sent_until_it_arrives(systemd: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it systemd ends the service after two minutes."""
    monkeypatch.setenv("NOTIFY_SOCKET", f"{systemd.getsockname()}-absent")
    monkeypatch.setattr(Heartbeat, "INTERVAL_S", 0.0)
    heartbeat = Heartbeat()
    heartbeat.beat(1)
    monkeypatch.setenv("NOTIFY_SOCKET", systemd.getsockname())
    heartbeat.beat(1)
    assert systemd.recv(1000).startswith(b"READY=1\nWATCHDOG=1\n")
    with heartbeat.reloading():
        assert systemd.recv(1000).startswith(b"RELOADING=1\n")
        monkeypatch.setenv("NOTIFY_SOCKET", f"{systemd.getsockname()}-absent")
    monkeypatch.setenv("NOTIFY_SOCKET", systemd.getsockname())
    heartbeat.beat(2)
    assert systemd.recv(1000).startswith(b"READY=1\nWATCHDOG=1\n")
