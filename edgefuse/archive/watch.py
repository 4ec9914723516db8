"""Watches a folder and compresses each complete cube; optionally deletes the original once the copy is verified and in the manifest.

Cubes are opened and compressed in processes with limits on memory and time: one that crashes or hangs is set aside, and the next is done.
This process may be killed at any moment. After a restart it compresses the cubes that the manifest does not list; every target that the
manifest lists is complete.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgefuse.archive import job, originals
from edgefuse.archive.compression import CompressionJob
from edgefuse.archive.examination import Examiner
from edgefuse.archive.grouping import EFZ
from edgefuse.archive.incoming import IncomingCubes
from edgefuse.archive.manifest import Manifest, sha256
from edgefuse.archive.processes import LimitedPool, TaskError
from edgefuse.errors import EdgeFuseError, OutputError
from edgefuse.hyperspectral.part import ALL, Choice
from edgefuse.hyperspectral.quality import Quality
from edgefuse.util.files import make_folder, output_error, sync_folder, unused
from edgefuse.util.unfinished_files import remove_abandoned

BAD = "bad"  # subfolder that unusable cubes are moved to
_POLL_S, _RETRY_FULL_S, _EXAMINED_S = 1.0, 10.0, 0.02
_MAX_LISTED = 100

Say = Callable[[str], None]


@dataclass(slots=True)
class Counts:
    """Counters since the start.

    bad: unusable cubes; set_aside: (name, reason) of the first 100. full: attempts at which nothing could be written, as on a full disk.
    kept: originals that were to be deleted, and stay as something in them would be lost; stayed: (name, reason) of the first 100.
    """

    done: int = 0
    already: int = 0
    deleted: int = 0
    kept: int = 0
    bad: int = 0
    full: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    set_aside: list[tuple[str, str]] = field(default_factory=list)
    stayed: list[tuple[str, str]] = field(default_factory=list)


class Watch:
    """Watches one folder: `run` works until `stop`."""

    def __init__(
        self, incoming: IncomingCubes, manifest: Manifest, quality: Quality, delete: bool, say: Say, pool: LimitedPool, examiner: Examiner,
        choice: Choice = ALL,
    ) -> None:  # fmt: skip
        """delete: delete an original after its copy was decoded and read back from disk. say: receives messages for the user.

        pool: compresses the cubes, one at a time. examiner: that of `incoming`. choice: what of each cube is compressed.
        """
        self._choice = choice
        self._incoming, self._manifest, self._quality, self._delete, self._say = incoming, manifest, quality, delete, say
        self._pool, self._examiner = pool, examiner
        self._wake = threading.Event()
        self._stopped, self._forever = False, False
        self._retry_at = 0.0
        self._again: set[Path] = set()
        self._in_use: dict[Path, float] = {}
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
        self._forever = forever
        with contextlib.suppress(OSError):
            originals.restore(self._incoming.folder)
        while not self._stopped:
            beat()
            self._wake.clear()
            complete, given_up = self._incoming.scan(time.monotonic())
            for path, why in given_up:
                self._give_up(path, why, move=forever)
            for path in complete:
                if self._stopped or time.monotonic() < self._retry_at:
                    break
                if (full := self._handle(path, beat)) is not None and not forever:
                    raise full
            if not forever and not self._incoming.waiting:
                return
            self._wake.wait(_EXAMINED_S if self._examiner.busy or not forever else _POLL_S)

    def _handle(self, path: Path, beat: Callable[[], None]) -> OutputError | None:
        """Compress a complete cube that is not done. Returns the error if the disk is full, else None."""
        try:
            return None if self._is_done(path, beat) else self._compress(path, beat)
        except EdgeFuseError:
            raise
        except Exception as e:  # whatever is wrong with one file must not end the watch
            self._incoming.mark_unusable(path, f"{type(e).__name__}: {e}")
            return None

    def _is_done(self, path: Path, beat: Callable[[], None]) -> bool:
        """Return whether the manifest lists `path` in its current state; if so, delete it where requested."""
        if time.monotonic() < self._in_use.get(path, 0.0):
            return True
        if not self._manifest.done(path.name, list(self._incoming.cube(path).files), self._job(path).settings):
            return False
        self.counts.already += path not in self._in_use
        return self._finish(path, beat)

    def _job(self, path: Path) -> CompressionJob:
        folder = self._manifest.folder
        return CompressionJob("compress", path.name, path, self._unused_target(path.name), folder, self._quality, choice=self._choice)

    def _unused_target(self, name: str) -> Path:
        """Return an unused target for the cube `name`; an earlier target of that name may be the only copy of its cube.

        So may a file that the manifest does not list: its line may be lost, or of another program.
        """
        return next(t for t in self._targets(name) if not self._manifest.taken(t.name) and not os.path.lexists(t))

    def _targets(self, name: str) -> Iterator[Path]:
        """Yield NAME.efz, NAME.2.efz, NAME.3.efz, ..."""
        for number in itertools.count(1):
            yield self._manifest.folder / (name + (f".{number}" if number > 1 else "") + EFZ)

    def _take_over(self, name: str, record: dict[str, Any]) -> None:
        """Put a new target in the place of a file of the same bytes that the manifest does not list: the same, as a kill left it."""
        made = self._manifest.folder / record["target"]["file"]
        for earlier in itertools.takewhile(lambda target: target != made, self._targets(name)):
            with contextlib.suppress(OSError):
                same = not self._manifest.taken(earlier.name) and earlier.stat().st_size == record["target"]["bytes"]
                if same and sha256(earlier) == record["target"]["sha256"]:
                    made.replace(earlier)
                    record["target"]["file"] = earlier.name
                    sync_folder(self._manifest.folder)
                    return

    def _compress(self, path: Path, beat: Callable[[], None]) -> OutputError | None:
        """Compress one cube. Returns the error if the disk is full, else None."""
        record = self._record(path, beat)
        if record is None:
            return None
        full: OutputError | None = OutputError(record["message"]) if record["state"] == "full" or record.get("place") else None
        if record["state"] == "done":
            self._take_over(path.name, record)
            if self._delete and (why := self._reason_to_keep(path, record)):
                record["original"] = {"state": "kept", "message": why}
            try:
                self._manifest.append(record)
            except OutputError as e:
                if not e.place:
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
            self._finish(path, beat)
        elif record["state"] == "bad":
            self._incoming.mark_unusable(path, record["message"])
        return full

    def _record(self, path: Path, beat: Callable[[], None]) -> dict[str, Any] | None:
        """Compress one cube in its own process and return its record; None if it must be tried again."""
        future: Future[dict[str, Any]] = self._pool.submit(job.run, self._job(path))
        while not wait([future], _POLL_S).done:
            beat()
        try:
            return future.result()
        except TaskError as e:
            remove_abandoned(self._manifest.folder)
            if e.again and path not in self._again:
                self._again.add(path)
                return None
            self._again.discard(path)
            return {"state": "bad", "message": f"{path}: {e}"}

    def _reason_to_keep(self, path: Path, record: dict[str, Any]) -> str:
        """Return why the original must be kept: contents that the .efz lacks; empty if it may be deleted."""
        figures = record.get("figures") or {}
        awaited = self._incoming.cube(path).awaited
        reasons = [f"its {awaited} did not come"] if awaited else []
        if (not_kept := figures.get("not_kept", ["what an earlier version did not look for"])) != []:
            reasons.append(f"it also has, which is not kept: {'; '.join(not_kept)}")
        if fills := [f"{fill['value']:.9g}" for fill in figures.get("likely_fills", [])]:
            reasons.append(f"{', '.join(fills)} may stand for missing samples: give --nodata VALUE, or --nodata auto")
        return "; ".join([*reasons, *figures.get("doubts", [])])

    def _finish(self, path: Path, beat: Callable[[], None]) -> bool:
        """Dismiss a finished cube; where requested, delete it if it is unchanged, its copy is intact, and nothing in it is lost.

        Returns False if it has to be compressed again.
        """
        self._incoming.dismiss(path)
        self._examiner.since_taken_up(path)
        if not self._delete:
            return True
        try:
            record = self._manifest.record(path.name) or {}
            if why := self._reason_to_keep(path, record):
                self._keep(path, record, why)
                return True
            deleted = self._manifest.intact(record, read=True, beat=lambda *_: beat()) and self._delete_files(path, record, beat)
        except originals.InUseError as e:
            if not self._forever:
                self._say(f"{path} is not deleted: {e}")
                return True
            self._in_use[path] = time.monotonic() + _RETRY_FULL_S
            self._incoming.undismiss(path)
            return True
        except (OSError, KeyError) as e:
            self._say(f"cannot delete {path}: {e}; it stays, and is in the manifest")
            return True
        self._in_use.pop(path, None)
        if not deleted:
            # the cube changed or its copy is damaged: compress it again
            self._incoming.undismiss(path)
            self._note({**record, "state": "stale"})
            return False
        self.counts.deleted += 1
        return True

    def _delete_files(self, path: Path, record: dict[str, Any], beat: Callable[[], None]) -> bool:
        # the copy's name is on the disk before the original's name goes
        sync_folder((self._manifest.folder / record["target"]["file"]).parent)
        shared = self._incoming.needed_by_others(path)
        mine = {path.with_name(f["file"]): f["sha256"] for f in record["source"]}
        files = {f: digest for f, digest in mine.items() if f not in shared and (f == path or f.suffix.lower() in (".hdr", ".json"))}
        return originals.delete(files, lambda *_: beat())

    def _keep(self, path: Path, record: dict[str, Any], why: str) -> None:
        """Leave an original where it is, with the reason in the manifest and the report."""
        if record.get("original") != (kept := {"state": "kept", "message": why}):
            self._note({**record, "original": kept})
        self.counts.kept += 1
        if len(self.counts.stayed) < _MAX_LISTED:
            self.counts.stayed.append((path.name, why))
        self._say(f"{path.name} is not deleted: {why}")

    def _note(self, record: dict[str, Any]) -> None:
        """Append a record that can be made again: where nothing can be written now, it is, at the next start."""
        try:
            self._manifest.append(record)
        except OutputError as e:
            if not e.place:
                raise
            self._retry_at = time.monotonic() + _RETRY_FULL_S
            self._say(f"{e}; the manifest does not have what became of {record['name']}")

    def _give_up(self, path: Path, why: str, move: bool) -> None:
        """Count an unusable cube and, with `move`, move its files to the folder `bad` under unused names."""
        if not self._incoming.unchanged(path):
            return
        record: dict[str, Any] = {"name": path.name, "state": "bad", "settings": self._job(path).settings, "message": why}
        record["unchanged_s"] = round(self._incoming.unchanged_s(path, time.monotonic()), 1)
        if (taken := self._examiner.since_taken_up(path)) is not None:
            record["taken_up_s"] = round(taken, 1)
        try:
            self._manifest.append(record)
        except OutputError as e:
            if not (e.place and move):
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
        shared = self._incoming.needed_by_others(path)
        try:
            make_folder(folder)
            for f in reversed(self._incoming.cube(path).files):
                if f not in shared:
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
