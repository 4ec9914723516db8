"""`video:FILE.mp4`: the fused frames as a video (.mp4, .mkv, .mov: MPEG-4; .avi: Motion JPEG).

It is written beside its name and renamed when closed, so a file of that name always plays. The disk is watched: the
encoder does not say when a write failed, so the video is closed while there is still room for its index.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import OutputError, SettingsError
from edgefuse.frames import FusedFrame
from edgefuse.sinks.base import Sink
from edgefuse.util import files
from edgefuse.util.uri import Uri

CODECS = {".mp4": "mp4v", ".mkv": "mp4v", ".mov": "mp4v", ".avi": "MJPG"}
_RESERVE = 1 << 20  # bytes kept free for the container's index


class VideoSink(Sink):
    """The first frame sets the size (made even, as the encoder wants); another size is scaled into it with black borders."""

    def __init__(self, path: Path, fps: float) -> None:
        """Raises SettingsError for an unknown extension, OutputError where the file can't be written."""
        if path.suffix.lower() not in CODECS:
            raise SettingsError(f"{path}: a video ends in {', '.join(CODECS)}; rename it")
        files.check_file(path)
        self._path, self._fps = path, _expressible(fps)
        # FFmpeg takes a relative path with a colon for a protocol
        self._part = files.part_of(path.absolute(), path.suffix.lower())
        self._target = files.utf8(self._part, OutputError)
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)

    @classmethod
    def from_uri(cls, uri: Uri, fps: float) -> Self:
        return cls(uri.paths(1)[0], fps)

    def write(self, fused: FusedFrame) -> None:
        image = fused.data if fused.data.ndim == 3 else cv2.cvtColor(fused.data, cv2.COLOR_GRAY2BGR)
        files.check_space(self._path.parent, _RESERVE + image.nbytes)
        if self._writer is None:
            self._size = (image.shape[1] + image.shape[1] % 2, image.shape[0] + image.shape[0] % 2)
            codec = CODECS[self._part.suffix]
            self._writer = cv2.VideoWriter(self._target, cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec), self._fps, self._size)
            if not self._writer.isOpened():
                self._discard()
                raise OutputError(f"cannot write {self._path}: OpenCV's FFmpeg has no {codec} encoder; record to .avi, or save a folder")
        self._writer.write(_fit(image, self._size))

    def close(self) -> None:
        if self._writer is None:
            return
        self._writer.release()
        self._writer = None
        try:
            self.bytes_written += self._part.stat().st_size
            # an index that could not be written leaves a file that does not open
            if not cv2.VideoCapture(self._target, cv2.CAP_FFMPEG).isOpened():
                self._discard()
                raise OutputError(f"cannot write {self._path}: the video could not be finished; free some space or choose another place")
            self._part.replace(self._path)
        except OSError as e:
            self._discard()
            raise files.output_error(self._path, e) from None

    def resume(self) -> None:
        """What was recorded so far keeps its name; the rest gets the next one that is free."""
        self._path = files.unused(self._path)
        files.check_file(self._path)

    def _discard(self) -> None:
        self._writer = None
        self._part.unlink(missing_ok=True)


def _expressible(fps: float) -> float:
    """The rate as MPEG-4 can say it: OpenCV makes it a whole number over a power of ten, and MPEG-4 has 16 bits for that."""
    decimals = next((n for n in (3, 2, 1) if fps * 10**n < 65535), 0)
    return round(fps, decimals)


def _fit(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """`image` (H, W, 3) scaled into `size` (width, height), its shape kept, black borders where it does not fill it."""
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
