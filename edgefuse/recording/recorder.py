"""Thread that writes FFmpeg's fragments into files, or buffers the newest in memory until an alarm is raised.

A slow disk blocks only this thread; the queue holds few fragments, which are compressed. A full disk stops writing; retried every 2 s.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgefuse.errors import OutputError
from edgefuse.events import Facts
from edgefuse.recording.folder import Folder
from edgefuse.recording.fragments import Fragment
from edgefuse.recording.segment import Segment
from edgefuse.recording.trigger import Trigger
from edgefuse.util.restarting_thread import FaultLog, Worker

log = logging.getLogger(__name__)

_INBOX = 64  # fragments: half a minute for a stalled disk to recover
_TICK_S = 0.25
_TIDY_S = 2.0
_RETRY_S = 2.0
_MAX_AGE_S = 15.0


@dataclass(frozen=True, slots=True)
class BufferedFragment:
    """A fragment with its stream's header and its arrival time (monotonic seconds)."""

    fragment: Fragment
    header: bytes
    at_s: float


class Recorder:
    """Writes fragments passed to `add`; `end` marks the end of FFmpeg's stream."""

    def __init__(
        self,
        folder: Folder,
        trigger: Trigger,
        before_s: float,
        segment_s: float,
        buffer_bytes: int,
        max_bytes: int,
        emit: Callable[[Facts], None],
    ) -> None:
        """before_s: seconds buffered for an alarm, limited to `buffer_bytes`.

        A segment is closed after `segment_s` or `max_bytes` (0: no limit). emit: receives events as facts.
        """
        self._folder, self._trigger, self._emit = folder, trigger, emit
        self._before_s, self._segment_s, self._buffer_bytes, self._max_bytes = before_s, segment_s, buffer_bytes, max_bytes
        self._inbox: queue.Queue[BufferedFragment | str] = queue.Queue(_INBOX)
        self._buffered: deque[BufferedFragment] = deque()
        self._buffered_bytes = 0
        self._segment: Segment | None = None
        self._header, self._on = b"", False
        self._retry_at = self._tidy_at = 0.0
        self.recorded = self.passed = self.unwritten = self.segments = self.nbytes = self.kept = 0
        self.trouble: str | None = None
        self.last: Path | None = None
        self._faults = FaultLog(log, "recording")
        self._worker = Worker("edgefuse-recorder", self._run, self._faults)

    def start(self) -> None:
        """Start the thread. Raises EdgeFuseError where the system gives none."""
        self._worker.start()

    @property
    def faults(self) -> int:
        """Number of unexpected errors."""
        return self._faults.count

    @property
    def file(self) -> str | None:
        """Name of the file being written, or None."""
        segment = self._segment
        return segment.path.name if segment else None

    @property
    def held_bytes(self) -> int:
        """Bytes in the buffer."""
        return self._buffered_bytes

    def add(self, fragment: Fragment, header: bytes) -> None:
        """Add a fragment. Blocks where the queue is full, after half a minute of a stalled disk."""
        self._inbox.put(BufferedFragment(fragment, header, time.monotonic()))

    def end(self) -> None:
        """End the current stream; nothing more is appended to the open file."""
        self._inbox.put("end")

    def close(self, timeout_s: float) -> None:
        """Write queued fragments and finish within `timeout_s`; safe to call twice."""
        self._worker.end()
        if self._worker.alive:
            with contextlib.suppress(queue.Full):
                self._inbox.put("close", timeout=timeout_s)
            self._worker.join(timeout_s)

    def _run(self) -> None:
        while True:
            try:
                item = self._inbox.get(timeout=_TICK_S)
            except queue.Empty:
                item = ""
            try:
                self._step(item)
            except OutputError as e:
                self._fail(str(e))
            except Exception as e:  # an unexpected error is reported and retried
                self._faults.note(e)
                self._fail(f"{type(e).__name__}: {e}")
            if item == "close":
                break

    def _step(self, item: BufferedFragment | str) -> None:
        now = time.monotonic()
        if isinstance(item, BufferedFragment):
            self._buffered.append(item)
            self._buffered_bytes += len(item.fragment.data)
            # in alarm mode everything is encoded, so each fragment is checked; in other modes only wanted frames are
            wanted = self._trigger.mode != "alarm" or self._trigger.wanted(item.fragment.seconds)
            try:
                if not wanted:
                    self._finish()
                elif now >= self._retry_at:
                    self._write()
            finally:
                self._trim(now, wanted)
        elif item:
            self._finish()
        if item == "close":
            self._drop(len(self._buffered), self.trouble is not None)
        if self._on and self._segment is None and not self._trigger.wanted():
            self._on = False
            self._emit({"state": "off", "file": self.last.name if self.last else None})
        if now >= self._tidy_at or item == "close":
            self._tidy_at = now + _TIDY_S
            self.kept = self._folder.tidy()

    def _write(self) -> None:
        """Write all buffered fragments into the open file or a new one. Raises OutputError and keeps the unwritten ones."""
        while self._buffered:
            buffered = self._buffered[0]
            fragment = buffered.fragment
            if self._segment and (buffered.header is not self._header or (fragment.key and self._segment_is_full())):
                self._finish()
            if self._segment is None and not fragment.key:
                self._drop(1, lost=True)
                continue
            if not self._folder.has_room(len(fragment.data) + len(buffered.header)):
                self.kept = self._folder.tidy()
                raise OutputError(f"{self._folder.path}: the disk's free space has reached keep_free_mb; free some space")
            if self._segment is None:
                began_s = time.time() - (time.monotonic() - buffered.at_s) - fragment.seconds
                self._segment, self._header = Segment(self._folder, buffered.header, began_s), buffered.header
                if not self._on:
                    self._on = True
                    self._emit({"state": "recording", "file": self.file})
            self._segment.append(fragment)
            self._buffered.popleft()
            self._buffered_bytes -= len(fragment.data)
            self.recorded += fragment.frames
            self.nbytes += len(fragment.data)
            self._report_success()

    def _segment_is_full(self) -> bool:
        s = self._segment
        return s is not None and (s.seconds >= self._segment_s or bool(self._max_bytes and s.nbytes >= self._max_bytes))

    def _finish(self) -> None:
        segment, self._segment = self._segment, None
        if segment and (path := segment.close()):
            self.last = path
            self.segments += 1

    def _trim(self, now: float, wanted: bool) -> None:
        """Drop fragments that are older than the time before an alarm, keeping a key frame at the start."""
        while self._buffered:
            rest = sum(h.fragment.seconds for h in self._buffered)
            group = next((n for n, h in enumerate(self._buffered) if n and h.fragment.key), len(self._buffered))
            seconds = sum(h.fragment.seconds for h, _ in zip(self._buffered, range(group), strict=False))
            stale = now - self._buffered[0].at_s > self._before_s + _MAX_AGE_S
            enough = rest - seconds >= self._before_s and group < len(self._buffered)
            if self._buffered[0].fragment.key and not (enough or stale or self._buffered_bytes > self._buffer_bytes):
                return
            self._drop(group, wanted)

    def _drop(self, count: int, lost: bool) -> None:
        for _ in range(count):
            fragment = self._buffered.popleft().fragment
            self._buffered_bytes -= len(fragment.data)
            if lost:
                self.unwritten += fragment.frames
            else:
                self.passed += fragment.frames

    def _fail(self, why: str) -> None:
        segment, self._segment = self._segment, None
        if segment:
            with contextlib.suppress(OutputError, OSError):
                if path := segment.close():
                    self.last = path
                    self.segments += 1
        self._retry_at = time.monotonic() + _RETRY_S
        if self.trouble is None:
            self._emit({"state": "stopped", "why": why})
        self.trouble = why

    def _report_success(self) -> None:
        if self.trouble is not None:
            self.trouble = None
            self._emit({"state": "resumed", "file": self.file})
