"""A thread that puts FFmpeg's fragments into files, or holds the newest in memory until an alarm wants them.

A slow disk holds up this thread alone: the fragments in wait are compressed, and few. A full disk stops it; it looks again every 2 s.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgefuse.errors import OutputError
from edgefuse.recording.folder import Folder
from edgefuse.recording.fragments import Fragment
from edgefuse.recording.segment import Segment
from edgefuse.recording.trigger import Trigger

log = logging.getLogger(__name__)

_INBOX = 64  # fragments: half a minute for a disk to come back
_TICK_S = 0.25
_TIDY_S = 2.0
_RETRY_S = 2.0
_STALE_S = 15.0


@dataclass(frozen=True, slots=True)
class Held:
    """A fragment, the head of the stream it belongs to, and when it came (monotonic)."""

    fragment: Fragment
    head: bytes
    at_s: float


class Recorder:
    """`take` what FFmpeg makes; `end` where its stream does."""

    def __init__(
        self,
        folder: Folder,
        trigger: Trigger,
        before_s: float,
        segment_s: float,
        buffer: int,
        largest: int,
        tell: Callable[[Mapping[str, Any]], None],
    ) -> None:
        """before_s: held for an alarm, in `buffer` bytes at most. A segment is closed after `segment_s` or `largest` bytes (0: any size).
        tell: what happened, as facts."""
        self._folder, self._trigger, self._tell = folder, trigger, tell
        self._before_s, self._segment_s, self._buffer, self._largest = before_s, segment_s, buffer, largest
        self._inbox: queue.Queue[Held | str] = queue.Queue(_INBOX)
        self._held: deque[Held] = deque()
        self._held_bytes = 0
        self._segment: Segment | None = None
        self._head, self._on = b"", False
        self._retry_at = self._tidy_at = 0.0
        self.recorded = self.passed = self.unwritten = self.segments = self.nbytes = self.kept = 0
        self.trouble: str | None = None
        self.last: Path | None = None
        self._thread = threading.Thread(target=self._run, name="edgefuse-recorder", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def file(self) -> str | None:
        """The name of the file that is being written."""
        segment = self._segment
        return segment.path.name if segment else None

    @property
    def held_bytes(self) -> int:
        return self._held_bytes

    def take(self, fragment: Fragment, head: bytes) -> None:
        """Waits where the disk has been too slow for half a minute."""
        self._inbox.put(Held(fragment, head, time.monotonic()))

    def end(self) -> None:
        """Nothing follows in the file that is open."""
        self._inbox.put("end")

    def close(self, timeout_s: float) -> None:
        """Write what is in wait and finish, in `timeout_s` at most; safe to call twice."""
        if self._thread.is_alive():
            with contextlib.suppress(queue.Full):
                self._inbox.put("close", timeout=timeout_s)
            self._thread.join(timeout_s)

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
            except Exception as e:  # ours; told, and tried again
                log.exception("recording failed")
                self._fail(f"{type(e).__name__}: {e}")
            if item == "close":
                break

    def _step(self, item: Held | str) -> None:
        now = time.monotonic()
        if isinstance(item, Held):
            self._held.append(item)
            self._held_bytes += len(item.fragment.data)
            # what began while it was wanted; but for alarms nothing else is encoded
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
            self._drop(len(self._held), self.trouble is not None)
        if self._on and self._segment is None and not self._trigger.wanted():
            self._on = False
            self._tell({"state": "off", "file": self.last.name if self.last else None})
        if now >= self._tidy_at or item == "close":
            self._tidy_at = now + _TIDY_S
            self.kept = self._folder.tidy()

    def _write(self) -> None:
        """All that is held, into the open file or a new one. Raises OutputError, and holds on to what is not written."""
        while self._held:
            held = self._held[0]
            fragment = held.fragment
            if self._segment and (held.head is not self._head or (fragment.key and self._long())):
                self._finish()
            if self._segment is None and not fragment.key:
                self._drop(1, lost=True)
                continue
            if not self._folder.has_room(len(fragment.data) + len(held.head)):
                self.kept = self._folder.tidy()
                raise OutputError(f"{self._folder.path}: no more of this disk may be taken (keep_free_mb); free some space")
            if self._segment is None:
                began_s = time.time() - (time.monotonic() - held.at_s) - fragment.seconds
                self._segment, self._head = Segment(self._folder, held.head, began_s), held.head
                if not self._on:
                    self._on = True
                    self._tell({"state": "recording", "file": self.file})
            self._segment.append(fragment)
            self._held.popleft()
            self._held_bytes -= len(fragment.data)
            self.recorded += fragment.frames
            self.nbytes += len(fragment.data)
            self._well()

    def _long(self) -> bool:
        s = self._segment
        return s is not None and (s.seconds >= self._segment_s or bool(self._largest and s.nbytes >= self._largest))

    def _finish(self) -> None:
        segment, self._segment = self._segment, None
        if segment and (path := segment.close()):
            self.last = path
            self.segments += 1

    def _trim(self, now: float, wanted: bool) -> None:
        """Hold no more than the time before an alarm, from a key frame on."""
        while self._held:
            rest = sum(h.fragment.seconds for h in self._held)
            group = next((n for n, h in enumerate(self._held) if n and h.fragment.key), len(self._held))
            seconds = sum(h.fragment.seconds for h, _ in zip(self._held, range(group), strict=False))
            stale = now - self._held[0].at_s > self._before_s + _STALE_S
            enough = rest - seconds >= self._before_s and group < len(self._held)
            if self._held[0].fragment.key and not (enough or stale or self._held_bytes > self._buffer):
                return
            self._drop(group, wanted)

    def _drop(self, count: int, lost: bool) -> None:
        for _ in range(count):
            fragment = self._held.popleft().fragment
            self._held_bytes -= len(fragment.data)
            if lost:
                self.unwritten += fragment.frames
            else:
                self.passed += fragment.frames

    def _fail(self, why: str) -> None:
        segment, self._segment = self._segment, None
        if segment:
            with contextlib.suppress(OutputError):
                if path := segment.close():
                    self.last = path
                    self.segments += 1
        self._retry_at = time.monotonic() + _RETRY_S
        if self.trouble is None:
            self._tell({"state": "stopped", "why": why})
        self.trouble = why

    def _well(self) -> None:
        if self.trouble is not None:
            self.trouble = None
            self._tell({"state": "resumed", "file": self.file})
