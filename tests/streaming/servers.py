"""Real servers on loopback: FFmpeg listening for RTMP or SRT, GStreamer's RTSP server, and a minimal RTSP server with a password."""

from __future__ import annotations

import base64
import contextlib
import re
import socket
import subprocess
import threading
from pathlib import Path
from typing import Self

from tests.support.processes import killed
from tests.support.waiting import SECONDS, Lines, free_port

_PYTHON, _SCRIPT = "/usr/bin/python3", Path(__file__).with_name("gst_server.py")


class Listener:
    """FFmpeg waiting at `url` for one stream, which it writes to `path` as it arrives."""

    def __init__(self, kind: str, path: Path, port: int | None = None) -> None:
        self.port, self.path = port or free_port(), path
        self.url = f"{kind}://127.0.0.1:{self.port}" + ("/live/edgefuse" if kind == "rtmp" else "?mode=caller")
        wait = ["-listen", "1", "-f", "flv", "-i", self.url] if kind == "rtmp" else ["-i", f"srt://127.0.0.1:{self.port}?mode=listener"]
        command = ["ffmpeg", "-v", "error", "-nostdin", *wait, "-c", "copy", "-flush_packets", "1", "-f", "matroska", "-y", str(path)]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def wait(self) -> None:
        """Wait until the stream has ended and the file is complete."""
        self._process.wait(SECONDS)

    def close(self) -> None:
        killed(self._process)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class GstServer:
    """GStreamer's RTSP server: writes one stream at `url` into `path`, H.264 unchanged."""

    def __init__(self, path: Path) -> None:
        port = free_port()
        self.url = f"rtsp://127.0.0.1:{port}/edgefuse"
        self._process = subprocess.Popen(
            [_PYTHON, str(_SCRIPT), str(port), str(path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._process.stdout is not None
        assert Lines(self._process.stdout).next("GStreamer's server to listen") == "ready\n"

    @staticmethod
    def is_here() -> bool:
        """Whether the system's Python has the bindings."""
        versions = "gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer, Gst; Gst.init(None)"
        plugin = "assert Gst.ElementFactory.find('rtph264depay')"
        command = [_PYTHON, "-c", f"import gi; {versions}; {plugin}"]
        return Path(_PYTHON).exists() and subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0

    def close(self) -> None:
        killed(self._process)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Publishing:
    """An RTSP server that takes a stream with a password (Basic), counts RTP packets and notes the SDP.

    `down` closes and refuses connections; `silent` accepts but never answers.
    """

    def __init__(self, user: str, password: str) -> None:
        self.down = self.silent = self._closing = False
        self.packets, self.connections, self.sdp = 0, 0, ""
        self._token = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.1)
        self.place = f"127.0.0.1:{self._listener.getsockname()[1]}/edgefuse"
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

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
                    self.packets += head[:1] == b"\0"
                    continue
                lines = [(first + reader.readline()).decode()]
                while (line := reader.readline().decode()).strip():
                    lines.append(line)
                headers = {k.strip().lower(): v.strip() for k, _, v in (x.partition(":") for x in lines[1:])}
                body = reader.read(int(headers.get("content-length", 0))).decode()
                verb, status, answer = lines[0].split()[0], "200 OK", {"CSeq": headers["cseq"], "Session": "1"}
                if verb != "OPTIONS" and headers.get("authorization") != self._token:
                    status, answer["WWW-Authenticate"] = "401 Unauthorized", 'Basic realm="x"'
                elif verb == "ANNOUNCE":
                    self.sdp = body
                elif verb == "SETUP":
                    answer["Transport"] = re.sub("mode=record", "", headers["transport"]).strip(";")
                elif verb == "OPTIONS":
                    answer["Public"] = "OPTIONS, ANNOUNCE, SETUP, RECORD, TEARDOWN"
                head = "".join(f"{k}: {v}\r\n" for k, v in answer.items())
                connection.sendall(f"RTSP/1.0 {status}\r\n{head}\r\n".encode())

    def close(self) -> None:
        self._closing = True
        self.cut()
        for thread in self._threads:
            thread.join(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
