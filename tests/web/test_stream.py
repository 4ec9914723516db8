"""The live stream: newest frame only, encoded once, never waiting for a viewer."""

from __future__ import annotations

import itertools
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPResponse
from typing import Any

import cv2
import numpy as np
import pytest

from edgefuse.frames import FusedFrame
from tests.support.waiting import until
from tests.web.conftest import DEADLINE_S, Served, raw_pair

connection = pytest.importorskip("edgefuse.web.connection")
Serve = Callable[..., Served]


def parts(answer: HTTPResponse) -> Iterator[tuple[str, str, bytes]]:
    """Yield (view, facts, JPEG) for each part of a body."""
    while (line := answer.readline()).startswith(b"--edgefuse") and not line.startswith(b"--edgefuse--"):
        head: dict[str, str] = {}
        while (line := answer.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode().partition(":")
            head[name] = value.strip()
        yield head["X-View"], head["X-Frame"], answer.read(int(head["Content-Length"]))
        assert answer.read(2) == b"\r\n"


def decoded(jpeg: bytes) -> np.ndarray[Any, Any]:
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_UNCHANGED)


def test_the_stream_shows_frames_as_they_come(serve: Serve, frames: list[FusedFrame]) -> None:
    page = serve(fps=100.0, quality=95)
    page.live.write(frames[0])
    with page.ask("GET", "/stream.mjpg") as answer:
        assert answer.headers["Content-Type"] == "multipart/x-mixed-replace; boundary=edgefuse"
        stream = parts(answer)
        for k, fused in enumerate(frames):
            if k:
                page.live.write(fused)
            view, facts, jpeg = next(stream)
            assert view == "fused"
            assert f'"frame": {k + 1}' in facts
            assert np.abs(decoded(jpeg).astype(int) - fused.data).mean() < 6
    assert page.web.report()["pictures_encoded"] == len(frames)


def test_several_views_show_the_same_frame(serve: Serve, frames: list[FusedFrame]) -> None:
    page = serve(fps=120.0)
    page.feed(frames)
    with page.ask("GET", "/stream.mjpg?view=fused,infrared:ironbow,map,visible") as answer:
        stream = parts(answer)
        for _ in range(5):
            group = [next(stream) for _ in range(4)]
            assert [view for view, _, _ in group] == ["fused", "infrared:ironbow", "map", "visible"]
            assert len({facts for _, facts, _ in group}) == 1
            assert {decoded(jpeg).shape[:2] for _, _, jpeg in group} == {(80, 96)}


def test_frames_are_encoded_once_for_all_clients_and_not_without_clients(serve: Serve, frames: list[FusedFrame]) -> None:
    page = serve(clients=12, fps=120.0)
    for fused in frames:
        page.live.write(fused)
    answers = [page.ask("GET", "/stream.mjpg") for _ in range(10)]
    streams = [parts(answer) for answer in answers]
    assert all('"frame": 4' in next(stream)[1] for stream in streams)
    assert page.web.report()["pictures_encoded"] == 1
    page.live.write(frames[0])
    for stream in streams:
        assert '"frame": 5' in next(stream)[1]
    assert page.web.report()["pictures_encoded"] == 2
    for answer in answers:
        answer.close()
    until(lambda: page.web.report()["viewers"] == 0, "the viewer to be gone")
    for fused in frames * 5:
        page.live.write(fused)
    assert page.json("/healthz")["frames"] == 25
    assert page.web.report()["pictures_encoded"] == 2


def test_the_frame_rate_limit(serve: Serve, frames: list[FusedFrame]) -> None:
    begin = time.monotonic()
    page = serve(fps=5.0)
    page.feed(frames)
    with page.ask("GET", "/stream.mjpg") as answer:
        stream = parts(answer)
        for _ in range(8):
            next(stream)
        made = page.web.report()["pictures_encoded"]
        # a loaded machine makes fewer, never more
        assert 8 <= made <= 5 * (time.monotonic() - begin) + 1


def test_viewers_beyond_the_limit_get_503_until_another_leaves(serve: Serve, frames: list[FusedFrame]) -> None:
    page = serve(clients=2)
    page.live.write(frames[0])
    first, second = page.ask("GET", "/stream.mjpg"), page.ask("GET", "/stream.mjpg")
    next(parts(first)), next(parts(second))
    with page.ask("GET", "/stream.mjpg") as third:
        assert third.status == 503
        assert b"raise clients in [web]" in third.read()
    first.close()
    until(lambda: page.web.report()["viewers"] == 1, "one viewer")
    with page.ask("GET", "/stream.mjpg") as again:
        assert again.status == 200
    second.close()


