"""Reads one video file forward, each frame with its own time stamp; frames that can't be decoded keep their place.

OpenCV's FFmpeg conceals damage and reports it only on standard error, so the file is decoded by one thread, which reports it with the
frame, and Motion JPEG by libjpeg.
"""

from __future__ import annotations

import os
import re
from collections import deque
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import SourceError
from edgefuse.frames import Modality
from edgefuse.util import jpeg
from edgefuse.util.files import utf8
from edgefuse.util.native_stderr import native_stderr

_MJPG = int.from_bytes(b"MJPG", "little")
_GREY16 = b"Y1\x00\x10"  # FFmpeg's tag of gray16le; the last byte is the depth
_MATROSKA = b"\x1a\x45\xdf\xa3"
_PROBED = 64  # frames from which the rate is measured
_RETRIES = 8  # reads without a frame and without a report, after which a file is at its end
# OpenCV reads these once in a process; any value hides FFmpeg's reports of damage, or changes their form
_REPORTS = ("OPENCV_FFMPEG_LOGLEVEL", "OPENCV_FFMPEG_DEBUG")
_START_S = 0.5  # a stated start below this is a decoder's delay
_COMPLAINT = re.compile(rb"\[(?!swscaler|mov|matroska|avi|mpegts)\w+ @ 0x[0-9a-f]+\] (.*)")
_HARMLESS = (b"mmco", b"co located POCs", b"APP fields", b"deprecated", b"VPS 0 does not exist", b"number of reference frames")


def _complains(line: bytes) -> bool:
    return bool(_COMPLAINT.match(line)) and not any(word in line for word in _HARMLESS)


@dataclass(frozen=True, slots=True)
class Timed:
    """A frame and its time in seconds. picture: None where it can't be decoded, with the reason in `fault`."""

    time_s: float
    picture: NDArray[np.uint8] | NDArray[np.uint16] | None
    fault: str = ""


