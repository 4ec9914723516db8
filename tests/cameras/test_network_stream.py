"""Network cameras on loopback, through OpenCV's FFmpeg: frames and their capture times."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgefuse.cameras import Camera, camera
from edgefuse.cameras.camera_thread import CameraThread, Patience
from edgefuse.errors import CameraError, FrameError
from edgefuse.frames import Frame
from tests.cameras.rtsp import PASSWORD, RtspServer
from tests.cameras.servers import MjpegServer, noise
from tests.support.waiting import SECONDS, free_port, until

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg: apt-get install ffmpeg")


def opened(spec: str) -> Camera:
    """Open a camera as soon as its server listens."""
    errors: list[CameraError] = []

    def attempt() -> Camera | None:
        one = camera(spec)
        try:
            one.open()
        except CameraError as e:
            errors.append(e)
            return None
        return one

    stream_camera = until(attempt, lambda: f"{spec} to open: {errors[-1]}")
    assert stream_camera is not None
    return stream_camera


def numbered(k: int) -> np.ndarray:
    """Draw a picture that shows its number robustly against JPEG: four bits in the left half, four in the right."""
    picture = np.empty((48, 64, 3), np.uint8)
    picture[:, :32], picture[:, 32:] = 8 + 16 * (k % 16), 8 + 16 * (k // 16 % 16)
    return picture


def number(picture: np.ndarray) -> int:
    return int(picture[:, :32].mean()) // 16 + int(picture[:, 32:].mean()) // 16 * 16


def frames(one: Camera, count: int, came: list[int] | None = None) -> list[Frame]:
    """Return frames after the first second, whose frames are refused. came: receives each frame's arrival time (monotonic, ns)."""
    got: list[Frame] = []
    refused = 0
    while len(got) < count:
        try:
            frame = one.read(1)
        except FrameError as e:
            refused += e.cause == "start"
            continue
        assert frame is not None
        got.append(frame)
        if came is not None:
            came.append(time.monotonic_ns())
    assert refused > 0
    one.close()
    return got


def test_motion_jpeg_over_http_is_timed_by_arrival() -> None:
    came: list[int] = []
    with MjpegServer(25, numbered) as server:
        got = frames(opened(f"visible={server.url}"), 20, came)
        sending = [server.sending[number(frame.data)] for frame in got]
    assert got[0].data.shape == (48, 64, 3)
    # between sending and arrival, however long a busy machine takes for that
    assert all(sent < frame.time_ns <= there for sent, frame, there in zip(sending, got, came, strict=True))
    assert all(a.time_ns < b.time_ns for a, b in pairwise(got))


@pytest.fixture
def serve_raw() -> Iterator[Callable[[bytes, Callable[[int], bytes], float], str]]:
    """Serve one connection: a header, then frames."""
    stop = threading.Event()
    threads = []

    def serve(head: bytes, frame: Callable[[int], bytes], fps: float) -> str:
        listener = socket.create_server(("127.0.0.1", 0))

        def work() -> None:
            with listener, listener.accept()[0] as connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + head)
                k = 0
                while not stop.wait(1 / fps):
                    try:
                        connection.sendall(frame(k))
                    except OSError:
                        return
                    k += 1

        threads.append(threading.Thread(target=work, daemon=True))
        threads[-1].start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/thermal"

    yield serve
    stop.set()
    for thread in threads:
        thread.join(5)


def assert_sender_s_clock(got: list[Frame], fps: int) -> None:
    """Check that capture intervals equal the sender's to 20 microseconds (RTP counts in 90 kHz), more exact than any arrival.

    On a loaded machine a frame may have been replaced by the next, and one with a record low delay may have shifted the clock.
    """
    steps = [(b.time_ns - a.time_ns) * fps / 1e9 for a, b in pairwise(got)]
    assert all(step > 0 for step in steps), steps
    if hasattr(cv2, "CAP_PROP_PTS"):
        # older OpenCV does not give the sender's time
        assert sum(abs(step - round(step)) < 2e-5 * fps for step in steps) > len(steps) // 2, steps


def counts(k: int) -> np.ndarray:
    return np.random.default_rng(k).integers(0, 65536, (120, 160)).astype(np.uint16)


def test_16_bit_frames_are_bit_exact(serve_raw: Callable[..., str]) -> None:
    def frame(k: int) -> bytes:
        made = counts(k)
        made[0, 0] = k
        return b"FRAME\n" + made.astype("<u2").tobytes()

    url = serve_raw(b"YUV4MPEG2 W160 H120 F20:1 Ip A1:1 Cmono16\n", frame, 20)
    for got in frames(opened(f"infrared={url}"), 4):
        assert got.data.dtype == np.uint16
        k = int(got.data[0, 0])
        expected = counts(k)
        expected[0, 0] = k
        np.testing.assert_array_equal(got.data, expected)
        assert got.radiometry is not None
        assert got.radiometry.sensor == "generic-16"


