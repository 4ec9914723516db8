"""Thread that passes frames to FFmpeg and restarts it when it dies or hangs, or when the frames change size or jump in time.

The run never waits for it: the queue is short, and a new frame replaces the oldest where it is full. Each frame offered is sent,
dropped or lost.
"""

from __future__ import annotations

import contextlib
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
from edgefuse.ffmpeg.process import FFmpegProcess
from edgefuse.frames import FusedFrame
from edgefuse.util.backoff import Backoff
from edgefuse.util.restarting_thread import FaultLog, Worker

log = logging.getLogger(__name__)

_QUEUE_LENGTH = 8  # frames in the queue: a third of a second at 25 Hz
_TICK_S = 0.1
_IDLE_S = 10.0  # FFmpeg is ended after this long without frames, so that it writes out what it holds back
_JUMP_NS = 10_000_000_000  # a larger gap starts a new video
_BACKWARD_NS = 1_000_000_000  # a larger step back starts a new video; a smaller one is jitter
_MIN_STEP_NS = 1_000_000
_FIRST_RETRY_S, _LAST_RETRY_S = 0.25, 2.0  # with a trial of the encoder and its first output, back within five seconds
_CHEAP_RETRY_S = 0.5  # where FFmpeg could not even be started
_RETRY_ENCODERS = 3  # failures in a row after which the encoders are tried again: a driver may have stopped working
_FINISH_S, _FINISH_MOST_S = 4.0, 12.0  # seconds for FFmpeg to finish a video, but the last: without progress, and in all
_STEADY_S = 4.0  # seconds of frames without a failure after which the trouble is over


def captured_ns(fused: FusedFrame) -> int:
    """Return a fused frame's capture time: the newer camera's, because the other frame may be reused or blank."""
    pair = fused.pair
    return max(f.time_ns for f in (pair.visible, pair.infrared) if f.modality != pair.missing)


class EncodingJob(Protocol):
    """Settings of an encoder thread, and callbacks for its output. All methods but `wanted` are called in the encoder thread."""

    encoders: Sequence[str]
    keyframe_s: float
    bitrate_kbit: int
    send_s: float  # longest time for which FFmpeg may accept no data

    def wanted(self) -> bool:
        """Return whether frames are to be encoded now. Called from any thread; must return at once."""

    def outputs(self) -> list[str]:
        """Return FFmpeg's options after the encoder's, including the output."""

    def begin(self, encoder: str) -> None:
        """Prepare for the output of a new FFmpeg process, which uses `encoder`."""

    def output(self, data: bytes) -> None:
        """Handle data that FFmpeg wrote to its standard output."""

    def end(self) -> int:
        """Finish after FFmpeg has ended. Returns how many of its frames are known to have been output."""

    def failed(self, why: str) -> None:
        """Report a failure of FFmpeg or of finding an encoder; it will be retried. Called again only after a while without failures."""

    def hide(self, words: str) -> str:
        """Return FFmpeg's error text without secrets."""


