"""`video:FILE.mp4`: the fused frames as a video (.mp4, .mkv, .mov: MPEG-4; .avi: Motion JPEG).

Its rate is constant, so a picture is repeated where the cameras gave none in time, and left out where they gave more: the video lasts as
long as what it shows.

The video is written under a temporary name and renamed when closed, so a file of the final name is always playable. The encoder does
not report write errors, so the free space is checked, and the video is closed while there is space for its index.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import OutputError, SettingsError
from edgefuse.ffmpeg.encoder_thread import captured_ns
from edgefuse.frames import FusedFrame
from edgefuse.sinks.base import Sink
from edgefuse.util import files
from edgefuse.util.unfinished_files import part_of, remove_abandoned_once
from edgefuse.util.uri import Uri

log = logging.getLogger(__name__)

CODECS = {".mp4": "mp4v", ".mkv": "mp4v", ".mov": "mp4v", ".avi": "MJPG"}
_JITTER = 0.9  # of an interval by which a frame may be early or late
_UNTIMED_NS = 100_000  # a shorter step is no camera's
_LONGEST_S = 10.0  # a longer time without frames is left out
_RESERVE = 1 << 20  # bytes kept free for the container's index


class VideoSink(Sink):
    """Writes a video. The first frame sets the size (rounded up to even); others are scaled into it with black borders."""

    def __init__(self, path: Path, fps: float) -> None:
        """Raises SettingsError for an unknown extension, OutputError where the file is not writable."""
        if path.suffix.lower() not in CODECS:
            raise SettingsError(f"{path}: a video needs one of the extensions {', '.join(CODECS)}")
        files.check_file(path)
        self._path, self._fps = path, _representable_rate(fps)
        remove_abandoned_once(path.absolute().parent)
        # FFmpeg takes a relative path with a colon for a protocol
        self._part = part_of(path.absolute(), path.suffix.lower())
        self._target = files.utf8(self._part, OutputError)
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)
        self._written, self._origin_ns, self._last_ns = 0, 0, 0
        self._last: NDArray[np.uint8] | None = None

    @classmethod
    def from_uri(cls, uri: Uri, fps: float) -> Self:
        return cls(uri.paths(1)[0], fps)

    def write(self, fused: FusedFrame) -> None:
        image = fused.data if fused.data.ndim == 3 else cv2.cvtColor(fused.data, cv2.COLOR_GRAY2BGR)
        files.check_space(self._path.parent, _RESERVE + image.nbytes)
        if self._writer is None:
            self._written, self._last = 0, None
            self._size = (image.shape[1] + image.shape[1] % 2, image.shape[0] + image.shape[0] % 2)
            codec = CODECS[self._part.suffix]
            self._writer = cv2.VideoWriter(self._target, cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec), self._fps, self._size)
            if not self._writer.isOpened():
                self._discard()
                raise OutputError(f"cannot write {self._path}: OpenCV's FFmpeg has no {codec} encoder; record to .avi, or save a folder")
        repeats = self._repeats(captured_ns(fused))
        picture = _fit(image, self._size)
        for _ in range(repeats):
            self._writer.write(picture if self._last is None else self._last)
        if repeats >= 0:
            self._writer.write(picture)
            self._written += repeats + 1
            self._last = picture

    def _repeats(self, time_ns: int) -> int:
        """Return how often the last picture is to be repeated before this one of `time_ns`; -1 where this one has no place."""
        if self._written == 0:
            self._origin_ns = time_ns
        step_ns, self._last_ns = time_ns - self._last_ns, time_ns
        ahead = (time_ns - self._origin_ns) * self._fps / 1e9 - self._written
        if self._written and step_ns < _UNTIMED_NS:
            repeats = 0.0  # without times, or from another clock
        elif ahead > _LONGEST_S * self._fps:
            log.warning("%s leaves out %.1f s without frames", self._path, ahead / self._fps)
            repeats = 0.0
        else:
            repeats = int(ahead + 1 - _JITTER) if ahead > 0 else -float(ahead < -_JITTER)
        if step_ns < _UNTIMED_NS or ahead > _LONGEST_S * self._fps:
            self._origin_ns = time_ns - round(self._written * 1e9 / self._fps)
        return int(repeats)

    def close(self) -> None:
        if self._writer is None:
            return
        self._writer.release()
        self._writer = None
        try:
            self.bytes_written += self._part.stat().st_size
            # a file whose index could not be written does not open
            if not cv2.VideoCapture(self._target, cv2.CAP_FFMPEG).isOpened():
                self._discard()
                raise OutputError(f"cannot write {self._path}: the video could not be finished; free some space or choose another place")
            self._part.replace(self._path)
        except OSError as e:
            self._discard()
            raise files.output_error(self._path, e) from None

    def resume(self) -> None:
        """Keep the finished file and continue under the next free name."""
        self._path = files.unused(self._path)
        files.check_file(self._path)

    def _discard(self) -> None:
        self._writer = None
        self._part.unlink(missing_ok=True)


def _representable_rate(fps: float) -> float:
    """Round a rate to what MPEG-4 can store: OpenCV makes it an integer over a power of ten, of which MPEG-4 has 16 bits."""
    decimals = next((n for n in (3, 2, 1) if fps * 10**n < 65535), 0)
    return round(fps, decimals)


def _fit(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Scale `image` (H, W, 3) into `size` (width, height), keeping its aspect ratio, with black borders."""
    height, width = image.shape[:2]
    if (width, height) == size:
        return image
    if width <= size[0] <= width + 1 and height <= size[1] <= height + 1:
        # an odd size: repeat the last row or column
        return cv2.copyMakeBorder(image, 0, size[1] - height, 0, size[0] - width, cv2.BORDER_REPLICATE)
    scale = min(size[0] / width, size[1] / height)
    inner = (max(1, round(width * scale)), max(1, round(height * scale)))
    canvas = np.zeros((size[1], size[0], 3), np.uint8)
    left, top = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    canvas[top : top + inner[1], left : left + inner[0]] = cv2.resize(image, inner, interpolation=cv2.INTER_AREA)
    return canvas
