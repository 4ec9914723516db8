"""A thread that gives frames to FFmpeg, and a new FFmpeg where one dies, hangs, or the frames change their size or jump in time.

Nothing waits for it: the queue is short, and what finds it full replaces the oldest. Each frame offered is sent, dropped, or lost.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import EdgeFuseError
from edgefuse.ffmpeg import encoders, frames
from edgefuse.ffmpeg.child import Child
from edgefuse.frames import FusedFrame
from edgefuse.util.backoff import Backoff

log = logging.getLogger(__name__)

_AHEAD = 8  # frames in wait: a third of a second at 25 Hz
_TICK_S = 0.1
_IDLE_S = 10.0  # without frames for so long, FFmpeg is let go, and with it what it holds back
_JUMP_NS = 10_000_000_000  # a gap that no player should sit through
_BACK_NS = 1_000_000_000  # times less far back than this are a stutter
_STUTTER_NS = 1_000_000
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.25, 4.0
_FORGET = 3  # failures in a row after which the encoders are tried anew


def captured_ns(fused: FusedFrame) -> int:
    """When a fused frame was taken: its newer camera's time. The other one may be held over, or blank."""
    pair = fused.pair
    return max(f.time_ns for f in (pair.visible, pair.infrared) if f.modality != pair.missing)


class Job(Protocol):
    """What is made of the frames. All but `wanted` are called in the pump's thread."""

    encoders: Sequence[str]
    keyframe_s: float
    bitrate_kbit: int
    send_s: float  # FFmpeg may take no frame for so long

    def wanted(self) -> bool:
        """Are frames to be encoded now? From any thread, at once."""

    def outputs(self) -> list[str]:
        """FFmpeg's options after the encoder's, and where it writes to."""

    def begin(self, encoder: str) -> None:
        """A new FFmpeg runs."""

    def output(self, data: bytes) -> None:
        """It wrote this to its standard output."""

    def end(self) -> int:
        """It ended. Returns how many of its frames are known to have gone through."""

    def failed(self, why: str) -> None:
        """It, or finding an encoder, failed; it is tried again. Not called again before frames went through for a while."""

    def hide(self, words: str) -> str:
        """FFmpeg's words without secrets."""


