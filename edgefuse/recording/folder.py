"""The recordings folder: file names in order, a lock for one recorder, recovery after a crash, and deletion of old files.

    edgefuse-00000042-20260312T081500Z.mp4         recording 42 of this folder, with the time at which it began (UTC)
    edgefuse-00000042-20260312T081500Z.part.mp4    the same while it is written, or after a crash

The number comes first, so a clock that jumps or restarts in 1970 can neither overwrite a recording nor break the order. A number of ten
digits and more is not ours (a new file every second reaches the first in 31 years): such a file is neither counted nor deleted.
"""

from __future__ import annotations

import calendar
import contextlib
import errno
import fcntl
import logging
import os
import re
import shutil
import stat
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from edgefuse.errors import OutputError
from edgefuse.recording import fragments
from edgefuse.telemetry.live import KeptFile
from edgefuse.util import files

_NAME = re.compile(r"edgefuse-(\d{8}|[1-9]\d{8})-(\d{8}T\d{6}Z)(\.part)?\.(mp4|efr|png)", re.ASCII)
_NUMBERS = 10**9  # numbers have up to nine digits
_SPARE = 10**8  # a number in the last tenth is a stray one, and is not counted on from
_LOCK = ".edgefuse-recordings"
log = logging.getLogger(__name__)
_PLAUSIBLE_S = 1735689600.0  # 2025: an earlier file time comes from a clock that was not set


