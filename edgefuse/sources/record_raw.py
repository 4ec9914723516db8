"""Wrapper of a source that writes its pairs to a file as they are read (`--record-raw`)."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import edgefuse
from edgefuse.errors import EdgeFuseError, SettingsError
from edgefuse.events import Event, OutputState
from edgefuse.frames import FramePair
from edgefuse.sources.base import RawRecordingReport, Source, SourceReport
from edgefuse.sources.rawfile import RawWriter
from edgefuse.util import files
from edgefuse.util.backoff import Backoff
from edgefuse.util.restarting_thread import FaultLog, Worker
from edgefuse.util.uri import Uri, safe

log = logging.getLogger(__name__)

EXTENSION = ".efr"
_QUEUE_LENGTH = 8  # pairs in the queue
_BUSY_LENGTH = 3  # above this queue length frames are written uncompressed, which takes more space and less time
_RESERVE = 1 << 20  # bytes left free on the disk


class RecordedSource(Source):
    """Passes on `source`'s pairs while a thread writes them to a file.

    A live source is never blocked: pairs that the disk cannot take are passed on but not recorded, and counted in `dropped`. With
    `keep_going` the same holds after a write error; writing is retried into a file with the next free name.
    """

    def __init__(self, source: Source, path: Path, keep_going: bool = False, emit: Callable[[Event], None] = lambda _: None) -> None:
        """Closes `source` when closed. emit: receives an event for each change of state.

        Raises SettingsError for another extension, OutputError where `path` is not writable.
        """
        if path.suffix.lower() != EXTENSION:
            raise SettingsError(f"{path}: a raw recording needs the extension {EXTENSION}")
        files.check_file(path)
        self.info, self.source, self._path, self._keep_going, self._emit = source.info, source, path, keep_going, emit
        self.dropped = self._faults = 0
        self._totals = [0, 0, 0]  # pairs, raw bytes and written bytes of the files before this one
        self._pairs: queue.Queue[FramePair | None] = queue.Queue(_QUEUE_LENGTH)
        self._failure: Exception | None = None
        self._backoff = Backoff()
        self._writer = self._open()
        self._worker: Worker | None = Worker("edgefuse-record-raw", self._write, FaultLog(log, "the raw recording"))
        self._worker.start()

    @classmethod
    def from_uri(cls, uri: Uri) -> Self:
        raise SettingsError(f"{uri.text}: use the source itself with --record-raw FILE")

    def _open(self) -> RawWriter:
        return RawWriter(self._path, {
            "created": datetime.now(UTC).isoformat(timespec="seconds"), "edgefuse": edgefuse.__version__,
            "source": safe(self.info.uri), "fps": self.info.fps, "sequence": self.info.sequence,
        })  # fmt: skip

    @property
    def name(self) -> str:
        """Name of the file being written."""
        return self._path.name

    @property
    def state(self) -> OutputState:
        """Whether pairs can be written now."""
        failure = self._failure
        return OutputState(True, failure is None, faults=self._faults, why=str(failure or ""))

    @property
    def facts(self) -> RawRecordingReport:
        """Name of the last file, and over all files: pairs written and dropped, bytes before and after compression, number of faults."""
        w = self._writer
        pairs, raw, written = (a + b for a, b in zip(self._totals, (w.pairs, w.bytes_raw, w.bytes_written), strict=True))
        return {
            "file": str(self._path),
            "pairs": pairs,
            "dropped": self.dropped,
            "bytes_raw": raw,
            "bytes": written,
            "faults": self._faults,
        }

    def read(self) -> FramePair | None:
        """Return the source's next pair. Raises the source's errors, and OutputError where the recording failed."""
        pair = self.source.read()
        if self._failure is not None and not self._keep_going:
            raise self._failure
        if pair is not None:
            try:
                self._pairs.put(pair, block=not self.info.live)
            except queue.Full:
                self.dropped += 1
        return pair

    def stop(self) -> None:
        self.source.stop()

    def settle(self, pair: FramePair, cause: str | None) -> None:
        self.source.settle(pair, cause)

    def report(self) -> SourceReport:
        return {**self.source.report(), "record_raw": self.facts}

    def close(self) -> None:
        """Close the source and finish the file. Raises OutputError on failure."""
        self.source.close()
        self.finish()

    def finish(self) -> None:
        """Finish the file without closing the source. Raises OutputError on failure."""
        if self._worker is not None:
            self._pairs.put(None)
            self._worker.join(threading.TIMEOUT_MAX)
            self._worker = None
            # _RESERVE leaves space for the file's end; after a failure the writer is closed already
            self._writer.close(self.dropped)
            if self._failure is not None and not self._keep_going:
                raise self._failure

    def _write(self) -> None:
        while (pair := self._pairs.get()) is not None:
            if self._failure is not None and (not self._keep_going or self._backoff.left_s):
                # keep emptying the queue, so that no reader blocks
                self.dropped += 1
                continue
            try:
                files.check_space(self._path.parent, _RESERVE + pair.nbytes)
                if self._failure is not None:
                    self._reopen()
                self._writer.write(pair, pack=self._pairs.qsize() < _BUSY_LENGTH or not self.info.live)
            except Exception as e:
                # the reader raises it, whatever it is
                self._failed(e)

    def _failed(self, e: Exception) -> None:
        self.dropped += 1
        if self._keep_going and self._failure is None:
            self._faults += 1
            self._emit(Event("sink", self._path.name, {"state": "set aside", "error": str(e)}))
            with contextlib.suppress(EdgeFuseError, OSError):
                self._writer.close(self.dropped)
        self._failure = e
        self._backoff.failed()

    def _reopen(self) -> None:
        """Start a new file beside the failed one, which is readable up to its last complete pair."""
        self._path = files.unused(self._path)
        writer, w = self._open(), self._writer
        self._totals = [a + b for a, b in zip(self._totals, (w.pairs, w.bytes_raw, w.bytes_written), strict=True)]
        self._writer, self._failure = writer, None
        self._emit(Event("sink", self._path.name, {"state": "back", "lost": self.dropped}))
