"""A minimal RTSP server on loopback with a password (Basic), for a stream interleaved on its connection. Subclasses answer the requests."""

from __future__ import annotations

import base64
import contextlib
import socket
import threading
from collections.abc import Mapping
from typing import Self


class RtspListener:
    """`address` is its host and port. `down` closes and refuses connections; `silent` accepts but never answers."""

    VERBS = ""  # what OPTIONS lists

    def __init__(self, user: str, password: str) -> None:
        self.down = self.silent = self._closing = False
        self.connections = 0
        self._token = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.1)
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def start(self) -> None:
        for thread in list(self._threads):
            thread.start()

    def answered(self, verb: str, headers: Mapping[str, str], body: str, answer: dict[str, str]) -> str:
        """Fill in the headers of the answer to a request with the right password, and return its body."""
        raise NotImplementedError

    def started(self, verb: str, connection: socket.socket) -> None:
        """Go on after the answer to such a request was sent."""

    def packet(self, channel: int) -> None:
        """Note an interleaved packet of the other side."""

    def cut(self) -> None:
        """Close all connections and refuse new ones."""
        self.down = True
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while not self._closing:
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            if self.down:
                connection.close()
                continue
            self.connections += 1
            self._open.append(connection)
            thread = threading.Thread(target=self._talk, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()
        self._listener.close()

    def _talk(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            reader = connection.makefile("rb")
            while first := reader.read(1):
                if self.silent:
                    continue
                if first == b"$":
                    head = reader.read(3)
                    reader.read(int.from_bytes(head[1:], "big"))
                    self.packet(head[0])
                    continue
                lines = [(first + reader.readline()).decode()]
                while (line := reader.readline().decode()).strip():
                    lines.append(line)
                headers = {k.strip().lower(): v.strip() for k, _, v in (x.partition(":") for x in lines[1:])}
                given = reader.read(int(headers.get("content-length", 0))).decode()
                verb, status, body = lines[0].split()[0], "200 OK", ""
                answer = {"CSeq": headers["cseq"], "Session": "1"}
                if verb == "OPTIONS":
                    answer["Public"] = self.VERBS
                elif headers.get("authorization") != self._token:
                    status, answer["WWW-Authenticate"] = "401 Unauthorized", 'Basic realm="x"'
                else:
                    body = self.answered(verb, headers, given, answer)
                text = "".join(f"{k}: {v}\r\n" for k, v in (answer | {"Content-Length": str(len(body))}).items())
                connection.sendall(f"RTSP/1.0 {status}\r\n{text}\r\n{body}".encode())
                if status == "200 OK":
                    self.started(verb, connection)

    def close(self) -> None:
        self._closing = True
        self.cut()
        for thread in self._threads:
            thread.join(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
