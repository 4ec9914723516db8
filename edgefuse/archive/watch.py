"""Watches a folder and compresses each complete cube; optionally deletes the original once the copy is verified and in the manifest.

The process may be killed at any moment. After a restart it compresses the cubes that the manifest does not list; every target that the
manifest lists is complete.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgefuse.archive import job
from edgefuse.archive.compression import CompressionJob
from edgefuse.archive.incoming import IncomingCubes
from edgefuse.archive.job import EFZ
from edgefuse.archive.manifest import Manifest, sha256
from edgefuse.errors import OutputError
from edgefuse.hyperspectral.quality import Quality
from edgefuse.util.files import output_error, unused

BAD = "bad"  # subfolder that unusable cubes are moved to
_POLL_S, _RETRY_FULL_S = 1.0, 10.0
_MAX_LISTED = 100

Say = Callable[[str], None]


@dataclass(slots=True)
class Counts:
    """Counters since the start. bad: unusable cubes; set_aside: (name, reason) of the first 100. full: attempts that met a full disk."""

    done: int = 0
    already: int = 0
    deleted: int = 0
    bad: int = 0
    full: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    set_aside: list[tuple[str, str]] = field(default_factory=list)


class Watch:
    """Watches one folder: `run` works until `stop`."""

    def __init__(self, incoming: IncomingCubes, manifest: Manifest, quality: Quality, delete: bool, say: Say) -> None:
        """delete: delete an original after its copy was decoded and read back from disk. say: receives messages for the user."""
        self._incoming, self._manifest, self._quality, self._delete, self._say = incoming, manifest, quality, delete, say
        self._wake = threading.Event()
        self._stopped = False
        self._retry_at = 0.0
        self.counts = Counts()

    def stop(self) -> None:
        """End `run` after the current cube. Callable from any thread or signal handler."""
        self._stopped = True
        self._wake.set()

    def file_closed(self, name: str) -> None:
        """Handle an event: the file `name` was closed or moved into the folder. Callable from any thread."""
        self._incoming.file_closed(name)
        self._wake.set()

    def run(self, forever: bool, beat: Callable[[], None]) -> None:
        """Compress cubes as they arrive; without `forever`, only those already in the folder.

        beat: called about every second, also while compressing.
        Raises CubeError if the folder is gone, OutputError if nothing can be written. With `forever`, waits while the disk is full.
        """
        while not self._stopped:
            beat()
            self._wake.clear()
            complete, given_up = self._incoming.scan(time.monotonic())
            for path, why in given_up:
                self._give_up(path, why, move=forever)
            for path in complete:
                if self._stopped or time.monotonic() < self._retry_at:
                    break
                if self._is_done(path):
                    continue
                if (full := self._compress(path, beat)) is not None and not forever:
                    raise full
            if not forever and not self._incoming.waiting:
                return
            self._wake.wait(_POLL_S if forever else 0.01)

    def _is_done(self, path: Path) -> bool:
        """Return whether the manifest lists `path` in its current state; if so, delete it where requested."""
        files = job.source_files(path)
        if not self._manifest.done(path.name, files, self._job(path).settings):
            return False
        self.counts.already += 1
        return self._finish(path, files)

    def _job(self, path: Path) -> CompressionJob:
        folder = self._manifest.folder
        return CompressionJob("compress", path.name, path, self._unused_target(path.name), folder, self._quality)

    def _unused_target(self, name: str) -> Path:
        """Return an unused target for the cube `name`; an earlier target of that name may be the only copy of its cube."""
        number = 1
        while self._manifest.taken(target := name + (f".{number}" if number > 1 else "") + EFZ):
            number += 1
        return self._manifest.folder / target

    def _compress(self, path: Path, beat: Callable[[], None]) -> OutputError | None:
        """Compress one cube. Returns the error if the disk is full, else None."""
        record = job.run(self._job(path), lambda done, total: beat())
        full: OutputError | None = OutputError(record["message"]) if record["state"] == "full" else None
        if record["state"] == "done":
            try:
                self._manifest.append(record)
            except OutputError as e:
                if not e.full:
                    raise
                full = e
        if full is not None:
            self.counts.full += 1
            self._retry_at = time.monotonic() + _RETRY_FULL_S
            self._say(f"{full}; {path.name} waits, and is tried again")
        elif record["state"] == "done":
            self.counts.done += 1
            self.counts.bytes_in += sum(f["bytes"] for f in record["source"])
            self.counts.bytes_out += record["target"]["bytes"]
            figures = record["figures"]
            self._say(f"{path.name}: {figures['ratio']:.2f} times smaller, {figures['bpppc']:.4f} bits a pixel and channel")
            self._finish(path, job.source_files(path))
        elif record["state"] == "bad":
            self._incoming.mark_unusable(path, record["message"])
        return full

    def _finish(self, path: Path, files: list[Path]) -> bool:
        """Dismiss a finished cube; where requested, delete it if it is unchanged and its copy is intact.

        Returns False if it has to be compressed again.
        """
        self._incoming.dismiss(path)
        if not self._delete:
            return True
        try:
            record = self._manifest.record(path.name) or {}
            unchanged = [f["sha256"] for f in record["source"]] == [sha256(f) for f in files]
            if not unchanged or not self._manifest.intact(record, read=True):
                # the cube changed or its copy is damaged: compress it again
                self._manifest.append({**record, "state": "stale"})
                self._incoming.undismiss(path)
                return False
            for f in files:
                f.unlink()
        except (OSError, KeyError) as e:
            self._say(f"cannot delete {path}: {e}; it stays, and is in the manifest")
            return True
        self.counts.deleted += 1
        return True

    def _give_up(self, path: Path, why: str, move: bool) -> None:
        """Count an unusable cube and, with `move`, move its files to the folder `bad` under unused names."""
        try:
            self._manifest.append({"name": path.name, "state": "bad", "settings": self._job(path).settings, "message": why})
        except OutputError as e:
            if not (e.full and move):
                raise
            return
        self._incoming.dismiss(path)
        self.counts.bad += 1
        if len(self.counts.set_aside) < _MAX_LISTED:
            self.counts.set_aside.append((path.name, why))
        if not move:
            self._say(f"{path.name} is left out: {why}")
            return
        folder = path.with_name(BAD)
        try:
            folder.mkdir(exist_ok=True)
            for f in reversed(job.source_files(path)):
                f.replace(unused(folder / f.name, ".", 2))
        except OSError as e:
            self._say(f"{output_error(folder, e)}; {path.name} stays where it is")
            return
        self._say(f"{path.name} was set aside in {folder}: {why}")


@contextmanager
def events(folder: Path, notify: Callable[[str], None]) -> Iterator[bool]:
    """Call `notify` with the name of each file closed in or moved into `folder`. Yields False without watchdog or file-system events."""
    try:
        from watchdog.events import FileSystemEventHandler
        from watchdog.observers import Observer
    except ImportError:
        yield False
        return

    class Handler(FileSystemEventHandler):
        def on_closed(self, event: Any) -> None:
            notify(os.path.basename(os.fsdecode(event.src_path)))  # noqa: PTH119

        def on_moved(self, event: Any) -> None:
            notify(os.path.basename(os.fsdecode(event.dest_path)))  # noqa: PTH119

    observer = Observer()
    try:
        observer.schedule(Handler(), os.fspath(folder))
        observer.start()
    except OSError:
        # the inotify limit is reached, or the file system has no events
        yield False
        return
    try:
        yield True
    finally:
        observer.stop()
        with contextlib.suppress(RuntimeError):
            observer.join()
