"""A connection that costs its owner, not the run: time to send a request, time to take an answer, and a number of them at most."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_BYTES = 16384  # of a request's line and headers
REQUEST_S = 10.0  # for a whole request, or between two of them
WRITE_S = 10.0  # for what was handed to the network to be taken
_WAITING = 128  # connections that the kernel keeps until they are looked at
SEND_BUFFER = 65536  # bytes the kernel keeps for a reader (Linux doubles it): one that is slow sees new pictures, not a long film


class Connection(H11Protocol):
    """uvicorn's, with what it leaves to a proxy. Where there are more than `most`, the one that waits longest without a whole request gives
    way; where none waits, the new one is turned away."""

    most = 64
    waiting: dict[Connection, None]  # by how long; shared by all of a server's connections

    _deadline: asyncio.TimerHandle | None = None
    _write_deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # what does not fit the kernel's buffer stops the writer at once
        transport.set_write_buffer_limits(high=0)
        if len(self.connections) > self.most:
            oldest = next(iter(self.waiting), self)
            oldest._rest()
            oldest.transport.abort()
        if not transport.is_closing():
            self._time()

    def data_received(self, data: bytes) -> None:
        if not self.transport.is_closing():
            super().data_received(data)
            self._time()

    def send_400_response(self, msg: str) -> None:
        """What follows a request is none: said where nothing else is being said, hung up on otherwise."""
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        try:
            super().send_400_response(msg)
        except h11.LocalProtocolError:
            self.transport.abort()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._time()

    def connection_lost(self, exc: Exception | None) -> None:
        self._rest()
        if self._write_deadline is not None:
            self._write_deadline.cancel()
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

    def _time(self) -> None:
        """Run the clock while a request is waited for, whole."""
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._rest()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(REQUEST_S, self.transport.abort)
            self.waiting[self] = None

    def _rest(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self.waiting.pop(self, None)


def limited(most: int) -> type[Connection]:
    """A server's own class of connections, of which there are `most` at most."""
    return type("Connection", (Connection,), {"most": most, "waiting": {}})


def listen(host: str, port: int) -> socket.socket:
    """A socket that takes connections from now on. Raises OSError."""
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


def server(app: Any, most: int) -> uvicorn.Server:
    """uvicorn, quiet and without what the page has no use for; `serve(sockets=[...])` it."""
    # what it has to say is about clients' mistakes; faults of ours are logged where they are answered
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL + 1)
    return uvicorn.Server(
        uvicorn.Config(
            app, http=limited(most), ws="none", loop="asyncio", lifespan="off", interface="asgi3", log_config=None, access_log=False,
            proxy_headers=False, server_header=False, h11_max_incomplete_event_size=HEAD_BYTES, timeout_keep_alive=int(REQUEST_S),
            timeout_graceful_shutdown=1, backlog=_WAITING,
        )
    )  # fmt: skip
