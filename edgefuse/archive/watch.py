"""What lands in a folder is compressed and handed on: verified, in the manifest, and only then, where that was asked for, deleted.

Whatever ends the process, at any moment: what is in the source folder and not in the manifest is done when it is started again; what is
in the manifest is there, to the byte.
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

BAD = "bad"  # the folder, in the source's, that cubes which can't be used are moved to
_LOOK_S, _FULL_S = 1.0, 10.0
_LISTED = 100

Tell = Callable[[str], None]


@dataclass(slots=True)
class Counts:
    """Since the start. bad: cubes that can't be used; set_aside has name and reason of the first hundred. full: times without room."""

    done: int = 0
    already: int = 0
    deleted: int = 0
    bad: int = 0
    full: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    set_aside: list[tuple[str, str]] = field(default_factory=list)


class Watch:
    """One folder's. `run` until `stop`."""

    def __init__(self, incoming: IncomingCubes, manifest: Manifest, quality: Quality, delete: bool, tell: Tell) -> None:
        """delete: originals, once what was made of them was decoded, and read back from the disk. tell: a line for people."""
        self._incoming, self._manifest, self._quality, self._delete, self._tell = incoming, manifest, quality, delete, tell
        self._wake = threading.Event()
        self._stopped = False
        self._again_at = 0.0
        self.counts = Counts()

    def stop(self) -> None:
        """From any thread or signal handler: `run` ends after the cube it is at."""
        self._stopped = True
        self._wake.set()

    def told(self, name: str) -> None:
        """From any thread: the system says that this file was closed, or moved here."""
        self._incoming.tell(name)
        self._wake.set()

    def run(self, forever: bool, beat: Callable[[], None]) -> None:
        """Look, compress, wait; not `forever`: what is there now. beat: called every second or so, from compressing too.

        Raises CubeError where the folder is gone, OutputError where nothing can be written; forever, a full disk is waited for.
        """
        while not self._stopped:
            beat()
            self._wake.clear()
            whole, given_up = self._incoming.look(time.monotonic())
            for path, why in given_up:
                self._give_up(path, why, move=forever)
            for path in whole:
                if self._stopped or time.monotonic() < self._again_at:
                    break
                if self._is_done(path):
                    continue
                if (full := self._take(path, beat)) is not None and not forever:
                    raise full
            if not forever and not self._incoming.waiting:
                return
            self._wake.wait(_LOOK_S if forever else 0.01)

    def _is_done(self, path: Path) -> bool:
        """Whether the manifest has `path` as it is now; then it is deleted, where that is asked for."""
        files = job.source_files(path)
        if not self._manifest.done(path.name, files, self._job(path).settings):
            return False
        self.counts.already += 1
        return self._finish(path, files)

    def _job(self, path: Path) -> CompressionJob:
        folder = self._manifest.folder
        return CompressionJob("compress", path.name, path, self._free(path.name), folder, self._quality)

    def _free(self, name: str) -> Path:
        """Where the cube called `name` goes: not over one of the same name whose original may be gone."""
        number = 1
        while self._manifest.taken(found := name + (f".{number}" if number > 1 else "") + EFZ):
            number += 1
        return self._manifest.folder / found

    def _take(self, path: Path, beat: Callable[[], None]) -> OutputError | None:
        """Compress one. Returns what says that there is no room."""
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
            self._again_at = time.monotonic() + _FULL_S
            self._tell(f"{full}; {path.name} waits, and is tried again")
        elif record["state"] == "done":
            self.counts.done += 1
            self.counts.bytes_in += sum(f["bytes"] for f in record["source"])
            self.counts.bytes_out += record["target"]["bytes"]
            figures = record["figures"]
            self._tell(f"{path.name}: {figures['ratio']:.2f} times smaller, {figures['bpppc']:.4f} bits a pixel and channel")
            self._finish(path, job.source_files(path))
        elif record["state"] == "bad":
            self._incoming.spoil(path, record["message"])
        return full

    def _finish(self, path: Path, files: list[Path]) -> bool:
        """Dismiss a cube that is done; where asked for, delete it, if it is still what was copied and the copy is there to the byte.

        False where it is to be done again."""
        self._incoming.dismiss(path)
        if not self._delete:
            return True
        try:
            record = self._manifest.record(path.name) or {}
            same = [f["sha256"] for f in record["source"]] == [sha256(f) for f in files]
            if not same or not self._manifest.intact(record, read=True):
                # another cube, or a copy that is gone: it is done again
                self._manifest.append({**record, "state": "stale"})
                self._incoming.recall(path)
                return False
            for f in files:
                f.unlink()
        except (OSError, KeyError) as e:
            self._tell(f"cannot delete {path}: {e}; it stays, and is in the manifest")
            return True
        self.counts.deleted += 1
        return True

    def _give_up(self, path: Path, why: str, move: bool) -> None:
        """Count a cube that can't be used, and move it to the folder `bad`, under a name of its own."""
        try:
            self._manifest.append({"name": path.name, "state": "bad", "settings": self._job(path).settings, "message": why})
        except OutputError as e:
            if not (e.full and move):
                raise
            return
        self._incoming.dismiss(path)
        self.counts.bad += 1
        if len(self.counts.set_aside) < _LISTED:
            self.counts.set_aside.append((path.name, why))
        if not move:
            self._tell(f"{path.name} is left out: {why}")
            return
        folder = path.with_name(BAD)
        try:
            folder.mkdir(exist_ok=True)
            for f in reversed(job.source_files(path)):
                f.replace(unused(folder / f.name, ".", 2))
        except OSError as e:
            self._tell(f"{output_error(folder, e)}; {path.name} stays where it is")
            return
        self._tell(f"{path.name} was set aside in {folder}: {why}")


@contextmanager
def events(folder: Path, told: Callable[[str], None]) -> Iterator[bool]:
    """Have the system tell what is closed and moved in `folder`. Yields whether it does; without the package watchdog it does not."""
    try:
        from watchdog.events import FileSystemEventHandler
        from watchdog.observers import Observer
    except ImportError:
        yield False
        return

    class Handler(FileSystemEventHandler):
        def on_closed(self, event: Any) -> None:
            told(os.path.basename(os.fsdecode(event.src_path)))  # noqa: PTH119

        def on_moved(self, event: Any) -> None:
            told(os.path.basename(os.fsdecode(event.dest_path)))  # noqa: PTH119

    observer = Observer()
    try:
        observer.schedule(Handler(), os.fspath(folder))
        observer.start()
    except OSError:
        # no watches left, or a file system that has none
        yield False
        return
    try:
        yield True
    finally:
        observer.stop()
        with contextlib.suppress(RuntimeError):
            observer.join()