def test_a_sensors_radiometry_for_a_stream(serve_raw: Callable[..., str]) -> None:
    raw = b"FRAME\n" + np.full((120, 160), 29815, "<u2").tobytes()
    url = serve_raw(b"YUV4MPEG2 W160 H120 F20:1 Ip A1:1 Cmono16\n", lambda k: raw, 20)
    (got,) = frames(opened(f"infrared={url}#sensor=lepton"), 1)
    assert got.radiometry is not None
    assert got.radiometry.celsius(float(got.data[0, 0])) == pytest.approx(25.0)


class Arrivals:
    """The `time` of a camera whose frames arrive `fps` times a second, each after the first up to 30 ms late."""

    def __init__(self, fps: int) -> None:
        self._fps, self._k, self._late = fps, -1, np.random.default_rng(0)

    def monotonic(self) -> float:
        return time.monotonic()

    def monotonic_ns(self) -> int:
        self._k += 1
        return 10**12 + round((self._k / self._fps + (0.03 * self._late.random() if self._k else 0)) * 1e9)


@needs_ffmpeg
def test_ffmpegs_timestamps_are_used_for_16_bit_nut(serve_raw: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["ffmpeg", "-loglevel", "error", "-nostdin", "-f", "lavfi", "-i", "testsrc2=s=160x120:r=9", "-pix_fmt", "gray16le",
               "-c:v", "rawvideo", "-frames:v", "40", "-f", "nut", "pipe:1"]  # fmt: skip
    sent = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=SECONDS).stdout
    monkeypatch.setattr("edgefuse.cameras.network_stream.time", Arrivals(9))
    got = frames(opened(f"infrared={serve_raw(sent, lambda k: b'', 20)}"), 24)
    assert {f.data.dtype for f in got} == {np.dtype(np.uint16)}
    assert {f.data.shape for f in got} == {(120, 160)}
    steps = [(b.time_ns - a.time_ns) * 9 / 1e9 for a, b in pairwise(got)]
    if hasattr(cv2, "CAP_PROP_PTS"):
        assert steps == pytest.approx([1] * 23, abs=1e-6)
    else:
        # older OpenCV does not give the sender's time
        assert all(step > 0.7 for step in steps), steps


@needs_ffmpeg
def test_rtsp_with_a_password_reconnects_and_never_shows_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "edgefuse")
    with RtspServer(tmp_path, "320x240", 15) as server:
        came = threading.Event()
        feed = CameraThread(camera(f"visible={server.url}"), came.set, Patience(first_retry=0.1, last_retry=0.3))
        feed.start()
        taken: list[Frame] = []

        def becomes(state: str, count: int = 0) -> None:
            deadline = time.monotonic() + SECONDS
            while feed.state != state or len(taken) < count:
                assert time.monotonic() < deadline, f"waited {SECONDS:g} s for the state {state} and {count} frames: {feed.report()}"
                came.wait(0.05)
                came.clear()
                for ticket in feed.take():
                    taken.append(ticket.frame)
                    ticket.settle(None)

        becomes("live", 10)
        assert taken[0].data.shape == (240, 320, 3)
        assert_sender_s_clock(taken, 15)
        server.down = True
        becomes("retrying")
        server.down = False
        becomes("live", len(taken) + 5)
        feed.close()
        report = feed.report()
    assert report["received"] == report["fused"] + sum(report["dropped"].values())
    assert report["camera"].startswith("rtsp://***@127.0.0.1")
    assert PASSWORD not in str(report) + caplog.text


def test_a_video_file_is_not_opened_with_the_streams_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENCV_FFMPEG_CAPTURE_OPTIONS", raising=False)
    with MjpegServer(25, noise(64, 48)) as server:
        opened(f"visible={server.url}").close()
    assert "OPENCV_FFMPEG_CAPTURE_OPTIONS" not in os.environ
    monkeypatch.setenv("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;udp")
    with pytest.raises(CameraError):
        camera(f"visible=http://127.0.0.1:{free_port()}/").open()
    assert os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] == "rtsp_transport;udp"


def test_a_wrong_address_gives_a_one_line_error_without_the_password() -> None:
    with pytest.raises(CameraError) as caught:
        camera(f"visible=rtsp://me:{PASSWORD}@127.0.0.1:{free_port()}/x?key={PASSWORD}").open()
    assert caught.value.cause == "missing"
    assert PASSWORD not in str(caught.value)
    assert "check that the camera is on, its address, user and password" in str(caught.value)
