"""`video:VISIBLE,INFRARED`: two video files, paired by time from their first frames.

Where the rates differ, each visible frame takes the infrared frame that was newest then. A side that ends or breaks off before
the other is an error in place of each frame that it owes.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import FrameError, SourceError
from edgefuse.frames import Frame, FramePair, Modality
from edgefuse.sources.base import Source, SourceInfo
from edgefuse.uri import Uri, real


class _Side:
    """One video file, read forward."""

    def __init__(self, path: Path, modality: Modality, fps: float | None) -> None:
        if not path.is_file():
            raise SourceError(f"{path}: no such {modality} video; give video:VISIBLE,INFRARED")
        self.path, self.modality = path, modality
        self._capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        if not self._capture.isOpened():
            raise SourceError(f"{path}: not a readable video; check that it plays, or convert it (ffmpeg -i {path.name} good.mp4)")
        self.fps = fps or float(self._capture.get(cv2.CAP_PROP_FPS)) or 25.0
        self.count = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.index = -1
        self._decoded = -1
        self.frame: NDArray[np.uint8] | None = None

    def advance(self, index: int) -> bool:
        """Move to frame `index`, keeping the picture in `frame`; False where the file ends before."""
        while self.index < index:
            if not self._capture.grab():
                return False
            self.index += 1
        if self.frame is None or self._decoded != index:
            ok, image = self._capture.retrieve()
            if not ok:
                return False
            self.frame, self._decoded = image, index
        return True

    def skip(self) -> bool:
        """Pass over one frame; False at the end."""
        return self._capture.grab()

    def close(self) -> None:
        self._capture.release()


class VideoSource(Source):
    """Two video files as pairs named STEM_000000, STEM_000001, ... by the visible file's stem."""

    OPTIONS = ("fps",)

    def __init__(self, visible: Path, infrared: Path, uri: str, fps: float | None = None) -> None:
        """`fps` overrides the rate of both files. Raises SourceError where one can't be read."""
        self._visible = _Side(visible, "visible", fps)
        self._infrared = _Side(infrared, "infrared", fps)
        self._next = 0
        self._ended: str | None = None
        self._over = False
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
        if self._ended is None and not self._visible.advance(index):
            # infrared frames that begin after the visible video's end have no partner
            if self._infrared.advance(math.ceil(due - 1e-6)):
                self._ended = f"{self._visible.path} ends after {index} frames, before {self._infrared.path}"
            elif self._visible.count - index > max(2, self._visible.count // 50):
                self._ended = f"{self._visible.path} breaks off at frame {index} of {self._visible.count}"
            if self._ended is None:
                return None
            self._over = True
            raise FrameError(name, "ended", self._ended)
        # the epsilon keeps equal rates in step whatever the division rounds to
        if self._ended is None and not self._infrared.advance(math.floor(due + 1e-6)):
            self._ended = f"{self._infrared.path} ends after {self._infrared.index + 1} frames, before {self._visible.path}"
            raise FrameError(name, "ended", self._ended)
        if self._ended is not None:
            if self._over or not self._visible.skip():
                return None
            raise FrameError(name, "ended", self._ended)
        assert self._visible.frame is not None
        assert self._infrared.frame is not None
        visible = Frame(self._visible.frame, "visible", time_ns, name)
        return FramePair(visible, Frame(self._infrared.frame, "infrared", time_ns, name), index)

    def close(self) -> None:
        self._visible.close()
        self._infrared.close()
