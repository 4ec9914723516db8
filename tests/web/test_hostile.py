"""Malicious clients: they lose their own connection, and the page keeps serving everybody else."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import logging
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from edgefuse.frames import FusedFrame
from tests.support.waiting import joined, signalled
from tests.web import hostile
from tests.web.conftest import DEADLINE_S, TOKEN, Served

connection = pytest.importorskip("edgefuse.web.connection")
acceptor = pytest.importorskip("edgefuse.web.acceptor")
connection_limits = pytest.importorskip("edgefuse.web.connection_limits")
Serve = Callable[..., Served]
_GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"


def ended(sock: socket.socket) -> bool:
    """Return whether the other side closes the connection within DEADLINE_S."""
    sock.settimeout(DEADLINE_S)
    try:
        while sock.recv(65536):
            pass
    except ConnectionError:
        pass
    return True


@pytest.mark.parametrize(
    "begin", [b"", b"GET", _GET, _GET + b"X: y\r\n", b"POST /record HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{"]
)
def test_an_unfinished_request_is_closed_at_its_deadline(serve: Serve, monkeypatch: pytest.MonkeyPatch, begin: bytes) -> None:
    monkeypatch.setattr(connection, "REQUEST_S", 0.3)
    page = serve()
    with socket.create_connection(page.address) as sock:
        sock.sendall(begin)
        assert ended(sock)


def test_trickling_bytes_does_not_extend_the_deadline(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "REQUEST_S", 1.0)
    page = serve()
    deadline = time.monotonic() + DEADLINE_S
    with socket.create_connection(page.address) as sock:
        sock.sendall(_GET)
        try:
            while time.monotonic() < deadline:
                sock.sendall(b"X: y\r\n")
                time.sleep(0.05)
        except ConnectionError:
            return
    pytest.fail("the connection stays open")


def test_slowloris_does_not_lock_others_out(serve: Serve) -> None:
    page = serve(clients=1)
    slow = [socket.create_connection(page.address) for _ in range(150)]
    for sock in slow[:100]:
        try:
            sock.sendall(_GET)
        except ConnectionError:
            continue
    for _ in range(5):
        assert page.get("/healthz")[0] == 503
    for sock in slow:
        sock.close()


def test_an_endless_body_is_not_read(serve: Serve) -> None:
    page = serve()
    page.live.register_command("record", dict)
    with socket.create_connection(page.address, DEADLINE_S) as sock:
        sock.sendall(b"POST /record HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            for _ in range(100):
                sock.sendall(b"400\r\n" + b"x" * 1024 + b"\r\n")
        except ConnectionError:
            return
        assert b" 413 " in sock.recv(100)


def test_garbage_after_a_request_does_not_affect_other_clients(
    serve: Serve, frames: list[FusedFrame], caplog: pytest.LogCaptureFixture
) -> None:
    page = serve()
    page.live.write(frames[0])
    for path in (b"/healthz", b"/stream.mjpg", b"/picture.png", b"/report.json"):
        for garbage in (b"zz\r\n", b"-1\r\n\r\n"):
            hostile.attack(page.address, b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + garbage)
            with socket.create_connection(page.address, DEADLINE_S) as sock:
                sock.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
                assert sock.recv(20).startswith(b"HTTP/1.1 ")
                sock.sendall(garbage)
                assert ended(sock)
    assert page.get("/state.json")[0] == 200
    assert caplog.text == ""


def test_too_large_headers_are_refused(serve: Serve) -> None:
    page = serve()
    for head in (b"X: " + b"y" * 100_000 + b"\r\n", b"X: y\r\n" * 20_000, b"Cookie: " + b"a=b; " * 20_000 + b"\r\n"):
        answer = hostile.attack(page.address, _GET + head + b"\r\n")
        assert hostile.status(answer) in (400, 431)
    assert hostile.status(hostile.attack(page.address, b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")) == 414


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "//etc/passwd",
        "/page.html",
        "/..%5c..%5cx",
        "/%00",
        "/picture.png/../../etc/passwd",
        "/picture.png/",
    ],
)
def test_no_path_is_a_file(serve: Serve, path: str) -> None:
    assert serve().get(path)[0] == 404


@pytest.mark.parametrize("token", [None, TOKEN])
def test_malformed_requests_are_rejected_and_others_still_served(
    serve: Serve, frames: list[FusedFrame], token: str | None, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_limits, "WRONG_S", 0.0)
    monkeypatch.setattr(connection_limits, "_LONGEST_S", 0.0)
    caplog.set_level(logging.INFO)
    page = serve(token=token)
    asked: list[object] = []
    page.live.register_command("record", lambda given: (asked.append(given), {})[1])
    page.live.write(frames[0])
    statuses: dict[int | None, int] = {}
    attacks = hostile.requests(7)
    for _ in range(400):
        raw = next(attacks)
        answer = hostile.attack(page.address, raw)
        code = hostile.status(answer)
        statuses[code] = statuses.get(code, 0) + 1
        assert b"root:" not in answer
        assert code not in (200, 303) or token is None, raw
        # prometheus_client may not be installed
        assert code != 500 or b"/metrics" in raw, raw
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    assert page.get("/state.json", **headers)[0] == 200
    assert statuses.get(400, 0) > 20
    assert len(statuses) >= (4 if token else 6)
    assert all(given in ({"on": True}, {"on": False}) for given in asked)
    assert not token or not asked
    assert "Traceback" not in caplog.text


def test_a_hanging_command_blocks_neither_picture_nor_state(
    serve: Serve, frames: list[FusedFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    from edgefuse.web import app

    monkeypatch.setattr(app, "_COMMAND_TIMEOUT_S", 0.2)
    page, go = serve(), threading.Event()
    page.live.register_command("record", lambda _: {"waited": go.wait(DEADLINE_S)})
    page.live.write(frames[0])
    with page.ask("POST", "/record", b'{"on": true}', Content_Type="application/json") as answer:
        assert answer.status == 504
    assert page.get("/state.json")[0] == page.get("/picture.png")[0] == 200
    assert page.json("/healthz")["frames"] == 1
    go.set()


class Attackers(threading.Thread):
    """`count` connections at once, each of one kind, opened again whenever it is closed, until `close`."""

    def __init__(self, address: tuple[str, int], count: int) -> None:
        super().__init__(name="attackers")
        self._address, self._count = address, count
        self._loop = asyncio.new_event_loop()
        self._over = False
        self.begun, self.answered, self.opened = threading.Event(), 0, 0

    def run(self) -> None:
        self._loop.run_until_complete(self._attack())
        self._loop.close()

    async def _attack(self) -> None:
        kinds = (self._guess, self._slow, self._stall, self._anonymous)
        tasks = [asyncio.create_task(self._again(kinds[k % len(kinds)])) for k in range(self._count)]
        await asyncio.sleep(1)
        self.begun.set()
        while not self._over:
            await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _again(self, kind: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> None:
        while True:
            try:
                reader, writer = await asyncio.open_connection(*self._address)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            self.opened += 1
            try:
                with contextlib.suppress(OSError):
                    await kind(reader, writer)
            finally:
                writer.transport.abort()

    async def _guess(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(_GET + b"Authorization: Bearer wrong\r\n\r\n")
            if not await reader.read(4096):
                return
            self.answered += 1

    async def _slow(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for byte in _GET + b"X: " + b"y" * 5000:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.1)

    async def _stall(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def _anonymous(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(_GET.replace(b"/healthz", b"/report.json") + b"\r\n")
            if not await reader.read(4096):
                return

    def close(self) -> None:
        self._over = True
        joined(self, "the attackers' end")


def test_hundreds_of_hostile_connections_do_not_keep_out_who_has_the_token(serve: Serve, frames: list[FusedFrame]) -> None:
    page = serve(token=TOKEN)
    page.live.write(frames[0])
    attackers = Attackers(page.address, 200)
    attackers.start()
    try:
        signalled(attackers.begun, "the attack")
        statuses = []
        for _ in range(100):
            page.live.write(frames[0])
            with contextlib.suppress(OSError, http.client.HTTPException):
                statuses.append(page.get("/healthz", Authorization=f"Bearer {TOKEN}")[0])
    finally:
        attackers.close()
    assert statuses.count(200) >= 99
    assert attackers.opened >= 200


def test_wrong_tokens_are_answered_ever_later_and_never_more_than_twenty_a_second_in_all() -> None:
    now = [100.0]
    kept = connection_limits.ConnectionLimits(300, lambda: now[0])
    delays = [kept._delay_s("10.0.0.1") for _ in range(200)]
    assert delays[:50] == [0.0] * 50
    assert delays == sorted(delays)
    # 10 a second to one address
    assert delays[149] == pytest.approx(9.9)
    # another address has its own pace, until all together are too many
    assert kept._delay_s("10.0.0.2") == 0.0
    for k in range(5000):
        kept._delay_s(f"10.1.{k // 250}.{k % 250}")
    assert kept._delay_s("10.0.0.3") == pytest.approx(30.0, abs=0.1)
    assert len(kept._free_at) <= connection_limits._ADDRESSES + 2
    now[0] += 100
    assert kept._delay_s("10.0.0.1") == 0.0


class _Client:
    def __init__(self, address: str) -> None:
        self.address, self.left = address, False

    def close_now(self) -> None:
        self.left = True


def test_a_connection_of_the_address_with_most_refused_ones_is_closed() -> None:
    kept = connection_limits.ConnectionLimits(4)
    first, *many = _Client("10.0.0.1"), *(_Client("10.0.0.9") for _ in range(3))
    for connection in (first, *many):
        kept.waiting[connection] = None
    newest = _Client("10.0.0.2")
    kept.add(newest, ("10.0.0.2", 1), 5)
    assert [g.left for g in (first, *many, newest)] == [False, True, False, False, False]
    # where nobody waits, everybody else has shown the token
    alone = connection_limits.ConnectionLimits(1)
    alone.add(newest, ("10.0.0.2", 1), 2)
    assert newest.left


@pytest.fixture
def debt(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> Served:
    """A page to which every address has sent so many wrong tokens that further refusals are delayed by 0.3 s."""
    monkeypatch.setattr(connection_limits, "WRONG_S", 0.0)
    monkeypatch.setattr(connection_limits.ConnectionLimits, "delays", lambda limits, address: True)
    monkeypatch.setattr(connection_limits.ConnectionLimits, "delay_s", lambda limits, address, least_s=0.0: 0.3)
    return serve(token=TOKEN)


def _parsed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return a list that gets what the HTTP server reads from now on."""
    read: list[bytes] = []
    receive = connection.Connection.data_received

    def noted(self: Any, data: bytes) -> None:
        read.append(data)
        receive(self, data)

    monkeypatch.setattr(connection.Connection, "data_received", noted)
    return read


