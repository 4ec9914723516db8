"""`rtsp://...`, `http://...`: a network camera in MJPEG, H.264 or any format that OpenCV's FFmpeg reads; 16-bit grey stays 16-bit.

`URL#sensor=NAME` names the thermal camera behind an infrared stream.
"""

from __future__ import annotations

import os
import threading
import time
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from edgefuse.cameras.base import Camera
from edgefuse.cameras.clock import StreamClock
from edgefuse.errors import CameraError, FrameError
from edgefuse.frames import Frame, Modality
from edgefuse.thermal import sensors
from edgefuse.util.uri import Uri

# TCP loses no packets; little probing keeps the latency low; the user's own options have precedence
_FFMPEG = "rtsp_transport;tcp|fflags;nobuffer|analyzeduration;500000|probesize;100000"
_OPEN_MS, _READ_MS = 5000, 5000
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


_low_latency = _FfmpegOptions(_FFMPEG)


class StreamCamera(Camera):
    """Frames as BGR uint8 (H, W, 3), or uint16 (H, W) from a stream of 16-bit grey, timed by `StreamClock`."""

    OPTIONS = ("sensor",)

    def __init__(self, url: str, label: str, modality: Modality, sensor: sensors.Sensor | None = None) -> None:
        """label: the URL without credentials."""
        self.modality, self.label = modality, label
        self._url, self._sensor = url, sensor
        self._capture: Any = None
        self._clock = StreamClock()

    @classmethod
    def from_uri(cls, uri: Uri, modality: Modality) -> Self:
        sensor = sensors.get(uri.options["sensor"]) if "sensor" in uri.options else None
        return cls(uri.targets[0], uri.text, modality, sensor)

    def identity(self) -> str:
        return self._url

    def open(self) -> None:
        import cv2

        self.close()
        # a decoder with threads delays the output by as many frames
        options = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _OPEN_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, _READ_MS, cv2.CAP_PROP_N_THREADS, 1]
        with _low_latency:
            capture = cv2.VideoCapture(self._url, cv2.CAP_FFMPEG, options)
        if not capture.isOpened():
            raise CameraError("missing", f"{self.label} can't be opened; check that the camera is on, its address, user and password")
        if int(capture.get(cv2.CAP_PROP_CODEC_PIXEL_FORMAT)) == _GREY16:
            capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)
        self._capture, self._clock = capture, StreamClock()
        self.fps = float(capture.get(cv2.CAP_PROP_FPS)) or None

    def read(self, timeout_s: float) -> Frame | None:
        """Waits up to FFmpeg's 5 s, regardless of `timeout_s`. Frames of the first second were buffered and raise FrameError ("start")."""
        import cv2

        begin = time.monotonic()
        if not self._capture.grab():
            silent = time.monotonic() - begin >= _READ_MS / 1000 - 0.1
            raise CameraError("silent" if silent else "gone", f"{self.label} {'gives no frames' if silent else 'ended'}")
        arrival_ns = time.monotonic_ns()
        done, data = self._capture.retrieve()
        if not done or data is None:
            raise FrameError(self.modality, "garbage", f"{self.label} gave a frame that can't be decoded")
        # OpenCV 4.8 has no timestamps, so arrival counts
        known = self._capture.get(getattr(cv2, "CAP_PROP_PTS", -1)) > 0
        stream_ns = round(self._capture.get(cv2.CAP_PROP_POS_MSEC) * 1e6) if known else None
        time_ns = self._clock.capture_ns(stream_ns, arrival_ns)
        if not self._clock.settled:
            raise FrameError(self.modality, "start", f"{self.label}: a frame of the first second, which was buffered")
        return self._frame(data, time_ns)

    def _frame(self, data: NDArray[Any], time_ns: int) -> Frame:
        if self._sensor is None and data.dtype == np.uint16 and self.modality == "infrared":
            self._sensor = sensors.get("generic-16")
        if self._sensor is None:
            return Frame(data, self.modality, time_ns, "")
        decoded = self._sensor.decode(data)
        return Frame(decoded.counts, self.modality, time_ns, "", decoded.radiometry)

    def close(self) -> None:
        if self._capture is not None:
            self._capture.release()
            self._capture = None
