"""Accepts connections at a limited rate, and keeps those without the token of an address that was refused often out of the HTTP server.

Such a connection costs half the processor time: its bytes are looked at, not parsed. It waits as long as its refusal is to be delayed,
and is refused by a fixed answer. One that shows the token is handed to the HTTP server at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hmac
import re
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from edgefuse.web.connection_limits import ConnectionLimits

_RATE, _BURST = 400.0, 400.0  # connections accepted per second, and how many at once before that
_PAUSE_S = 0.05  # between two looks at the listening socket once the rate is reached
_RETRY_S = 1.0  # after the process had no descriptor left
_HELD = 256  # connections that wait at most; beyond it the oldest is closed
_SILENT_S = 10.0  # seconds to send the head of a request
_PIECE_S = 0.25  # pause before the rest of an incomplete head is looked at, doubled each time
_LOOKED_AT = 16384  # bytes
_REFUSAL = (
    b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 26\r\n"
    b"Cache-Control: no-store\r\nConnection: close\r\n\r\nwrong token, or no token.\n"
)
_NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Credentials:
    """Finds the page's token or cookie in the bytes of a request, wherever a client may give it. Compares in constant time."""

    def __init__(self, token: bytes, cookie: tuple[str, str]) -> None:
        """cookie: its name and value."""
        self._accepted = (token, cookie[1].encode())
        name = re.escape(cookie[0].encode())
        # `Authorization: Bearer TOKEN`, the cookie, and `token=TOKEN` of a query or a form
        self._offered = re.compile(rb"(?i:\nauthorization:[ \t]*bearer)[ \t]+([^\r\n]+)|" + name + rb"=([^;\s]+)|\btoken=([^&\s]+)")

    def within(self, data: bytes) -> bool:
        """Whether the token or the cookie is among these bytes of a request."""
        for found in self._offered.findall(data):
            offered = next(filter(None, found)).strip()
            for text in (offered, unquote_to_bytes(offered.replace(b"+", b" "))):
                if any(hmac.compare_digest(text, accepted) for accepted in self._accepted):
                    return True
        return False


@dataclass(eq=False, slots=True)
class _Held:
    """A connection that the HTTP server does not know yet."""

    sock: socket.socket
    peer: tuple[str, int]
    until: float = 0.0  # time of the loop until which its request is awaited
    pause_s: float = _PIECE_S
    timer: asyncio.TimerHandle | None = None


class Acceptor:
    """Accepts the connections of a listening socket from `start` until `close`, in the running event loop."""

    def __init__(
        self, sock: socket.socket, serve: Callable[[], asyncio.Protocol], limits: ConnectionLimits, credentials: Credentials | None
    ) -> None:
        """serve: makes the HTTP server's protocol for a connection. credentials: None where no token is needed."""
        self._sock, self._serve, self._limits, self._credentials = sock, serve, limits, credentials
        self._loop = asyncio.get_running_loop()
        self._held: dict[_Held, None] = {}  # the oldest first
        self._tasks: set[asyncio.Task[None]] = set()
        self._free, self._filled_at = _BURST, time.monotonic()
        self._timer: asyncio.TimerHandle | None = None
        sock.setblocking(False)

    def start(self) -> None:
        self._timer = None
        self._loop.add_reader(self._sock, self._accept)

    def close(self) -> None:
        """Accept no more, and close the connections that are held."""
        if self._timer is not None:
            self._timer.cancel()
        self._loop.remove_reader(self._sock)
        for held in list(self._held):
            self._drop(held)

    def _start_later(self, after_s: float) -> None:
        self._loop.remove_reader(self._sock)
        self._timer = self._loop.call_later(after_s, self.start)

    def _accept(self) -> None:
        now = time.monotonic()
        self._free = min(_BURST, self._free + _RATE * (now - self._filled_at))
        self._filled_at = now
        while self._free >= 1:
            try:
                sock, address = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as e:
                if e.errno not in _NO_DESCRIPTORS:
                    raise
                self._loop.call_exception_handler({"message": "socket.accept() out of system resource", "exception": e})
                self._start_later(_RETRY_S)
                return
            self._free -= 1
            sock.setblocking(False)
            peer = (address[0], address[1])
            if self._credentials is None or not self._limits.delays(peer[0]):
                self._hand_over(sock)
            else:
                self._hold(_Held(sock, peer, self._loop.time() + _SILENT_S))
        self._start_later(_PAUSE_S)

    def _hand_over(self, sock: socket.socket) -> None:
        task = self._loop.create_task(self._connect(sock))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, sock: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._serve, sock)
        except OSError:
            sock.close()  # it has been closed from the other end

    def _hold(self, held: _Held) -> None:
        if len(self._held) >= _HELD:
            self._drop(next(iter(self._held)))
        self._held[held] = None
        self._look(held)

    def _look(self, held: _Held) -> None:
        """Hand a connection with the token over; let one whose request is complete wait for its refusal."""
        assert self._credentials is not None
        self._loop.remove_reader(held.sock)
        try:
            data = held.sock.recv(_LOOKED_AT, socket.MSG_PEEK)
        except BlockingIOError:
            self._set_timer(held, held.until, self._drop)
            self._loop.add_reader(held.sock, self._look, held)
            return
        except OSError:
            data = b""
        if not data:
            self._drop(held)
        elif self._credentials.within(data):
            self._release(held)
            self._hand_over(held.sock)
        elif b"\r\n\r\n" in data or len(data) >= _LOOKED_AT:
            self._set_timer(held, self._loop.time() + self._limits.delay_s(held.peer[0]), self._refuse)
        elif self._loop.time() + held.pause_s < held.until:
            self._set_timer(held, self._loop.time() + held.pause_s, self._look)
            held.pause_s *= 2
        else:
            self._set_timer(held, held.until, self._drop)

    def _refuse(self, held: _Held) -> None:
        """Answer a request whose refusal has been delayed long enough; the page's form for the token is the HTTP server's to show."""
        try:
            data = held.sock.recv(_LOOKED_AT, socket.MSG_PEEK)
        except OSError:
            data = b""
        if data.startswith((b"GET / ", b"POST /login ")) or (self._credentials is not None and self._credentials.within(data)):
            self._release(held)
            self._limits.excuse(held.peer)
            self._hand_over(held.sock)
            return
        with contextlib.suppress(OSError):
            held.sock.recv(_LOOKED_AT)  # unread bytes would reset the connection, and the answer with it
            held.sock.send(_REFUSAL)
        self._drop(held)

    def _set_timer(self, held: _Held, at: float, call: Callable[[_Held], None]) -> None:
        if held.timer is not None:
            held.timer.cancel()
        held.timer = self._loop.call_at(at, call, held)

    def _release(self, held: _Held) -> None:
        if held.timer is not None:
            held.timer.cancel()
        self._held.pop(held, None)

    def _drop(self, held: _Held) -> None:
        self._release(held)
        self._loop.remove_reader(held.sock)
        held.sock.close()
