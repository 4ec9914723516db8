"""Any source, its pairs written to a file as they are read (`--record-raw`)."""

from __future__ import annotations

import queue
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import edgefuse
from edgefuse import files
from edgefuse.errors import SettingsError
from edgefuse.frames import FramePair
from edgefuse.rawfile import RawWriter
from edgefuse.sources.base import Source
from edgefuse.uri import Uri

EXTENSION = ".efr"
_AHEAD = 8  # pairs in wait
_HURRY = 3  # with more in wait, frames are written as they are, which takes more room and less time
_RESERVE = 1 << 20  # bytes left free on the disk


class RecordedSource(Source):
    """Reads what `source` reads, and has a thread of its own write it.

    A live source is never held up: what the disk can't take is read on but not recorded, and counted in `dropped`.
    """

    def __init__(self, source: Source, path: Path) -> None:
        """Closes `source` when it is closed. Raises SettingsError for another extension, OutputError where `path` can't be written."""
        if path.suffix.lower() != EXTENSION:
            raise SettingsError(f"{path}: a raw recording ends in {EXTENSION}; rename it")
        files.check_file(path)
        self.info, self._source, self._path = source.info, source, path
        self.dropped = 0
        self._pairs: queue.Queue[FramePair | None] = queue.Queue(_AHEAD)
        self._failure: Exception | None = None
        self._writer = RawWriter(path, {
            "created": datetime.now(UTC).isoformat(timespec="seconds"), "edgefuse": edgefuse.__version__,
            "source": source.info.uri, "fps": source.info.fps, "sequence": source.info.sequence,
        })  # fmt: skip
        self._thread: threading.Thread | None = threading.Thread(target=self._write, name="edgefuse-record-raw", daemon=True)
        self._thread.start()

    @classmethod
    def from_uri(cls, uri: Uri) -> Self:
        raise SettingsError(f"{uri.text}: give the source itself, and --record-raw FILE")

    @property
    def facts(self) -> dict[str, Any]:
        """File, pairs written and dropped, bytes before and after packing."""
        w = self._writer
        return {"file": str(self._path), "pairs": w.pairs, "dropped": self.dropped, "bytes_raw": w.bytes_raw, "bytes": w.bytes_written}

    def read(self) -> FramePair | None:
        """The source's next pair. Raises what the source raises, and OutputError where the recording failed."""
        pair = self._source.read()
        if self._failure is not None:
            raise self._failure
        if pair is not None:
            try:
                self._pairs.put(pair, block=not self.info.live)
            except queue.Full:
                self.dropped += 1
        return pair

    def stop(self) -> None:
        self._source.stop()

    def settle(self, pair: FramePair, cause: str | None) -> None:
        self._source.settle(pair, cause)

    def report(self) -> dict[str, Any]:
        return self._source.report() | {"recording": self.facts}

    def close(self) -> None:
        """Close the source and finish the file. Raises OutputError where that fails."""
        self._source.close()
        if self._thread is not None:
            self._pairs.put(None)
            self._thread.join()
            self._thread = None
            # a disk that is nearly full has room for the end; a writer that failed is closed already
            self._writer.close(self.dropped)
            if self._failure is not None:
                raise self._failure

    def _write(self) -> None:
        while (pair := self._pairs.get()) is not None:
            if self._failure is not None:
                # keep taking, so that nobody waits for a full queue
                self.dropped += 1
                continue
            try:
                files.check_space(self._path.parent, _RESERVE + pair.nbytes)
                self._writer.write(pair, pack=self._pairs.qsize() < _HURRY or not self.info.live)
            except Exception as e:
                # whatever it is, the reader is told
                self._failure = e
                self.dropped += 1