@dataclass(frozen=True, slots=True)
class RecordingFile:
    """A recording in the folder. begin_s, time_s: start and last modification, seconds since the epoch. open: unfinished."""

    name: str
    number: int
    nbytes: int
    time_s: float
    open: bool
    begin_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of the folder in total bytes and in seconds of age; 0 for no limit."""

    nbytes: int
    age_s: float


def to_delete(recordings: Iterable[RecordingFile], limits: Limits, now_s: float, new_bytes: int = 0) -> list[RecordingFile]:
    """Return the recordings to delete, oldest first, so that `new_bytes` more fit; never an open one.

    A file time in the future or before 2025 comes from a wrong clock, so such a file has no age and only its size counts.
    """
    ours = sorted(recordings, key=lambda r: (r.number, r.name))
    total = sum(r.nbytes for r in ours) + new_bytes
    deleted = []
    for r in ours:
        if r.open:
            continue
        too_old = limits.age_s and r.time_s > _PLAUSIBLE_S and now_s - r.time_s > limits.age_s
        if too_old or (limits.nbytes and total > limits.nbytes):
            deleted.append(r)
            total -= r.nbytes
    return deleted


class Folder:
    """The folder of one recorder. Safe from any thread."""

    def __init__(self, path: Path, limits: Limits, keep_free: int) -> None:
        """keep_free: bytes of the disk to keep free. Raises OutputError where the folder is not writable or another run records there."""
        files.check_folder(path)
        self.path, self._limits, self._keep_free = path, limits, keep_free
        self._guard = threading.Lock()
        self._unfinished: set[Path] = set()  # complete files whose renaming failed
        self._complained: set[str] = set()  # names of files whose deletion failed
        self._ages: dict[str, float] = {}  # name -> monotonic time of completion, so that setting the clock late does not age files
        self.deleted = self.recovered = self.deleted_bytes = 0
        try:
            self._lock: int | None = os.open(path / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
        except OSError as e:
            raise files.output_error(path, e) from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise OutputError(f"{path}: another run records here; give each its own folder") from None
        try:
            self._recover()
            self._number = max((r.number for r in self.recordings() if r.number < _NUMBERS - _SPARE), default=0)
        except BaseException:
            self.close()
            raise

    def recordings(self) -> list[RecordingFile]:
        """Return the recordings in the folder, ignoring other files. Raises OutputError."""
        recordings = []
        try:
            entries = list(os.scandir(self.path))
        except OSError as e:
            raise files.output_error(self.path, e) from None
        for entry in entries:
            match = _NAME.fullmatch(entry.name)
            with contextlib.suppress(OSError):
                if match and entry.is_file(follow_symlinks=False):
                    facts = entry.stat(follow_symlinks=False)
                    begin_s = _begin_s(match[2], facts.st_mtime)
                    recordings.append(RecordingFile(entry.name, int(match[1]), facts.st_size, facts.st_mtime, bool(match[3]), begin_s))
        return recordings

    def kept(self) -> list[KeptFile]:
        """Return the recordings, newest first. Raises OutputError."""
        ours = sorted(self.recordings(), key=lambda r: (r.number, r.name), reverse=True)
        return [KeptFile(r.name, r.nbytes, r.begin_s, r.open) for r in ours]

    def open_kept(self, name: str) -> BinaryIO | None:
        """Open a finished recording for reading; None for any name that `recordings` does not list, and for links. Raises OSError."""
        if not any(r.name == name and not r.open for r in self.recordings()):
            return None
        try:
            # without waiting for a pipe that took the file's place meanwhile
            opened = os.open(self.path / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as e:
            if e.errno in (errno.ENOENT, errno.ELOOP):
                return None
            raise
        file = os.fdopen(opened, "rb", buffering=0)
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            file.close()
            return None
        return file

    def new(self, extension: str, time_s: float) -> Path:
        """Create an empty unfinished file with a new number. time_s: its start, seconds since the epoch. Raises OutputError."""
        with self._guard:
            while True:
                self._number += 1
                stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time_s))
                path = self.path / f"edgefuse-{self._number:08d}-{stamp}.part{extension}"
                if _finished(path).exists():
                    continue
                try:
                    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
                except FileExistsError:
                    continue
                except OSError as e:
                    raise files.output_error(path, e) from None
                return path

    def finish(self, part: Path) -> Path:
        """Rename an unfinished file to its final name, durably. Raises OutputError; `tidy` then tries again."""
        path = _finished(part)
        with self._guard:
            self._unfinished.add(part)
        try:
            part.rename(path)
            with self._guard:
                self._unfinished.discard(part)
                self._ages[path.name] = time.monotonic()
            self.sync()
        except OSError as e:
            raise files.output_error(path, e) from None
        return path

    def sync(self) -> None:
        """Write the folder's entries to disk. Raises OSError."""
        here = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(here)
        finally:
            os.close(here)

    def has_room(self, nbytes: int) -> bool:
        """Whether `nbytes` fit beside the space to keep free. Raises OutputError."""
        try:
            return shutil.disk_usage(self.path).free >= nbytes + self._keep_free
        except OSError as e:
            raise files.output_error(self.path, e) from None

    def tidy(self, new_bytes: int = 0) -> int:
        """Delete what exceeds the limits; returns the bytes that remain. Raises OutputError where the folder can't be read.

        A file that can't be deleted is logged once and left; the next oldest goes instead.
        """
        now = time.time()
        self._finish_left()
        with self._guard:
            known = {name: now - (time.monotonic() - at) for name, at in self._ages.items()}
        here = [_dated(r, known.get(r.name)) for r in self.recordings()]
        with self._guard:
            for name in known.keys() - {r.name for r in here}:
                # deleted by another program
                self._ages.pop(name, None)
        kept = sum(r.nbytes for r in here)
        while expired := to_delete(here, self._limits, now, new_bytes):
            stuck = {r.name for r in expired if not self._delete(r)}
            kept -= sum(r.nbytes for r in expired if r.name not in stuck)
            gone = {r.name for r in expired} - stuck
            # one that can't be deleted counts like an open one
            here = [replace(r, open=r.open or r.name in stuck) for r in here if r.name not in gone]
        return kept

    def _delete(self, r: RecordingFile) -> bool:
        """Delete a recording; returns whether it is gone."""
        path = self.path / r.name
        try:
            path.unlink(missing_ok=True)
        except OSError as e:
            if r.name not in self._complained:
                self._complained.add(r.name)
                log.warning("%s can't be deleted (%s); the next oldest recordings make room instead", path, e.strerror)
            return False
        self.deleted, self.deleted_bytes = self.deleted + 1, self.deleted_bytes + r.nbytes
        self._complained.discard(r.name)
        with self._guard:
            self._ages.pop(r.name, None)
        return True

    def _finish_left(self) -> None:
        """Rename the complete files whose renaming failed before."""
        with self._guard:
            left = list(self._unfinished)
        for part in left:
            with contextlib.suppress(OutputError):
                if part.exists():
                    self.finish(part)
                else:
                    with self._guard:
                        self._unfinished.discard(part)

    def close(self) -> None:
        """Release the folder's lock; safe to call twice."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _recover(self) -> None:
        """Finish files that a crash left open: truncate each to its playable part and rename it; delete what has none."""
        for r in self.recordings():
            if r.open:
                self._recover_one(r)
        with contextlib.suppress(OSError):
            self.sync()

    def _recover_one(self, r: RecordingFile) -> None:
        """Finish one file that a crash left open; one that can't be read or changed is logged and left."""
        path = self.path / r.name
        try:
            # a raw recording is readable up to its end; an incomplete picture is useless
            nbytes = fragments.playable_part(path).nbytes if path.suffix == ".mp4" else r.nbytes if path.suffix == ".efr" else 0
            if not nbytes:
                path.unlink()
                return
            if nbytes < r.nbytes:
                with path.open("r+b") as file:
                    file.truncate(nbytes)
                    os.fsync(file.fileno())
            os.utime(path, (r.time_s, r.time_s))
            target = _finished(path)
            if not target.exists():
                path.rename(target)
                self.recovered += 1
        except OSError as e:
            log.warning("%s can't be repaired (%s) and is left as it is", path, e.strerror)


def _finished(part: Path) -> Path:
    return part.with_name(part.name.replace(".part.", "."))


def _begin_s(stamp: str, otherwise: float) -> float:
    """Return the time in a file's name, seconds since the epoch; `otherwise` where it is no date."""
    try:
        return float(calendar.timegm(time.strptime(stamp, "%Y%m%dT%H%M%SZ")))
    except ValueError:
        return otherwise


def _dated(recording: RecordingFile, time_s: float | None) -> RecordingFile:
    if time_s is None:
        return recording
    return replace(recording, time_s=time_s)
