"""Lossless recording of the input pairs, in separate files beside the videos (`raw = true`), in the format of edgefuse.sources.rawfile."""

from __future__ import annotations

import contextlib
import logging
import queue
import time
from collections.abc import Callable

import edgefuse
from edgefuse.errors import OutputError
from edgefuse.events import Facts
from edgefuse.frames import FramePair
from edgefuse.recording.folder import Folder
from edgefuse.sources.rawfile import RawWriter
from edgefuse.util.restarting_thread import FaultLog, Worker

log = logging.getLogger(__name__)

_QUEUE_LENGTH = 8  # pairs in the queue
_BUSY_LENGTH = 3  # above this queue length pairs are written uncompressed, which takes more bytes and less time
_TICK_S = 0.25
_SYNC_S = 0.5
_RETRY_S = 2.0


class RawRecorder:
    """Writes pairs passed to `offer`; finishes the file where no more come."""

    def __init__(
        self,
        folder: Folder,
        wanted: Callable[[], bool],
        segment_s: float,
        max_bytes: int,
        header: Facts,
        emit: Callable[[Facts], None],
    ) -> None:
        """header: `source` and `fps` for the file header. max_bytes: size at which a file is finished; 0 for no limit. emit: as in
        Recorder."""
        self._folder, self._wanted, self._header, self._emit = folder, wanted, {**header, "edgefuse": edgefuse.__version__}, emit
        self._segment_s, self._max_bytes = segment_s, max_bytes
        self._pairs: queue.Queue[FramePair | None] = queue.Queue(_QUEUE_LENGTH)
        self._writer: RawWriter | None = None
        self._until = self._sync_at = self._retry_at = 0.0
        self.pairs = self.dropped = self.nbytes = 0
        self.trouble: str | None = None
        self._faults = FaultLog(log, "raw recording")
        self._worker = Worker("edgefuse-recorder-raw", self._run, self._faults)
        self._worker.start()

    @property
    def faults(self) -> int:
        """Number of unexpected errors."""
        return self._faults.count

    def offer(self, pair: FramePair) -> None:
        """Queue a pair; returns at once. Drops and counts it where the disk is too slow."""
        try:
            self._pairs.put_nowait(pair)
        except queue.Full:
            self.dropped += 1

    def close(self, timeout_s: float) -> None:
        """Write queued pairs and finish within `timeout_s`; safe to call twice."""
        self._worker.end()
        if self._worker.alive:
            with contextlib.suppress(queue.Full):
                self._pairs.put(None, timeout=timeout_s)
            self._worker.join(timeout_s)

    def _run(self) -> None:
        closing = False
        while not closing:
            pair = None
            try:
                pair = self._pairs.get(timeout=_TICK_S)
                closing = pair is None
            except queue.Empty:
                pass
            try:
                self._step(pair, closing)
            except OutputError as e:
                self._fail(str(e), pair is not None)
            except Exception as e:  # an unexpected error is reported and retried
                self._faults.note(e)
                self._fail(f"{type(e).__name__}: {e}", pair is not None)

    def _step(self, pair: FramePair | None, closing: bool) -> None:
        now = time.monotonic()
        if self._writer and (closing or now >= self._until or (pair is None and not self._wanted()) or self._is_full()):
            self._finish()
        if pair is None:
            return
        if now < self._retry_at:
            self.dropped += 1
            return
        if not self._folder.has_room(pair.nbytes):
            self._folder.tidy()
            raise OutputError(f"{self._folder.path}: the disk's free space has reached keep_free_mb; free some space")
        if self._writer is None:
            began_s = time.time()
            self._writer = RawWriter(self._folder.new(".efr", began_s), {**self._header, "created_s": began_s, "sequence": True})
            self._until = now + self._segment_s
        before = self._writer.bytes_written
        self._writer.write(pair, pack=self._pairs.qsize() < _BUSY_LENGTH)
        self.nbytes += self._writer.bytes_written - before
        self.pairs += 1
        if now >= self._sync_at:
            self._writer.sync()
            self._sync_at = now + _SYNC_S
        if self.trouble is not None:
            self.trouble = None
            self._emit({"state": "resumed", "file": self._writer.path.name})

    def _is_full(self) -> bool:
        return bool(self._writer and self._max_bytes and self._writer.bytes_written >= self._max_bytes)

    def _finish(self) -> None:
        writer, self._writer = self._writer, None
        if writer:
            with contextlib.ExitStack() as stack:  # in reverse order, and each whatever becomes of the others
                stack.callback(self._folder.finish, writer.path)
                stack.callback(writer.close)
                writer.sync()

    def _fail(self, why: str, with_pair: bool) -> None:
        self.dropped += with_pair
        # the file is readable up to its last complete pair
        with contextlib.suppress(OutputError, OSError):
            self._finish()
        self._retry_at = time.monotonic() + _RETRY_S
        if self.trouble is None:
            self._emit({"state": "stopped", "why": why})
        self.trouble = why