class VideoFile:
    """One video file. Times begin at 0 with its first frame, plus `offset_s`.

    fps: frames a second, as measured from the first time stamps where the file states another. guessed: the file has no time stamps, so
    the rate is FFmpeg's guess. start_s: the first frame's own time stamp where the container's is meaningful, else 0. count: stated number
    of frames, 0 where unknown. warning: what a user has to know.
    """

    def __init__(self, path: Path, modality: Modality, fps: float | None = None, offset_s: float = 0.0) -> None:
        """fps: times are frame numbers at this rate, whatever the file says. Raises SourceError for a file that can't be read."""
        # os.path.isfile returns False where Path.is_file raises: too long a name, a folder without permission
        if not os.path.isfile(path):  # noqa: PTH113
            raise SourceError(f"{path}: no such {modality} video; give video:VISIBLE,INFRARED")
        self.path, self.modality, self._offset_s = path, modality, offset_s
        for variable in _REPORTS:
            os.environ.pop(variable, None)
        # FFmpeg takes a relative path with a colon for a protocol, and OpenCV crashes on a path that is not UTF-8
        name = utf8(path.absolute(), SourceError)
        self._capture = cv2.VideoCapture(name, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        if not self._capture.isOpened():
            raise SourceError(f"{path}: not a readable video; check that it plays, or convert it (ffmpeg -i {path.name} good.mp4)")
        stated = max(0.0, float(self._capture.get(cv2.CAP_PROP_FPS)))
        counted = max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        head = _head(path)
        times, start = _probe(name)
        advancing = all(b > a for a, b in pairwise(times))
        self.guessed = _is_bare(head) or not advancing
        measured = stated if self.guessed else _rate(times, stated)
        self.fps = fps or measured or 25.0
        self._file_fps, self._by_number = measured or 25.0, bool(fps) or not advancing
        # other containers state no number, so OpenCV multiplies the duration by the stated rate
        exact = head[4:8] == b"ftyp" or head.startswith(b"RIFF")
        # Matroska's duration counts from 0, whatever the first time stamp
        lasts_s = (counted - (start if head.startswith(_MATROSKA) else 0)) / stated if stated else 0.0
        self.count = counted if exact or not stated else round(lasts_s * self._file_fps)
        self._ends_s = 0.0 if exact else lasts_s
        self.start_s = start / stated if stated and start / stated > _START_S and _keeps_start(head) and not fps else 0.0
        self._jpeg = int(self._capture.get(cv2.CAP_PROP_FOURCC)) == _MJPG and self._capture.set(cv2.CAP_PROP_FORMAT, -1)
        self.warning = self._depth() or (self._guess(stated) if self.guessed and fps is None else "")
        self._decoded = 0
        self._steps: deque[float] = deque(maxlen=5)  # recent intervals
        self.index, self._last_s, self._first_ms = -1, 0.0, 0.0
        self.current: Timed | None = None
        self._ahead = self._decode()
        if (self._ahead is None or self._ahead.fault) and int(self._capture.get(cv2.CAP_PROP_FOURCC)) == int.from_bytes(b"AV01", "little"):
            raise SourceError(f"{path}: this OpenCV can't decode AV1; convert it (ffmpeg -i {path.name} -c:v libx264 -crf 16 good.mp4)")

    @property
    def following(self) -> Timed | None:
        """The frame after the current one; None at the end."""
        return self._ahead

    @property
    def interval_s(self) -> float:
        """Nominal time between two frames."""
        return 1 / self.fps

    @property
    def recent_interval_s(self) -> float:
        """Usual time between the last frames."""
        return median(self._steps) if self._steps else self.interval_s

    @property
    def cut(self) -> bool:
        """Whether the file ended well before its stated end, which is an estimate, so a few frames may be missing."""
        return self._ahead is None and self._falls_short(self.index)

    def advance(self) -> bool:
        """Go to the next frame; returns False at the end."""
        if self._ahead is None:
            return False
        following = self._decode()
        if following is None and self._falls_short(self.index + 1):
            # the last frame of a truncated file is damaged, although FFmpeg decodes what it can
            self._ahead = None
            return False
        if self.current is not None:
            self._steps.append(self._ahead.time_s - self.current.time_s)
        self.current, self._ahead = self._ahead, following
        self.index += 1
        return True

    def close(self) -> None:
        self._capture.release()

    def _falls_short(self, last: int) -> bool:
        if self._ends_s:
            missing_s = self._ends_s - self._last_s - 1 / self._file_fps
            return missing_s > max(2 / self._file_fps, self._ends_s / 50)
        return self.count - last - 1 > max(2, self.count // 50)

    def _decode(self) -> Timed | None:
        """Decode the next frame; a packet that gives none counts as a frame with a fault. Returns None at the end."""
        number, self._decoded = self._decoded, self._decoded + 1
        for _ in range(_RETRIES if not self._falls_short(number - 1) else 50 * _RETRIES):
            with native_stderr(_complains) as complaints:
                done, data = self._capture.read()
            if not done and not complaints:
                continue
            time_s = self._time(number, bool(done))
            if done and self._jpeg:
                try:
                    data = jpeg.decode(data.tobytes())
                except ValueError as e:
                    return Timed(time_s, None, str(e))
            if complaints:
                match = _COMPLAINT.match(complaints[0])
                return Timed(time_s, None, match[1].decode("utf-8", "replace").strip() if match else "damaged")
            return Timed(time_s, data)
        return None

    def _time(self, number: int, done: bool) -> float:
        if self._by_number:
            self._last_s = number / self._file_fps
            return number / self.fps + self._offset_s
        stamp = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000 if done else -1.0
        if number == 0:
            self._first_ms = max(stamp, 0.0)
            time_s = 0.0
        else:
            time_s = stamp - self._first_ms
            if time_s <= self._last_s:
                time_s = self._last_s + 1 / self._file_fps
            elif abs(time_s - number / self.fps) < 1.01e-3:
                time_s = number / self.fps  # a constant rate, in a container that counts milliseconds
        self._last_s = time_s
        return time_s + self.start_s + self._offset_s

    def _depth(self) -> str:
        """Keep 16-bit grey. Returns a warning if bits are lost; raises SourceError for grey of 10 to 14 bits, which would lose counts."""
        tag = (int(self._capture.get(cv2.CAP_PROP_CODEC_PIXEL_FORMAT)) & 0xFFFFFFFF).to_bytes(4, "little")
        if tag == _GREY16:
            self._capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)
            return ""
        depth = max(tag[0] if tag[2:] in (b"1Y", b"3Y") else 0, tag[3] if tag[:2] in (b"Y1", b"Y3") else 0)
        if self.modality == "visible" or not 8 < depth <= 16:
            return ""
        if b"Y1" in tag or b"1Y" in tag:
            raise SourceError(
                f"{self.path} holds grey of {depth} bits, which OpenCV reads as 8; convert it, counts are then multiplied by "
                f"{1 << (16 - depth)} (ffmpeg -i {self.path.name} -pix_fmt gray16le -c:v ffv1 good.mkv)"
            )
        return f"{self.path} has {depth} bits, of which 8 are read"

    def _guess(self, stated: float) -> str:
        return (
            f"{self.path} has no time stamps; its rate of {stated or 25.0:g} frames a second is a guess: give the right one, "
            f"as in video:{'FILE?fps=30,INFRARED' if self.modality == 'visible' else 'VISIBLE?offset=0,FILE?fps=30'}"
        )


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(400)
    except OSError as e:
        raise SourceError(f"{path}: {e.strerror}") from None


def _is_bare(head: bytes) -> bool:
    """Return whether a file is a bare stream of H.264, H.265 or JPEG, which has no time stamps."""
    annex_b = head.startswith((b"\0\0\0\1", b"\0\0\1")) and not head.startswith((b"\0\0\1\xba", b"\0\0\1\xb3"))
    return annex_b or head.startswith(b"\xff\xd8") or (head.lstrip().startswith(b"--") and b"image/jpeg" in head)


def _keeps_start(head: bytes) -> bool:
    """Return whether a container's first time stamp says when the recording began: others begin with any number."""
    return head[4:8] == b"ftyp" or head.startswith(_MATROSKA)


def _probe(name: str) -> tuple[list[float], float]:
    """Return the first frames' times in seconds, sorted, and the first one's time stamp in frames of the stated rate. Decodes nothing."""
    capture = cv2.VideoCapture(name, cv2.CAP_FFMPEG)
    times: list[float] = []
    start = 0.0
    with native_stderr(lambda line: True):
        if capture.isOpened() and capture.set(cv2.CAP_PROP_FORMAT, -1):
            while len(times) < _PROBED and capture.grab():
                start = start if times else float(capture.get(getattr(cv2, "CAP_PROP_PTS", -1)))
                times.append(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
    capture.release()
    return sorted(times), max(start, 0.0)


def _rate(times: list[float], stated: float) -> float:
    """Return the rate that the time stamps show, or the stated one where that agrees."""
    steps = [b - a for a, b in pairwise(times)]
    if not steps:
        return stated
    usual = median(steps)
    return stated if stated and abs(stated * usual - 1) < 0.04 else 1 / usual
