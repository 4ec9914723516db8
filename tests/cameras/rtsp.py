"""An RTSP camera on loopback: FFmpeg's H.264 over interleaved RTP, with user and password."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path

from tests.support.processes import killed, until
from tests.support.rtsp_server import RtspListener

USER, PASSWORD = "me", "S3cret"


class RtspServer(RtspListener):
    """`url` includes the credentials. While `down` is set, connections are refused and closed."""

    VERBS = "OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN"

    def __init__(self, folder: Path, size: str, fps: int) -> None:
        super().__init__(USER, PASSWORD)
        self._rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._rtp.bind(("127.0.0.1", 0))
        self._rtp.settimeout(0.2)
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
        self._threads.append(threading.Thread(target=self._relay, daemon=True))
        self.start()

    @property
    def url(self) -> str:
        return f"rtsp://{USER}:{PASSWORD}@{self.address}/camera"

    def answered(self, verb: str, headers: Mapping[str, str], body: str, answer: dict[str, str]) -> str:
        if verb == "DESCRIBE":
            answer["Content-Type"] = "application/sdp"
            return self._sdp
        if verb == "SETUP":
            answer["Transport"] = "RTP/AVP/TCP;unicast;interleaved=0-1"
        return ""

    def started(self, verb: str, connection: socket.socket) -> None:
        if verb == "PLAY":
            self._playing.append(connection)

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
        killed(self._ffmpeg)
        super().close()
