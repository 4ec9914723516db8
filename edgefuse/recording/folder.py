"""A folder of recordings: names that sort by time whatever the clock does, one recorder at a time, what a crash left, and what has to go.

    edgefuse-00000042-20260312T081500Z.mp4         the 42nd recording here, begun at that time (UTC, as the clock had it)
    edgefuse-00000042-20260312T081500Z.part.mp4    it is being written, or was when the power went

The number leads: a clock that jumps, or starts anew in 1970, can neither overwrite a recording nor put it out of order.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edgefuse.errors import OutputError
from edgefuse.recording import fragments
from edgefuse.util import files

_NAME = re.compile(r"edgefuse-(\d{8,12})-\d{8}T\d{6}Z(\.part)?\.(mp4|efr|png)")
_LOCK = ".edgefuse-recordings"
_SOUND_S = 1735689600.0  # 2025: a file dated before was written by a clock that was not set


@dataclass(frozen=True, slots=True)
class Recording:
    """A file of ours. time_s: when it was last written, seconds since the epoch. open: unfinished."""

    name: str
    number: int
    nbytes: int
    time_s: float
    open: bool


@dataclass(frozen=True, slots=True)
class Limits:
    """What is kept: at most so many bytes, for so many seconds; 0 for no limit."""

    nbytes: int
    age_s: float


def to_delete(recordings: Iterable[Recording], limits: Limits, now_s: float, coming: int = 0) -> list[Recording]:
    """What has to go, oldest first, so that `coming` more bytes have room; never one that is open.

    A file from the future, or from before 2025, has no age: its clock was wrong, and only its size counts.
    """
    ours = sorted(recordings, key=lambda r: (r.number, r.name))
    total = sum(r.nbytes for r in ours) + coming
    gone = []
    for r in ours:
        if r.open:
            continue
        too_old = limits.age_s and r.time_s > _SOUND_S and now_s - r.time_s > limits.age_s
        if too_old or (limits.nbytes and total > limits.nbytes):
            gone.append(r)
            total -= r.nbytes
    return gone


class Folder:
    """One recorder's folder; safe from any thread."""

    def __init__(self, path: Path, limits: Limits, keep_free: int) -> None:
        """keep_free: bytes of the disk that are never taken. Raises OutputError where it can't be written, or another run records there."""
        files.check_folder(path)
        self.path, self._limits, self._keep_free = path, limits, keep_free
        self._guard = threading.Lock()
        self._ages: dict[str, float] = {}  # name -> monotonic time when it was finished: a clock that is set late makes nothing old
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
            self._number = max((r.number for r in self.recordings()), default=0)
        except BaseException:
            self.close()
            raise

    def recordings(self) -> list[Recording]:
        """Those here now; other people's files are none. Raises OutputError."""
        found = []
        try:
            entries = list(os.scandir(self.path))
        except OSError as e:
            raise files.output_error(self.path, e) from None
        for entry in entries:
            match = _NAME.fullmatch(entry.name)
            with contextlib.suppress(OSError):
                if match and entry.is_file(follow_symlinks=False):
                    facts = entry.stat(follow_symlinks=False)
                    found.append(Recording(entry.name, int(match[1]), facts.st_size, facts.st_mtime, bool(match[2])))
        return found

    def new(self, extension: str, time_s: float) -> Path:
        """A file that was not there, empty, named as unfinished. time_s: its beginning, seconds since the epoch. Raises OutputError."""
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
        """Give an unfinished file its name, on the disk too. Raises OutputError."""
        path = _finished(part)
        try:
            part.rename(path)
            self.sync()
        except OSError as e:
            raise files.output_error(path, e) from None
        with self._guard:
            self._ages[path.name] = time.monotonic()
        return path

    def sync(self) -> None:
        """Names reach the disk with their folder. Raises OSError."""
        here = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(here)
        finally:
            os.close(here)

    def has_room(self, nbytes: int) -> bool:
        """Is so much free, and what is to stay free besides? Raises OutputError."""
        try:
            return shutil.disk_usage(self.path).free >= nbytes + self._keep_free
        except OSError as e:
            raise files.output_error(self.path, e) from None

    def tidy(self, coming: int = 0) -> int:
        """Delete what the limits say; returns the bytes that are kept. Raises OutputError."""
        now = time.time()
        with self._guard:
            known = {name: now - (time.monotonic() - at) for name, at in self._ages.items()}
        here = [_dated(r, known.get(r.name)) for r in self.recordings()]
        with self._guard:
            for name in known.keys() - {r.name for r in here}:
                # deleted by somebody else
                self._ages.pop(name, None)
        gone = to_delete(here, self._limits, now, coming)
        kept = sum(r.nbytes for r in here)
        for r in gone:
            path = self.path / r.name
            try:
                path.unlink(missing_ok=True)
            except OSError as e:
                raise files.output_error(path, e) from None
            kept -= r.nbytes
            self.deleted, self.deleted_bytes = self.deleted + 1, self.deleted_bytes + r.nbytes
            with self._guard:
                self._ages.pop(r.name, None)
        return kept

    def close(self) -> None:
        """Let another run record here; safe to call twice."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _recover(self) -> None:
        """Finish what a crash left unfinished: cut to what plays, named as all others; deleted where nothing does."""
        for r in self.recordings():
            if not r.open:
                continue
            path = self.path / r.name
            try:
                # a raw recording plays as far as it goes; of half a picture nothing is of use
                nbytes = fragments.whole(path).nbytes if path.suffix == ".mp4" else r.nbytes if path.suffix == ".efr" else 0
                if not nbytes:
                    path.unlink()
                    continue
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
                raise files.output_error(path, e) from None
        with contextlib.suppress(OSError):
            self.sync()


def _finished(part: Path) -> Path:
    return part.with_name(part.name.replace(".part.", "."))


def _dated(recording: Recording, time_s: float | None) -> Recording:
    if time_s is None:
        return recording
    return Recording(recording.name, recording.number, recording.nbytes, time_s, recording.open)
