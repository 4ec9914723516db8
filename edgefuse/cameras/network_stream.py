"""`rtsp://...`, `http://...`: a network camera in MJPEG, H.264 or any format that OpenCV's FFmpeg reads; 16-bit grey stays 16-bit.

`URL#sensor=NAME` names the thermal camera behind an infrared stream.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from edgefuse.board.libraries import opencv_ignores_ffmpeg_options
from edgefuse.cameras.base import Camera
from edgefuse.cameras.clock import StreamClock
from edgefuse.errors import CameraError, FrameError
from edgefuse.frames import Frame, Modality
from edgefuse.thermal import supported_cameras
from edgefuse.util.uri import Uri

# TCP loses no packets. The format is known from the first key frame, for which a camera may take 10 s and more: probing ends there,
# and what it has read is decoded ("nobuffer" would throw the key frame away). "timeout" (microseconds) limits the wait for data.
# The user's own options have precedence.
_SILENT_S = 5
_FFMPEG = "rtsp_transport;tcp|analyzeduration;30000000|probesize;20000000|fpsprobesize;2"
_OPEN_MS, _READ_MS = 30000, 30000  # limits of the wait for a picture, while data comes
_MJPG = int.from_bytes(b"MJPG", "little")
_log = logging.getLogger(__name__)
_GREY16 = int.from_bytes(b"Y1\x00\x10", "little")  # FFmpeg's tag of gray16le


class _FfmpegOptions:
    """FFmpeg options that OpenCV reads only from the environment, at opening.

    Only streams are opened with them, because a video file would lose its first frames. Safe for streams opened at the same time; the
    user's own options have precedence.
    """

    _KEY = "OPENCV_FFMPEG_CAPTURE_OPTIONS"

    def __init__(self, options: str) -> None:
        self._options, self._users, self._ours = options, 0, False
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            self._users += 1
            if self._users == 1 and self._KEY not in os.environ:
                os.environ[self._KEY], self._ours = self._options, True

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0 and self._ours:
                del os.environ[self._KEY]
                self._ours = False


_low_latency = _FfmpegOptions(f"{_FFMPEG}|timeout;{_SILENT_S}000000")


class StreamCamera(Camera):
    """Frames as BGR uint8 (H, W, 3), or uint16 (H, W) from a stream of 16-bit grey, timed by `StreamClock`."""

    OPTIONS = ("sensor",)

    def __init__(self, url: str, label: str, modality: Modality, sensor: supported_cameras.Sensor | None = None) -> None:
        """label: the URL without credentials."""
        self.modality, self.label = modality, label
        self._url, self._sensor = url, sensor
        self._capture: Any = None
        self._clock, self._first = StreamClock(), True
        self._jpeg = False
        self._host: tuple[frozenset[str], int | None] = frozenset(), None  # addresses, port

    @classmethod
    def from_uri(cls, uri: Uri, modality: Modality) -> Self:
        sensor = supported_cameras.get(uri.options["sensor"]) if "sensor" in uri.options else None
        return cls(uri.targets[0], uri.text, modality, sensor)

    def identity(self) -> str:
        return self._url

    def open(self) -> None:
        import cv2

        self.close()
        self._host = _addresses(self._url)
        # a decoder with threads delays the output by as many frames
        options = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _OPEN_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, _READ_MS, cv2.CAP_PROP_N_THREADS, 1]
        with _low_latency:
            capture = cv2.VideoCapture(self._url, cv2.CAP_FFMPEG, options)
        if not capture.isOpened():
            raise CameraError("missing", f"{self.label} can't be opened; check that the camera is on, its address, user and password")
        if opencv_ignores_ffmpeg_options(cv2.__version__):
            what = "OpenCV %s ignores FFmpeg's options, so that %s can be silent for %d s, not %d (pip install -U opencv-python-headless)"
            _log.warning(what, cv2.__version__, self.label, _OPEN_MS // 1000, _SILENT_S)
        if int(capture.get(cv2.CAP_PROP_CODEC_PIXEL_FORMAT)) == _GREY16:
            capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)
        # Motion JPEG is taken undecoded, because FFmpeg decodes a part of a picture without a word
        self._jpeg = int(capture.get(cv2.CAP_PROP_FOURCC)) == _MJPG and capture.set(cv2.CAP_PROP_FORMAT, -1)
        self._capture, self._clock, self._first = capture, StreamClock(), True
        self.fps = float(capture.get(cv2.CAP_PROP_FPS)) or None

    def read(self, timeout_s: float) -> Frame | None:
        """Waits up to 5 s for data and 30 s for a picture, regardless of `timeout_s`.

        Frames of the first second were buffered and raise FrameError ("start").
        """
        import cv2

        from edgefuse.util import jpeg

        begin = time.monotonic()
        if not self._capture.grab():
            silent = time.monotonic() - begin >= _SILENT_S - 0.1
            raise CameraError("silent" if silent else "gone", f"{self.label} {'gives no frames' if silent else 'ended'}")
        arrival_ns = time.monotonic_ns()
        done, data = self._capture.retrieve()
        if not done or data is None:
            raise FrameError(self.modality, "garbage", f"{self.label} gave a frame that can't be decoded")
        # OpenCV 4.8 has no timestamps, so arrival counts
        pts = self._capture.get(getattr(cv2, "CAP_PROP_PTS", -1))
        # a stream's first frame may have the time 0, which means "none" of others
        known = pts > 0 or (pts == 0 and self._first and hasattr(cv2, "CAP_PROP_PTS"))
        self._first = False
        if self._jpeg and not self._url.lower().startswith("rtsp"):
            known = False  # FFmpeg makes up the times of Motion JPEG over HTTP
        stream_ns = round(self._capture.get(cv2.CAP_PROP_POS_MSEC) * 1e6) if known else None
        time_ns = self._clock.capture_ns(stream_ns, arrival_ns)
        if not self._clock.settled:
            raise FrameError(self.modality, "start", f"{self.label}: a frame of the first second, which was buffered")
        if self._jpeg:
            try:
                data = jpeg.decode(data.tobytes())
            except ValueError as e:
                raise FrameError(self.modality, "garbage", f"{self.label}: a frame {e}") from None
        return self._frame(data, time_ns)

    def _frame(self, data: NDArray[Any], time_ns: int) -> Frame:
        if self._sensor is None and data.dtype == np.uint16 and self.modality == "infrared":
            self._sensor = supported_cameras.get("generic-16")
        if self._sensor is None:
            return Frame(data, self.modality, time_ns, "")
        decoded = self._sensor.decode(data)
        return Frame(decoded.counts, self.modality, time_ns, "", decoded.radiometry)

    def interrupt(self) -> None:
        """Shut the connection down, because FFmpeg waits for a key frame in C++, and a thread left there aborts the process at its end."""
        addresses, port = self._host
        for link in Path("/proc/self/fd").iterdir() if addresses else ():
            with contextlib.suppress(OSError, ValueError):
                if not str(link.readlink()).startswith("socket:"):
                    continue
                with socket.socket(fileno=os.dup(int(link.name))) as connection:
                    peer = connection.getpeername()
                    if peer[0] in addresses and port in (None, peer[1]):
                        connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        if self._capture is not None:
            self._capture.release()
            self._capture = None


def _addresses(url: str) -> tuple[frozenset[str], int | None]:
    """Return the addresses of a URL's host, empty where it has none, and its port where it states one."""
    parts = urlsplit(url)
    try:
        addresses = socket.getaddrinfo(parts.hostname, parts.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return frozenset(), None
    return frozenset(str(address[4][0]) for address in addresses), parts.port
