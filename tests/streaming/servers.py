"""Real servers on loopback: FFmpeg listening for RTMP or SRT, GStreamer's RTSP server, and a minimal RTSP server with a password."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from tests.support.processes import killed
from tests.support.rtsp_server import RtspListener
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


class Publishing(RtspListener):
    """An RTSP server that takes a stream with a password, counts RTP packets and notes the SDP."""

    VERBS = "OPTIONS, ANNOUNCE, SETUP, RECORD, TEARDOWN"

    def __init__(self, user: str, password: str) -> None:
        super().__init__(user, password)
        self.packets, self.sdp = 0, ""
        self.place = f"{self.address}/edgefuse"
        self.start()

    def packet(self, channel: int) -> None:
        self.packets += channel == 0

    def answered(self, verb: str, headers: Mapping[str, str], body: str, answer: dict[str, str]) -> str:
        if verb == "ANNOUNCE":
            self.sdp = body
        elif verb == "SETUP":
            answer["Transport"] = re.sub("mode=record", "", headers["transport"]).strip(";")
        return ""
