"""Connections with limits: time to send a request, time to accept an answer, and their number, so that slow clients cannot block."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Any, cast

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from edgefuse.web.connection_limits import ConnectionLimits

HEAD_BYTES = 16384  # bytes of a request line and its headers
_SLOW_S, _SLOWEST_S = 0.05, 4.0  # a request that comes in pieces is read less and less often, so that its bytes cost little
REQUEST_S = 10.0  # seconds for a whole request, and between two requests
WRITE_S = 10.0  # seconds for the client to accept written data
_WAITING = 256  # listen backlog
SEND_BUFFER = 65536  # small kernel buffer (Linux doubles it), so that a slow reader skips pictures instead of seeing old ones


class Connection(H11Protocol):
    """uvicorn's connection with the limits that it leaves to a proxy.

    Beyond `limits.most` connections, one whose request is being refused or incomplete is closed, or, if there is none, the new one.
    """

    limits: ConnectionLimits  # shared by all of a server's connections

    _slow_s = _SLOW_S
    _slow: asyncio.TimerHandle | None = None
    _deadline: asyncio.TimerHandle | None = None
    _write_deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # any data that does not fit the kernel's buffer pauses the writer at once
        transport.set_write_buffer_limits(high=0)
        self.limits.add(self, self.client, len(self.connections))
        if not transport.is_closing():
            self._update_deadline()

    def data_received(self, data: bytes) -> None:
        if not self.transport.is_closing():
            super().data_received(data)
            self._update_deadline()
            if self._deadline is not None and not self.transport.is_closing():
                self._read_later()

    def _read_later(self) -> None:
        """Read the rest of an incomplete request after a pause, which doubles with each piece."""
        if self._slow is None:
            self.transport.pause_reading()
            self._slow = self.loop.call_later(self._slow_s, self._read_on)
            self._slow_s = min(2 * self._slow_s, _SLOWEST_S)

    def _read_on(self) -> None:
        self._slow = None
        if not (self.transport.is_closing() or self.flow.read_paused):
            self.transport.resume_reading()

    @property
    def address(self) -> str:
        """The other end's IP address."""
        return self.client[0] if self.client else ""

    def close_now(self) -> None:
        """Close without waiting for data to be sent."""
        self._stop_deadline()
        self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        """Answer an invalid request with 400, or close the connection where a response is being sent already."""
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        try:
            super().send_400_response(msg)
        except h11.LocalProtocolError:
            self.transport.abort()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._slow_s = _SLOW_S
        self._update_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_deadline()
        self.limits.remove(self, self.client)
        for timer in (self._write_deadline, self._slow):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._write_deadline is None:
            self._write_deadline = self.loop.call_later(WRITE_S, self.transport.abort)

    def resume_writing(self) -> None:
        if self._write_deadline is not None:
            self._write_deadline.cancel()
            self._write_deadline = None
        super().resume_writing()

    def _update_deadline(self) -> None:
        """Start the deadline while a whole request is awaited; stop it otherwise."""
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._stop_deadline()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(REQUEST_S, self.transport.abort)
            self.limits.waiting[self] = None

    def _stop_deadline(self) -> None:
        """Cancel the deadline."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self.limits.waiting.pop(self, None)


def limited(limits: ConnectionLimits) -> type[Connection]:
    """Return a connection class for one server with these limits."""
    return type("Connection", (Connection,), {"limits": limits})


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises OSError."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        sock.bind(address)
        sock.listen(_WAITING)
    except BaseException:
        sock.close()
        raise
    return sock


def server(app: Any, limits: ConnectionLimits) -> uvicorn.Server:
    """Return a quiet uvicorn server without the features that the page does not use; run it with `serve(sockets=[])`, and accept its
    connections with an Acceptor."""
    # uvicorn logs clients' mistakes; our own errors are logged where they are answered
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL + 1)
    return uvicorn.Server(uvicorn.Config(
        app, http=limited(limits), ws="none", loop="asyncio", lifespan="off", interface="asgi3", log_config=None, access_log=False,
        proxy_headers=False, server_header=False, h11_max_incomplete_event_size=HEAD_BYTES, timeout_keep_alive=int(REQUEST_S),
        timeout_graceful_shutdown=1,
    ))  # fmt: skip


def protocol(server: uvicorn.Server) -> asyncio.Protocol:
    """Return the protocol of a new connection of this server."""
    made = cast(type[H11Protocol], server.config.http_protocol_class)
    return made(config=server.config, server_state=server.server_state, app_state={})