def test_simultaneous_viewers_do_not_exceed_the_limit(serve: Serve, frames: list[FusedFrame]) -> None:
    page = serve(clients=3)
    page.live.write(frames[0])
    crowd = [socket.create_connection(page.address, DEADLINE_S) for _ in range(12)]
    for sock in crowd:
        sock.sendall(b"GET /stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answers = [sock.recv(12) for sock in crowd]
    assert answers.count(b"HTTP/1.1 200") == 3
    assert answers.count(b"HTTP/1.1 503") == 9
    for sock in crowd:
        sock.close()


def test_a_client_that_does_not_read_is_closed_and_delays_nobody(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "WRITE_S", 4.0)
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    grey = np.ascontiguousarray(noise[..., 0])
    frames = [FusedFrame(np.roll(noise, k), raw_pair(grey, noise)) for k in range(3)]
    page = serve(fps=120.0, quality=95)
    page.feed(frames)
    stalled = []
    for _ in range(3):
        sock = socket.create_connection(page.address, DEADLINE_S)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.sendall(b"GET /stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
        stalled.append(sock)
    until(lambda: page.web.report()["viewers"] == 3, "three viewers")
    with page.ask("GET", "/stream.mjpg") as answer:
        stream = parts(answer)
        numbers = [int(re.findall(r'"frame": (\d+)', next(stream)[1])[0]) for _ in range(10)]
        assert numbers == sorted(set(numbers))
        until(lambda: next(stream) and page.web.report()["viewers"] == 1, "all viewers but one to be gone")
    for sock in stalled:
        sock.close()


def test_a_slow_reader_gets_the_newest_picture_not_the_next(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "WRITE_S", 60.0)
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    fused = FusedFrame(noise, raw_pair(np.ascontiguousarray(noise[..., 0]), noise))
    page = serve(fps=120.0, quality=95)
    page.feed([fused])
    with socket.socket() as sock:
        # data buffered by the network does not count
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        sock.settimeout(DEADLINE_S)
        sock.connect(page.address)
        sock.sendall(b"GET /stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = HTTPResponse(sock, method="GET")
        answer.begin()
        stream = parts(answer)
        next(stream)
        count = page.live.newest[0] if page.live.newest else 0
        until(lambda: page.live.newest and page.live.newest[0] > count + 100, "a hundred frames")
        numbers = [int(re.findall(r'"frame": (\d+)', next(stream)[1])[0]) for _ in range(4)]
        answer.close()
    # a picture is larger than the buffers, so one was in transit; the next must be the newest
    assert max(b - a for a, b in itertools.pairwise(numbers)) > 50


@pytest.mark.parametrize(
    "query", ["view=nothing", "view=fused:ironbow", "view=infrared:pink", "view=", "view=fused,,map", "view=" + "fused," * 50]
)
def test_an_unknown_view_gets_the_list_of_views(serve: Serve, query: str) -> None:
    status, body = serve().get(f"/stream.mjpg?{query}")
    assert status == 400
    assert b"choose from fused, visible, infrared, map" in body


def test_head_returns_no_stream(serve: Serve) -> None:
    page = serve()
    with page.ask("HEAD", "/stream.mjpg") as answer:
        assert answer.status == 200
        assert answer.read() == b""
    assert page.web.report()["viewers"] == 0


def test_closing_ends_streams_and_threads_and_frees_the_port(serve: Serve, frames: list[FusedFrame]) -> None:
    before = set(threading.enumerate())
    page = serve()
    page.feed(frames)
    with page.ask("GET", "/stream.mjpg") as answer:
        stream = parts(answer)
        next(stream)
        page.close()
        assert sum(1 for _ in stream) < 50
    until(lambda: set(threading.enumerate()) <= before, "the end of all threads")
    socket.create_server(page.address).close()
    page.web.close()


def test_a_port_in_use_is_retried(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    import edgefuse.web

    monkeypatch.setattr(edgefuse.web, "_RETRY_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        page = serve(listen=f"127.0.0.1:{port}")
        assert "cannot serve on" in page.web.report()["trouble"]
    until(lambda: page.web.report()["trouble"] == "", "the end of the trouble")
    assert page.get("/healthz")[0] == 503