class Pump:
    """`offer` frames from any thread."""

    def __init__(self, name: str, job: Job, fps: float) -> None:
        """fps: nominal, Hz."""
        self._job, self._fps = job, max(fps, 0.01)
        self._frames: deque[tuple[NDArray[np.uint8], int]] = deque()
        self._lock = threading.Condition()
        self._closing = False
        self._finish_s = _LONGEST_WAIT_S
        self.offered, self.dropped, self.lost, self.refused, self.restarts = 0, 0, 0, 0, 0
        self.trouble: str | None = None
        self.pid: int | None = None
        self._child: Child | None = None
        self._sent = self._failures = 0
        self._backoff = Backoff(_FIRST_WAIT_S, _LONGEST_WAIT_S)
        self._size, self._head = (0, 0), b""
        self._origin_ns = self._last_ns = 0
        self._last_at = self._retry_at = 0.0
        self._thread = threading.Thread(target=self._run, name=f"edgefuse-{name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def offer(self, fused: FusedFrame) -> None:
        """Take a frame, at once; refused where none is wanted now."""
        wanted = self._job.wanted()
        with self._lock:
            self.offered += 1
            if not wanted or self._closing:
                self.refused += 1
                return
            if len(self._frames) == _AHEAD:
                self._frames.popleft()
                self.dropped += 1
            self._frames.append((fused.data, captured_ns(fused)))
            self._lock.notify()

    def close(self, timeout_s: float) -> None:
        """Encode what waits and let FFmpeg finish, in `timeout_s` at most; safe to call twice."""
        with self._lock:
            self._closing, self._finish_s = True, timeout_s
            self._lock.notify()
        self._thread.join(timeout_s + 1)

    def _run(self) -> None:
        try:
            while True:
                frame = self._next()
                if frame is None and self._closing:
                    break
                try:
                    self._step(frame)
                except EdgeFuseError as e:
                    self._failed(str(e), frame is not None)
                del frame
            self._finish()
        except Exception as e:  # ours: told, and counted as the frames that nobody takes
            log.exception("encoding stopped")
            self.trouble = f"{type(e).__name__}: {e}"
            if self._child:
                self._child.kill()

    def _next(self) -> tuple[NDArray[np.uint8], int] | None:
        with self._lock:
            if not self._frames and not self._closing:
                self._lock.wait(_TICK_S)
            return self._frames.popleft() if self._frames else None

    def _step(self, frame: tuple[NDArray[np.uint8], int] | None) -> None:
        if self._child and (not self._job.wanted() if frame is None else self._apart(*frame)):
            self._finish()
        if frame is None:
            if self._child:
                self._child.poll()
                if time.monotonic() - self._last_at > _IDLE_S:
                    self._finish()
            return
        if self._child is None:
            if time.monotonic() < self._retry_at:
                self.lost += 1
                return
            self._open(*frame)
        self._send(*frame)

    def _apart(self, image: NDArray[np.uint8], time_ns: int) -> bool:
        """Does this frame not belong into the video of those before?"""
        step = time_ns - self._last_ns
        return _even(image) != self._size or step > _JUMP_NS or step < -_BACK_NS

    def _open(self, image: NDArray[np.uint8], time_ns: int) -> None:
        job, self._size = self._job, _even(image)
        encoder = encoders.choose(job.encoders, self._size)
        command = [encoders.program(), "-hide_banner", "-loglevel", "error", "-fpsprobesize", "0", "-analyzeduration", "0"]
        command += ["-f", "matroska", "-i", "pipe:0", *encoder.options(job.bitrate_kbit, job.keyframe_s), *job.outputs()]
        self._child = Child(command, job.output, job.hide)
        self.pid, self._sent = self._child.pid, 0
        self._origin_ns, self._last_ns = time_ns, time_ns - _STUTTER_NS
        job.begin(encoder.name)
        self._head = frames.head(*self._size, self._fps)

    def _send(self, image: NDArray[np.uint8], time_ns: int) -> None:
        assert self._child is not None
        time_ns = max(time_ns, self._last_ns + _STUTTER_NS)
        picture = frames.i420(image)
        self._sent += 1
        self._child.send(self._head + frames.before(time_ns - self._origin_ns, picture.nbytes), self._job.send_s)
        self._child.send(picture.data.cast("B"), self._job.send_s)
        self._head = b""
        self._last_ns, self._last_at = time_ns, time.monotonic()
        if self._failures and self._sent > self._fps * _LONGEST_WAIT_S:
            self._failures, self.trouble = 0, None
            self._backoff.reset()

    def _finish(self) -> None:
        if self._child is None:
            return
        child, self._child, self.pid = self._child, None, None
        try:
            child.finish(self._finish_s)
        except EdgeFuseError as e:
            self._blame(f"FFmpeg {e}")
        self._account()

    def _failed(self, why: str, with_frame: bool) -> None:
        """Try again later: sooner the first time."""
        child, self._child, self.pid = self._child, None, None
        self._failures += 1
        self.restarts += child is not None
        self._retry_at = time.monotonic() + self._backoff.next_wait_s()
        if self._failures % _FORGET == 0:
            encoders.forget()
        if child:
            child.kill()
            self._account()
        else:
            self.lost += with_frame
        self._blame(f"FFmpeg {why}" if child else why)

    def _blame(self, why: str) -> None:
        first, self.trouble = self.trouble is None, self._job.hide(why)
        if first:
            self._job.failed(self.trouble)

    def _account(self) -> None:
        self.lost += max(0, self._sent - self._job.end())
        self._sent = 0


def _even(image: NDArray[np.uint8]) -> tuple[int, int]:
    """(width, height) as encoded."""
    return image.shape[1] + image.shape[1] % 2, image.shape[0] + image.shape[0] % 2
