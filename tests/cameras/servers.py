"""A network camera on loopback: real HTTP, multipart JPEG pictures, and the faults of cheap cameras."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = Callable[[int], NDArray[np.uint8]]


def noise(width: int, height: int, seed: int = 0) -> Picture:
    """Return pictures that differ from each other, as a sensor's do."""

    def make(k: int) -> NDArray[np.uint8]:
        rng = np.random.default_rng([seed, k])
        small = rng.integers(40, 200, (max(2, height // 16), max(2, width // 16), 3), np.uint8)
        return cv2.resize(small, (width, height))

    return make


class MjpegServer:
    """`http://127.0.0.1:PORT/video` at `fps`. Set `mode` while it runs:

    "live"; "stall" (connected but silent); "garbage" (parts that are not JPEG); "freeze" (always the same picture); "down" (connections
    are closed and refused). `picture` may be replaced at any time.
    """

    def __init__(self, fps: float, picture: Picture, delay_s: float = 0.0) -> None:
        self.mode, self.picture, self.sent = "live", picture, 0
        self.sending: dict[int, int] = {}  # the number of a picture -> the monotonic time, in ns, when it was about to be sent
        self._fps, self._delay_s = fps, delay_s
        self._listener: socket.socket | None = None
        self._connections: list[socket.socket] = []
        self._port = 0
        self._closing = False
        self._listen()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/video"

    def _listen(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self._port))
        self._listener.settimeout(0.1)
        self._port = self._listener.getsockname()[1]

    def _accept(self) -> None:
        while not self._closing:
            if self.mode == "down":
                if self._listener is not None:
                    self._listener.close()
                    self._listener = None
                time.sleep(0.02)
                continue
            if self._listener is None:
                self._listen()
            assert self._listener is not None
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()
        if self._listener is not None:
            self._listener.close()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                connection.settimeout(5)
                connection.recv(4096)
                connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n")
                begin, k = time.monotonic(), 0
                while not self._closing and self.mode != "down":
                    due = begin + k / self._fps
                    time.sleep(max(0.0, due - time.monotonic()))
                    k += 1
                    if self.mode == "stall":
                        continue
                    body = self._body(0 if self.mode == "freeze" else k)
                    self.sending[k] = time.monotonic_ns()
                    connection.sendall(b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%b\r\n" % (len(body), body))
                    self.sent += 1
            except OSError:
                pass

    def _body(self, k: int) -> bytes:
        if self.mode == "garbage":
            return np.random.default_rng(k).bytes(3000)
        return cv2.imencode(".jpg", self.picture(k))[1].tobytes()

    def close(self) -> None:
        self._closing = True
        for thread in self._threads:
            thread.join(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
