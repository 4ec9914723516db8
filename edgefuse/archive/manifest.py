"""What became of each cube of an archive: a line of JSON each in `manifest.jsonl`, the last one of a name counts. docs/how-to/archives.md

A line is on the disk before anything is done because of it; one that was cut short by a power cut is passed over.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import io
import json
import os
from pathlib import Path
from typing import Any

from edgefuse.errors import OutputError
from edgefuse.util.files import check_folder, output_error

NAME = "manifest.jsonl"


def sha256(path: Path) -> str:
    """Of a file, in hexadecimal. Raises OSError."""
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def described(path: Path, digest: bool = True) -> dict[str, Any]:
    """A file's name, bytes, time of change (ns) and sha256. Raises OSError."""
    found = path.stat()
    facts = {"file": path.name, "bytes": found.st_size, "mtime_ns": found.st_mtime_ns}
    return facts | {"sha256": sha256(path)} if digest else facts


class Manifest:
    """One folder's, held by one process at a time. A context manager."""

    def __init__(self, folder: Path) -> None:
        """Opens or makes it; removes what an earlier process left unfinished in `folder`. Raises OutputError."""
        check_folder(folder)
        self.folder, self.path = folder, folder / NAME
        try:
            self._file = open(self.path, "a+b", buffering=0)  # noqa: SIM115
        except OSError as e:
            raise output_error(self.path, e) from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise OutputError(f"{folder} is written to by another edgefuse; wait for it or choose another place") from None
        self._at: dict[str, int] = {}
        self._taken: set[str] = set()
        self._torn = False
        self._load()
        for part in folder.rglob(".*.part"):
            with contextlib.suppress(OSError):
                part.unlink()

    def _load(self) -> None:
        # where each line begins, not what it says: the file grows for years
        self._file.seek(0)
        at = 0
        for line in io.BufferedReader(io.FileIO(self._file.fileno(), closefd=False), 1 << 16):
            if (record := _record(line)) is not None:
                self._know(record, at)
            at, self._torn = at + len(line), not line.endswith(b"\n")

    def _know(self, record: dict[str, Any], at: int) -> None:
        self._at[record["name"]] = at
        target = record.get("target")
        if record["state"] == "done" and isinstance(target, dict) and isinstance(target.get("file"), str):
            self._taken.add(target["file"])

    def record(self, name: str) -> dict[str, Any] | None:
        """The last record of a name; None where there is none. Raises OSError."""
        if name not in self._at:
            return None
        with open(self.path, "rb") as f:
            f.seek(self._at[name])
            return _record(f.readline())

    def append(self, record: dict[str, Any]) -> None:
        """Add a line and see it on the disk. Raises OutputError; the line is not there then."""
        line = (b"\n" if self._torn else b"") + json.dumps(record, allow_nan=False).encode() + b"\n"
        end = os.fstat(self._file.fileno()).st_size
        try:
            if self._file.write(line) != len(line):
                raise OSError(errno.ENOSPC, "full")
            os.fsync(self._file.fileno())
        except OSError as e:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file.fileno(), end)
            raise output_error(self.path, e) from None
        self._know(record, end + self._torn)
        self._torn = False

    def done(self, name: str, files: list[Path], settings: dict[str, Any]) -> bool:
        """Whether `name` was done with these settings from files that have not changed since, and what was made of it is there."""
        try:
            record = self.record(name)
            return (
                record is not None
                and record["state"] == "done"
                and record["settings"] == settings
                and [_unread(f) for f in record["source"]] == [described(f, digest=False) for f in files]
                and self.intact(record)
            )
        except (KeyError, TypeError, AttributeError, OSError):
            return False

    def intact(self, record: dict[str, Any], read: bool = False) -> bool:
        """Whether what a record says was made is there; read: to the byte."""
        try:
            return all(
                (path := self.folder / made["file"]).stat().st_size == made["bytes"] and (not read or sha256(path) == made["sha256"])
                for made in (record["target"], *record.get("beside", ()))
            )
        except (OSError, KeyError, TypeError):
            return False

    def taken(self, file: str) -> bool:
        """Whether a record says that `file`, a path in the folder, was made: it is not to be written over by another cube's."""
        return file in self._taken

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Manifest:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _unread(facts: dict[str, Any]) -> dict[str, Any]:
    return {k: facts[k] for k in ("file", "bytes", "mtime_ns")}


def _record(line: bytes) -> dict[str, Any] | None:
    """A line that was written whole; None for any other."""
    with contextlib.suppress(ValueError, RecursionError):
        found = json.loads(line)
        if isinstance(found, dict) and isinstance(found.get("name"), str) and isinstance(found.get("state"), str):
            return found
    return None
