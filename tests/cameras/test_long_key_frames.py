"""A network camera that sends a key frame rarely: the wait for the first one is no silence, and a still scene no fault."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import cv2
import pytest

from edgefuse.board.libraries import opencv_ignores_ffmpeg_options
from edgefuse.cameras import camera
from edgefuse.cameras.camera_thread import CameraThread
from edgefuse.errors import CameraError
from tests.support.processes import killed
from tests.support.waiting import SECONDS

pytestmark = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg: apt-get install ffmpeg")
FPS, KEY_S = 10, 7  # longer than the 5 s after which a camera is silent


@contextmanager
def still_camera() -> Iterator[tuple[str, threading.Event]]:
    """Serve H.264 of a scene in which nothing moves, as MPEG-TS over HTTP, to each client from the moment it joins.

    Yields the URL, and an event that is set once the first key frame is past, so that the next client has to wait for the second.
    """
    command = ["ffmpeg", "-loglevel", "error", "-nostdin", "-re", "-f", "lavfi", "-i",
               f"color=0x303030:s=160x120:r={FPS}", "-c:v", "libx264",
               "-tune", "zerolatency", "-preset", "ultrafast", "-g", str(FPS * KEY_S), "-sc_threshold", "0", "-f", "mpegts",
               "-flush_packets", "1", "-muxdelay", "0", "pipe:1"]  # fmt: skip
    clients: list[socket.socket] = []
    past = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "video/mp2t")
            self.end_headers()
            clients.append(self.connection)
            done.wait()

    done = threading.Event()
    encoder = subprocess.Popen(command, stdout=subprocess.PIPE)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def relay() -> None:
        began = None
        while data := encoder.stdout.read(188):  # type: ignore[union-attr]
            began = began or time.monotonic()
            if time.monotonic() - began > 1:
                past.set()
            for client in list(clients):
                try:
                    client.sendall(data)
                except OSError:
                    clients.remove(client)

    threads = [threading.Thread(target=work, daemon=True) for work in (relay, server.serve_forever)]
    for thread in threads:
        thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", past
    finally:
        done.set()
        killed(encoder)
        server.shutdown()
        server.server_close()
        for thread in threads:
            thread.join(5)


@pytest.mark.slow
def test_the_wait_for_a_key_frame_is_no_silence_and_a_still_scene_no_fault() -> None:
    with still_camera() as (url, past):
        assert past.wait(SECONDS)
        came = threading.Event()
        feed = CameraThread(camera(f"infrared={url}"), came.set)
        feed.start()
        deadline, taken, times = time.monotonic() + SECONDS, 0, []
        # longer than the 4 s after which a sensor's repeated picture is a fault
        while taken < 5 * FPS:
            assert time.monotonic() < deadline, f"waited {SECONDS:g} s for frames: {feed.report()}"
            came.wait(0.05)
            came.clear()
            for ticket in feed.take():
                taken += 1
                times.append(ticket.frame.time_ns)
                ticket.settle(None)
        feed.close()
        report = feed.report()
    assert not report["faults"]
    assert next(c["state"] for c in report["last_state_changes"] if c["state"] != "held") == "live"
    assert {c["state"] for c in report["last_state_changes"]} <= {"live", "held"}
    assert set(report["dropped"]) <= {"start", "stopped"}
    assert report["received"] == report["fused"] + sum(report["dropped"].values())


def test_a_camera_that_waits_for_a_key_frame_stops_at_once() -> None:
    with still_camera() as (url, past):
        assert past.wait(SECONDS)
        feed = CameraThread(camera(f"visible={url}"), lambda: None)
        feed.start()
        time.sleep(0.5)
        begin = time.monotonic()
        feed.close()
        assert not feed._worker.alive
        # well before the next key frame, whatever the processor does
        assert time.monotonic() - begin < KEY_S - 2
        assert not feed.faults


def test_a_camera_that_sends_nothing_is_silent_after_five_seconds() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        begin = time.monotonic()
        with pytest.raises(CameraError):
            camera(f"visible=http://127.0.0.1:{listener.getsockname()[1]}/").open()
        # OpenCV 4.11 ignores the limit, and waits for 30 s
        assert 4 < time.monotonic() - begin < (60 if opencv_ignores_ffmpeg_options(cv2.__version__) else 25)
