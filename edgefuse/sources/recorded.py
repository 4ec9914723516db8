"""Any source, its pairs written to a file as they are read (`--record-raw`)."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import edgefuse
from edgefuse.errors import OutputError, SettingsError
from edgefuse.events import Event
from edgefuse.frames import FramePair
from edgefuse.sources.base import Source
from edgefuse.sources.rawfile import RawWriter
from edgefuse.util import files
from edgefuse.util.backoff import Backoff
from edgefuse.util.uri import Uri

EXTENSION = ".efr"
_AHEAD = 8  # pairs in wait
_HURRY = 3  # with more in wait, frames are written as they are, which takes more room and less time
_RESERVE = 1 << 20  # bytes left free on the disk


class RecordedSource(Source):
    """Reads what `source` reads, and has a thread of its own write it.

    A live source is never held up: what the disk can't take is read on but not recorded, and counted in `dropped`. If `patient`, so it is
    when the writing failed; it is tried again, into a file of the next free name.
    """

    def __init__(self, source: Source, path: Path, patient: bool = False, tell: Callable[[Event], None] = lambda _: None) -> None:
        """Closes `source` when it is closed. tell: of each change of state. Raises SettingsError for another extension, OutputError where
        `path` can't be written."""
        if path.suffix.lower() != EXTENSION:
            raise SettingsError(f"{path}: a raw recording ends in {EXTENSION}; rename it")
        files.check_file(path)
        self.info, self.source, self._path, self._patient, self._tell = source.info, source, path, patient, tell
        self.dropped = self._faults = 0
        self._before = [0, 0, 0]  # pairs, raw bytes and bytes of the files before this one
        self._pairs: queue.Queue[FramePair | None] = queue.Queue(_AHEAD)
        self._failure: Exception | None = None
        self._backoff = Backoff()
        self._writer = self._open()
        self._thread: threading.Thread | None = threading.Thread(target=self._write, name="edgefuse-record-raw", daemon=True)
        self._thread.start()

    @classmethod
    def from_uri(cls, uri: Uri) -> Self:
        raise SettingsError(f"{uri.text}: give the source itself, and --record-raw FILE")

    def _open(self) -> RawWriter:
        return RawWriter(self._path, {
            "created": datetime.now(UTC).isoformat(timespec="seconds"), "edgefuse": edgefuse.__version__,
            "source": self.info.uri, "fps": self.info.fps, "sequence": self.info.sequence,
        })  # fmt: skip

    @property
    def facts(self) -> dict[str, Any]:
        """The last file; of all: pairs written and dropped, bytes before and after packing, and how often writing failed."""
        w = self._writer
        pairs, raw, written = (a + b for a, b in zip(self._before, (w.pairs, w.bytes_raw, w.bytes_written), strict=True))
        return {
            "file": str(self._path),
            "pairs": pairs,
            "dropped": self.dropped,
            "bytes_raw": raw,
            "bytes": written,
            "faults": self._faults,
        }

    def read(self) -> FramePair | None:
        """The source's next pair. Raises what the source raises, and OutputError where the recording failed."""
        pair = self.source.read()
        if self._failure is not None and not self._patient:
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

    def report(self) -> dict[str, Any]:
        return self.source.report() | {"record_raw": self.facts}

    def close(self) -> None:
        """Close the source and finish the file. Raises OutputError where that fails."""
        self.source.close()
        self.finish()

    def finish(self) -> None:
        """Finish the file, leaving the source open. Raises OutputError where that fails."""
        if self._thread is not None:
            self._pairs.put(None)
            self._thread.join()
            self._thread = None
            # a disk that is nearly full has room for the end; a writer that failed is closed already
            self._writer.close(self.dropped)
            if self._failure is not None and not self._patient:
                raise self._failure

    def _write(self) -> None:
        while (pair := self._pairs.get()) is not None:
            if self._failure is not None and (not self._patient or self._backoff.left_s):
                # keep taking, so that nobody waits for a full queue
                self.dropped += 1
                continue
            try:
                files.check_space(self._path.parent, _RESERVE + pair.nbytes)
                if self._failure is not None:
                    self._begin_anew()
                self._writer.write(pair, pack=self._pairs.qsize() < _HURRY or not self.info.live)
            except Exception as e:
                # whatever it is, the reader is told
                self._failed(e)

    def _failed(self, e: Exception) -> None:
        self.dropped += 1
        if self._patient and self._failure is None:
            self._faults += 1
            self._tell(Event("sink", self._path.name, {"state": "set aside", "error": str(e)}))
            with contextlib.suppress(OutputError):
                self._writer.close(self.dropped)
        self._failure = e
        self._backoff.failed()

    def _begin_anew(self) -> None:
        """A new file beside the one that failed, which plays up to its last whole pair."""
        self._path = files.unused(self._path)
        writer, w = self._open(), self._writer
        self._before = [a + b for a, b in zip(self._before, (w.pairs, w.bytes_raw, w.bytes_written), strict=True)]
        self._writer, self._failure = writer, None
        self._tell(Event("sink", self._path.name, {"state": "back", "lost": self.dropped}))
