"""`video:VISIBLE,INFRARED`: two video files, paired by time since their first frames.

With different rates, each visible frame gets the newest infrared frame at its time. If one video ends or breaks off before the other,
each missing frame is a FrameError.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import FrameError, SourceError
from edgefuse.frames import Frame, FramePair, Modality
from edgefuse.sources.base import Source, SourceInfo
from edgefuse.util.files import utf8
from edgefuse.util.uri import Uri, real


class _Side:
    """One video file, read forward with one frame of look-ahead."""

    def __init__(self, path: Path, modality: Modality, fps: float | None) -> None:
        # os.path.isfile returns False where Path.is_file raises: too long a name, a folder without permission
        if not os.path.isfile(path):  # noqa: PTH113
            raise SourceError(f"{path}: no such {modality} video; give video:VISIBLE,INFRARED")
        self.path, self.modality = path, modality
        # FFmpeg takes a relative path with a colon for a protocol, and OpenCV crashes on a path that is not UTF-8
        self._capture = cv2.VideoCapture(utf8(path.absolute(), SourceError), cv2.CAP_FFMPEG)
        if not self._capture.isOpened():
            raise SourceError(f"{path}: not a readable video; check that it plays, or convert it (ffmpeg -i {path.name} good.mp4)")
        self.fps = fps or float(self._capture.get(cv2.CAP_PROP_FPS)) or 25.0
        self.count = max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        self.index = -1
        self.frame: NDArray[np.uint8] | None = None
        self._ahead = self._capture.read()[1]

    @property
    def cut(self) -> bool:
        """Whether the file ended well before its stated number of frames, which is an estimate, so a few may be missing."""
        return self._ahead is None and self.count - self.index - 1 > max(2, self.count // 50)

    def advance(self, index: int) -> bool:
        """Read up to frame `index` into `frame`; returns False where the file ends before."""
        while self.index < index:
            if self._ahead is None:
                return False
            following = self._capture.read()[1]
            if following is None and self.count - self.index - 2 > max(2, self.count // 50):
                # the last frame of a truncated file is damaged, although FFmpeg decodes what it can
                self._ahead = None
                return False
            self.frame, self._ahead = self._ahead, following
            self.index += 1
        return True

    def close(self) -> None:
        self._capture.release()


class VideoSource(Source):
    """Two video files as pairs named STEM_000000, STEM_000001, ... by the visible file's stem."""

    OPTIONS = ("fps",)

    def __init__(self, visible: Path, infrared: Path, uri: str, fps: float | None = None) -> None:
        """fps: overrides the rate of both files. Raises SourceError where a file cannot be read."""
        self._visible = _Side(visible, "visible", fps)
        self._infrared = _Side(infrared, "infrared", fps)
        self._next = 0
        known = self._visible.count if self._visible.count > 0 else None
        self.info = SourceInfo(uri, known, self._visible.fps, (visible, infrared))

    @classmethod
    def from_uri(cls, uri: Uri) -> Self:
        visible, infrared = uri.paths(2)
        return cls(visible, infrared, uri.text, uri.option("fps", None, real(0.01, 1000)))

    def read(self) -> FramePair | None:
        index = self._next
        self._next += 1
        name = f"{self._visible.path.stem}_{index:06d}"
        time_ns = round(index * 1e9 / self._visible.fps)
        due = index * self._infrared.fps / self._visible.fps
        if not self._visible.advance(index):
            self._check_end(index, name, due)
            return None
        # the epsilon keeps equal rates in step despite rounding in the division
        if not self._infrared.advance(math.floor(due + 1e-6)):
            ends = f"{self._infrared.path} ends after {self._infrared.index + 1} frames, before {self._visible.path}"
            raise FrameError(name, "ended", ends)
        assert self._visible.frame is not None
        assert self._infrared.frame is not None
        visible = Frame(self._visible.frame, "visible", time_ns, name)
        return FramePair(visible, Frame(self._infrared.frame, "infrared", time_ns, name), index)

    def _check_end(self, index: int, name: str, due: float) -> None:
        """Raise FrameError for a frame that is missing after the visible video's end; return where none is."""
        ended = self._visible.index + 1
        if ended == 0 and not self._infrared.advance(0):
            raise SourceError(f"{self._visible.path}: no frame can be read; check that it plays")
        # infrared frames after the visible video's end have no partner
        if self._infrared.advance(math.ceil(due - 1e-6)):
            raise FrameError(name, "ended", f"{self._visible.path} ends after {ended} frames, before {self._infrared.path}")
        if self._visible.cut and index < self._visible.count:
            raise FrameError(name, "ended", f"{self._visible.path} breaks off at frame {ended} of {self._visible.count}")

    def close(self) -> None:
        self._visible.close()
        self._infrared.close()
