"""An RTSP camera on loopback: FFmpeg's H.264 over interleaved RTP, with user and password."""

from __future__ import annotations

import base64
import contextlib
import socket
import subprocess
import threading
from pathlib import Path
from typing import Self

from tests.support.processes import killed, until

USER, PASSWORD = "me", "S3cret"


class RtspServer:
    """`url` includes the credentials. While `down` is set, connections are refused and closed."""

    def __init__(self, folder: Path, size: str, fps: int) -> None:
        self.down = False
        self._closing = False
        self._rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._rtp.bind(("127.0.0.1", 0))
        self._rtp.settimeout(0.2)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.1)
        sdp = folder / "camera.sdp"
        self._ffmpeg = subprocess.Popen(
            ["ffmpeg", "-loglevel", "error", "-nostdin", "-re", "-f", "lavfi", "-i", f"testsrc2=s={size}:r={fps}", "-c:v", "libx264",
             "-tune", "zerolatency", "-preset", "ultrafast", "-g", str(fps), "-bsf:v", "dump_extra", "-sdp_file", str(sdp),
             "-f", "rtp", f"rtp://127.0.0.1:{self._rtp.getsockname()[1]}?pkt_size=1200"],
        )  # fmt: skip
        until(lambda: sdp.is_file() and "m=video" in sdp.read_text(), self._ffmpeg, "FFmpeg's description of its stream")
        lines = [line for line in sdp.read_text().splitlines() if line and not line.startswith("SDP")]
        self._sdp = "\r\n".join([*lines, "a=control:track0", ""])
        self._playing: list[socket.socket] = []
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._accept, self._relay)]
        for thread in self._threads:
            thread.start()

    @property
    def url(self) -> str:
        return f"rtsp://{USER}:{PASSWORD}@127.0.0.1:{self._listener.getsockname()[1]}/camera"

    def _accept(self) -> None:
        while not self._closing:
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            if self.down:
                connection.close()
            else:
                threading.Thread(target=self._talk, args=(connection,), daemon=True).start()
        self._listener.close()

    def _talk(self, connection: socket.socket) -> None:
        token = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        with contextlib.suppress(OSError), connection:
            reader = connection.makefile("rb")
            while request := self._request(reader):
                verb, headers = request
                answer = {"CSeq": headers.get("cseq", "0"), "Session": "1"}
                body, status = "", "200 OK"
                if headers.get("authorization") != f"Basic {token}" and verb != "OPTIONS":
                    status, answer["WWW-Authenticate"] = "401 Unauthorized", 'Basic realm="camera"'
                elif verb == "DESCRIBE":
                    body, answer["Content-Type"] = self._sdp, "application/sdp"
                elif verb == "SETUP":
                    answer["Transport"] = "RTP/AVP/TCP;unicast;interleaved=0-1"
                elif verb == "OPTIONS":
                    answer["Public"] = "OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN"
                answer["Content-Length"] = str(len(body))
                head = "".join(f"{k}: {v}\r\n" for k, v in answer.items())
                connection.sendall(f"RTSP/1.0 {status}\r\n{head}\r\n{body}".encode())
                if verb == "PLAY" and status == "200 OK":
                    self._playing.append(connection)

    @staticmethod
    def _request(reader: object) -> tuple[str, dict[str, str]] | None:
        lines = []
        while line := reader.readline():  # type: ignore[attr-defined]
            if line[:1] == b"$":
                # interleaved RTCP from the player: a length follows
                rest = int.from_bytes((line + reader.read(4))[2:4], "big")  # type: ignore[attr-defined]
                reader.read(max(0, rest - len(line)))  # type: ignore[attr-defined]
                continue
            if line == b"\r\n":
                break
            lines.append(line.decode("latin-1").strip())
        if not lines:
            return None
        headers = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
        return lines[0].split()[0], {k.lower(): v for k, v in headers.items()}

    def _relay(self) -> None:
        while not self._closing:
            try:
                packet = self._rtp.recv(65536)
            except TimeoutError:
                continue
            for connection in list(self._playing):
                try:
                    if self.down:
                        raise OSError
                    connection.sendall(b"$\0" + len(packet).to_bytes(2, "big") + packet)
                except OSError:
                    self._playing.remove(connection)
                    with contextlib.suppress(OSError):
                        connection.shutdown(socket.SHUT_RDWR)
        self._rtp.close()

    def close(self) -> None:
        self._closing = True
        killed(self._ffmpeg)
        for thread in self._threads:
            thread.join(5)
        for connection in self._playing:
            connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
