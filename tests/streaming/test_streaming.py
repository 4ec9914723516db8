"""The attachment in a run, with real servers on loopback that start, stop and hang."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from edgefuse.errors import InputError
from edgefuse.settings.stream import StreamSettings
from edgefuse.streaming import Streaming
from edgefuse.streaming.sending import StreamingJob
from edgefuse.telemetry.live import Info, Live
from edgefuse.util import compiled
from tests.ffmpeg.pictures import fused, needs_ffmpeg, numbers, probe
from tests.streaming.servers import GstServer, Listener, Publishing
from tests.support.waiting import joined, until

pytestmark = needs_ffmpeg


class Bench:
    """A stream, its Live, and a live source of 25 Hz."""

    def __init__(self, **settings: Any) -> None:
        self.live, self.told = Live(dict), []
        self.live.listen(self.told.append)
        self.streaming = Streaming(StreamSettings(**settings), self.live, Info("test", 25, True, {}))
        self._stop, self.count = threading.Event(), 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.04):
            self.live.write(fused(self.count % 4096, self.count * 40_000_000))
            self.count += 1

    @property
    def report(self) -> dict[str, Any]:
        return self.streaming.report()

    @property
    def states(self) -> list[Any]:
        return [e.facts["state"] for e in self.told if (e.kind, e.name) == ("sink", "stream")]

    def sent(self, more: int = 20) -> None:
        """Wait until `more` further frames were sent."""
        before = self.report["frames"]["sent"]
        until(lambda: self.report["frames"]["sent"] >= before + more, "more frames to be sent")

    def accounted(self) -> dict[str, int]:
        self._stop.set()
        joined(self._thread, "the source")
        self.streaming.close()
        frames: dict[str, int] = self.report["frames"]
        assert frames["seen"] == self.count == frames["sent"] + frames["dropped"] + frames["lost"]
        return frames


@pytest.fixture
def bench() -> Iterator[Callable[..., Bench]]:
    with ExitStack() as stack:

        def make(**settings: Any) -> Bench:
            made = Bench(**settings)
            stack.callback(made.accounted)
            return made

        yield make


@pytest.mark.parametrize("kind", ["rtmp", "srt"])
def test_frames_arrive_in_order(bench: Callable[..., Bench], tmp_path: Path, kind: str) -> None:
    with Listener(kind, tmp_path / "got.mkv") as server:
        b = bench(url=server.url, keyframe_s=0.5)
        b.sent(40)
        b.accounted()
        server.wait()
    received = numbers(tmp_path / "got.mkv")
    assert len(received) >= 30
    assert received == sorted(set(received))
    assert probe(tmp_path / "got.mkv")["streams"][0]["codec_name"] == "h264"
    assert b.states[-1] == "streaming"
    assert b.report["encoder"] in ("libx264", "h264_v4l2m2m")


def test_an_rtsp_server_receives_the_stream(bench: Callable[..., Bench], tmp_path: Path) -> None:
    if not GstServer.is_here():
        pytest.skip("needs GStreamer's RTSP server (apt install python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-good)")
    path = tmp_path / "got.h264"
    with GstServer(path) as server:
        b = bench(url=server.url, keyframe_s=0.5)
        b.sent(40)
        until(lambda: path.exists() and path.stat().st_size, "the server writing the stream")
        b.accounted()
    received = numbers(path)
    assert len(received) >= 30
    assert received == sorted(set(received))


def test_a_restarted_server_gets_the_stream_again(bench: Callable[..., Bench], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with Publishing("me", "S3c/ret") as server:
        b = bench(url=f"rtsp://{server.place}", user="me", password="S3c/ret")
        b.sent()
        until(lambda: server.packets > 10, "ten packets at the server")
        assert "H264" in server.sdp
        server.cut()
        until(lambda: b.states[-1] == "reconnecting", "the state reconnecting")
        server.down = False
        b.sent()
        assert server.connections >= 2
        assert b.states[:3] == ["streaming", "reconnecting", "streaming"]
        assert b.report["reconnects"] >= 1
        assert b.accounted()["lost"] > 0
        everything = caplog.text + repr([e.facts for e in b.told]) + repr(b.report)
        assert "S3c" not in everything
        assert f"rtsp://{server.place}" in everything


def test_the_password_is_in_no_process_s_arguments(bench: Callable[..., Bench]) -> None:
    if not Path("/proc/self/cmdline").exists():
        pytest.skip("needs /proc")
    if compiled.library() is None:
        pytest.skip("there is no compiled core; a warning says that the password can be seen")
    secret = f"S3c-{os.getpid()}-ret"
    with Publishing("me", secret) as server:
        b = bench(url=f"rtsp://{server.place}", user="me", password=secret)
        b.sent()
        pid = b.streaming._encoder_thread.pid
        shown = {}
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            # some end meanwhile
            with contextlib.suppress(OSError):
                shown[path.parent.name] = path.read_bytes()
    assert b"-rtsp_transport" in shown[str(pid)]
    assert [line for line in shown.values() if secret.encode() in line] == []


def test_a_wrong_password_is_reported_but_not_shown(bench: Callable[..., Bench]) -> None:
    with Publishing("me", "right") as server:
        b = bench(url=f"rtsp://{server.place}", user="me", password="S3cret")
        until(lambda: b.report["trouble"], "the trouble with the password")
        assert "401" in b.report["trouble"]
        assert "S3cret" not in b.report["trouble"]
        assert b.report["state"] == "connecting"


def test_a_silent_server_is_reconnected(bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StreamingJob, "send_s", 1.0)
    with Publishing("me", "x") as server:
        server.silent = True
        b = bench(url=f"rtsp://{server.place}", user="me", password="x")
        until(lambda: b.report["reconnects"] >= 2, "two attempts to connect again")
        before = b.count
        # the source kept running meanwhile
        until(lambda: b.count > before + 5, "the source going on")
        assert "takes no frames" in b.report["trouble"]
        server.cut()
        server.silent, server.down = False, False
        monkeypatch.setattr(StreamingJob, "send_s", 20.0)
        b.sent()


def test_a_missing_server_affects_only_the_stream(bench: Callable[..., Bench]) -> None:
    b = bench(url="rtsp://127.0.0.1:9/none")
    until(lambda: b.report["reconnects"] >= 2, "two attempts to connect again")
    assert b.states == ["reconnecting"]
    assert b.accounted()["sent"] == 0


def test_no_ffmpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match="apt install ffmpeg"):
        Bench(url="rtsp://host/x")