class EncoderThread:
    """Encodes frames passed to `offer` from any thread."""

    def __init__(self, name: str, job: EncodingJob, fps: float) -> None:
        """fps: nominal, Hz."""
        self._job, self._fps = job, max(fps, 0.01)
        self._frames: deque[tuple[NDArray[np.uint8], int]] = deque()
        self._lock = threading.Condition()
        self._closing = False
        self._finish_s, self._finish_most_s = _FINISH_S, _FINISH_MOST_S
        self.offered, self.dropped, self.lost, self.refused, self.restarts = 0, 0, 0, 0, 0
        self.trouble: str | None = None
        self.pid: int | None = None
        self._process: FFmpegProcess | None = None
        self._sent = self._failures = 0
        self._backoff = Backoff(_FIRST_RETRY_S, _LAST_RETRY_S)
        self._size, self._pending_header = (0, 0), b""
        self._origin_ns = self._last_ns = 0
        self._last_at = self._retry_at = 0.0
        self._faults = FaultLog(log, f"encoding ({name})")
        self._worker = Worker(f"edgefuse-{name}", self._run, self._faults)

    @property
    def faults(self) -> int:
        """Number of unexpected errors."""
        return self._faults.count

    def start(self) -> None:
        """Start the thread. Raises EdgeFuseError where the system gives none."""
        self._worker.start()

    def offer(self, fused: FusedFrame) -> None:
        """Queue a frame; returns at once. Frames are refused while none are wanted."""
        wanted = self._job.wanted()
        with self._lock:
            self.offered += 1
            if not wanted or self._closing:
                self.refused += 1
                return
            if len(self._frames) == _QUEUE_LENGTH:
                self._frames.popleft()
                self.dropped += 1
            self._frames.append((fused.data, captured_ns(fused)))
            self._lock.notify()

    def close(self, idle_s: float, most_s: float) -> None:
        """Encode queued frames and let FFmpeg finish, with progress at least every `idle_s`, within `most_s`; safe to call twice."""
        with self._lock:
            self._closing, self._finish_s, self._finish_most_s = True, idle_s, most_s
            self._lock.notify()
        self._worker.end()
        self._worker.join(most_s + 1)

    def _run(self) -> None:
        while True:
            frame = self._next()
            if frame is None and self._closing:
                break
            try:
                self._step(frame)
            except EdgeFuseError as e:
                self._failed(str(e), frame is not None, isinstance(e, encoders.NotStartedError))
            except Exception as e:  # whatever the error, FFmpeg is started anew
                self._faults.note(e)
                self._failed(f"{type(e).__name__}: {e}", frame is not None, isinstance(e, MemoryError))
            del frame
        self._finish()

    def _next(self) -> tuple[NDArray[np.uint8], int] | None:
        with self._lock:
            if not self._frames and not self._closing:
                self._lock.wait(_TICK_S)
            return self._frames.popleft() if self._frames else None

    def _step(self, frame: tuple[NDArray[np.uint8], int] | None) -> None:
        if self._process and (not self._job.wanted() if frame is None else self._needs_new_video(*frame)):
            self._finish()
        if frame is None:
            if self._process:
                self._process.poll()
                if time.monotonic() - self._last_at > _IDLE_S:
                    self._finish()
            return
        if self._process is None:
            if time.monotonic() < self._retry_at:
                self.lost += 1
                return
            self._open(*frame)
        self._send(*frame)

    def _needs_new_video(self, image: NDArray[np.uint8], time_ns: int) -> bool:
        """Whether this frame cannot continue the current video."""
        step = time_ns - self._last_ns
        return _even_size(image) != self._size or step > _JUMP_NS or step < -_BACKWARD_NS

    def _open(self, image: NDArray[np.uint8], time_ns: int) -> None:
        job, self._size = self._job, _even_size(image)
        encoder = encoders.choose(job.encoders, self._size)
        command = [encoders.program(), "-hide_banner", "-loglevel", "error", "-fpsprobesize", "0", "-analyzeduration", "0"]
        command += ["-f", "matroska", "-i", "pipe:0", *encoder.options(job.bitrate_kbit, job.keyframe_s), *job.outputs()]
        self._process = FFmpegProcess(command, job.output, job.hide)
        self.pid, self._sent = self._process.pid, 0
        self._origin_ns, self._last_ns = time_ns, time_ns - _MIN_STEP_NS
        job.begin(encoder.name)
        self._pending_header = frames.file_header(*self._size, self._fps)

    def _send(self, image: NDArray[np.uint8], time_ns: int) -> None:
        assert self._process is not None
        time_ns = max(time_ns, self._last_ns + _MIN_STEP_NS)
        self._sent += 1  # before anything that may fail, so that the frame counts as lost then
        picture = frames.i420(image)
        self._process.send(self._pending_header + frames.frame_header(time_ns - self._origin_ns, picture.nbytes), self._job.send_s)
        self._process.send(picture.data.cast("B"), self._job.send_s)
        self._pending_header = b""
        self._last_ns, self._last_at = time_ns, time.monotonic()
        if self._failures and self._sent > self._fps * _STEADY_S:
            self._failures, self.trouble = 0, None
            self._backoff.reset()

    def _finish(self) -> None:
        if self._process is None:
            return
        process, self._process, self.pid = self._process, None, None
        try:
            process.finish(self._finish_s, self._finish_most_s)
        except (EdgeFuseError, OSError) as e:
            self._report_error(f"FFmpeg {e}")
        self._count_lost()

    def _failed(self, why: str, with_frame: bool, soon: bool) -> None:
        """Schedule a retry with exponential back-off. soon: but in half a second at most, because the attempt costs little."""
        process, self._process, self.pid = self._process, None, None
        self._failures += 1
        self.restarts += process is not None
        wait_s = self._backoff.next_wait_s()
        self._retry_at = time.monotonic() + (min(wait_s, _CHEAP_RETRY_S) if soon else wait_s)
        if self._failures % _RETRY_ENCODERS == 0:
            encoders.forget_results()
        if process:
            with contextlib.suppress(OSError):
                process.kill()
            self._count_lost()
        else:
            self.lost += with_frame
        self._report_error(f"FFmpeg {why}" if process else why)

    def _report_error(self, why: str) -> None:
        first, self.trouble = self.trouble is None, self._job.hide(why)
        if first:
            self._job.failed(self.trouble)

    def _count_lost(self) -> None:
        self.lost += max(0, self._sent - self._job.end())
        self._sent = 0


def _even_size(image: NDArray[np.uint8]) -> tuple[int, int]:
    """Return (width, height) as encoded, both even."""
    return image.shape[1] + image.shape[1] % 2, image.shape[0] + image.shape[0] % 2