def test_an_address_in_debt_is_refused_without_parsing_its_requests(debt: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    read = _parsed(monkeypatch)
    began = time.monotonic()
    status, text = debt.get("/healthz", Authorization="Bearer wrong")
    assert (status, text) == (401, b"wrong token, or no token.\n")
    assert time.monotonic() - began >= 0.3
    assert debt.get("/report.json")[0] == 401
    assert not read


def test_the_token_is_found_wherever_it_is_given_while_its_address_is_in_debt(debt: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    read = _parsed(monkeypatch)
    cookie = debt.ask("GET", f"/?token={TOKEN}")
    with cookie:
        assert cookie.status == 303
        given = cookie.headers["Set-Cookie"].partition(";")[0]
    for path, headers in (
        ("/healthz", {"Authorization": f"bearer  {TOKEN}"}),
        (f"/healthz?x=1&token={TOKEN}", {}),
        ("/healthz", {"Cookie": given}),
    ):
        assert debt.get(path, **headers)[0] in (200, 503), (path, headers)
    with debt.ask("POST", "/login", f"token={TOKEN}".encode()) as login:
        assert login.status == 303
    assert len(read) >= 5


def test_a_person_without_the_token_sees_the_form_for_it_while_the_address_is_in_debt(debt: Served) -> None:
    assert b"<form" in debt.get("/")[1]


def test_a_connection_of_an_address_in_debt_that_sends_no_request_is_closed(debt: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceptor, "_SILENT_S", 0.3)
    for begin in (b"", b"GET", _GET):
        with socket.create_connection(debt.address) as sock:
            sock.sendall(begin)
            assert ended(sock)


def test_more_held_connections_than_there_are_places_close_the_oldest(debt: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceptor, "_HELD", 2)
    with contextlib.ExitStack() as stack:
        first, *_ = [stack.enter_context(socket.create_connection(debt.address)) for _ in range(3)]
        assert ended(first)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"GET / HTTP/1.1\r\nAuthorization: Bearer a+b/c=\r\n\r\n", True),
        (b"GET /?token=a%2Bb%2fc%3D HTTP/1.1\r\n\r\n", True),
        (b"POST /login HTTP/1.1\r\n\r\ntoken=a%2bb%2Fc%3d", True),
        (b"GET / HTTP/1.1\r\nCookie: x=1; edgefuse-80=cafe; y=2\r\n\r\n", True),
        (b"GET / HTTP/1.1\r\nAuthorization: Bearer a+b/c\r\n\r\n", False),
        (b"GET /a+b/c= HTTP/1.1\r\n\r\n", False),
        (b"", False),
    ],
)
def test_credentials_are_found_in_the_bytes_of_a_request(data: bytes, found: bool) -> None:
    assert acceptor.Credentials(b"a+b/c=", ("edgefuse-80", "cafe")).within(data) is found
