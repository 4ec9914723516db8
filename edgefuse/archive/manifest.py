"""Manifest of an archive: JSON lines in `manifest.jsonl`, of which the last line of a name is valid (docs/how-to/archives.md).

A line is synced to disk before anything relies on it; a line truncated by a power cut is ignored.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import io
import json
import os
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from edgefuse.errors import OutputError
from edgefuse.util.files import check_folder, output_error, sync_folder
from edgefuse.util.unfinished_files import remove_abandoned

NAME = "manifest.jsonl"
_PIECE = 1 << 22


Beat = Callable[[int, int], None]  # bytes done, total bytes


def sha256(path: Path, beat: Beat | None = None) -> str:
    """Return the SHA-256 digest of a file in hexadecimal. beat: called after each part. Raises OSError."""
    digest, done = hashlib.sha256(), 0
    with open(path, "rb", buffering=0) as f:
        total = os.fstat(f.fileno()).st_size
        while data := f.read(_PIECE):
            digest.update(data)
            done += len(data)
            if beat is not None:
                beat(done, max(total, done))
    return digest.hexdigest()


def described(path: Path, digest: bool = True, beat: Beat | None = None) -> dict[str, Any]:
    """Return a file's name, bytes, modification time (ns) and, with `digest`, SHA-256. Raises OSError."""
    status = path.stat()
    facts = {"file": path.name, "bytes": status.st_size, "mtime_ns": status.st_mtime_ns}
    return facts | {"sha256": sha256(path, beat)} if digest else facts


class Index:
    """Where the last record of each name is, and the targets that they have: not the records, as a manifest grows for years."""

    def __init__(self) -> None:
        self.offsets: dict[str, int] = {}
        """Offset of the line of each name's last record."""
        self.torn = False
        """Whether the last line has no end."""
        self._targets: set[str] = set()

    def read(self, lines: Iterable[bytes]) -> None:
        """Read a whole manifest; lines that are no records are passed over."""
        offset = 0
        for line in lines:
            if (record := parse_record(line)) is not None:
                self.add(record, offset)
            offset, self.torn = offset + len(line), not line.endswith(b"\n")

    def add(self, record: Mapping[str, Any], offset: int) -> None:
        self.offsets[record["name"]] = offset
        target = record.get("target")
        if record["state"] == "done" and isinstance(target, dict) and isinstance(target.get("file"), str):
            self._targets.add(_folded(target["file"]))

    def taken(self, file: str) -> bool:
        """Return whether a file is the target of a record. Names that differ by case, or by how an accent is coded, are one."""
        return _folded(file) in self._targets


class Manifest:
    """Manifest of a folder, locked by one process at a time. A context manager."""

    def __init__(self, folder: Path) -> None:
        """Open or create the manifest, and delete the unfinished files of killed processes in `folder`. Raises OutputError."""
        check_folder(folder)
        self.folder, self.path = folder, folder / NAME
        try:
            self._file = open(self.path, "a+b", buffering=0)  # noqa: SIM115
        except OSError as e:
            raise output_error(self.path, e) from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            sync_folder(folder)
        except BlockingIOError:
            self._file.close()
            raise OutputError(f"{folder} is in use by another edgefuse process; wait for it or choose another place") from None
        except OSError as e:
            self._file.close()
            raise output_error(self.path, e) from None
        self._index = Index()
        self._file.seek(0)
        self._index.read(io.BufferedReader(io.FileIO(self._file.fileno(), closefd=False), 1 << 16))
        remove_abandoned(folder, deep=True)

    def record(self, name: str) -> dict[str, Any] | None:
        """Return the last record of a name, or None. Raises OSError."""
        if name not in self._index.offsets:
            return None
        with open(self.path, "rb") as f:
            f.seek(self._index.offsets[name])
            return parse_record(f.readline())

    def append(self, record: dict[str, Any]) -> None:
        """Append a line and sync it to disk. On failure removes the line and raises OutputError."""
        line = (b"\n" if self._index.torn else b"") + json.dumps(record, allow_nan=False).encode() + b"\n"
        end = os.fstat(self._file.fileno()).st_size
        try:
            if self._file.write(line) != len(line):
                raise OSError(errno.ENOSPC, "full")
            os.fsync(self._file.fileno())
        except OSError as e:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file.fileno(), end)
            raise output_error(self.path, e) from None
        self._index.add(record, end + self._index.torn)
        self._index.torn = False

    def done(self, name: str, files: list[Path], settings: dict[str, Any]) -> bool:
        """Return whether `name` is done with these settings, its source files are unchanged, and its targets exist."""
        try:
            record = self.record(name)
            return (
                record is not None
                and record["state"] == "done"
                and record["settings"] == settings
                and [_without_digest(f) for f in record["source"]] == [described(f, digest=False) for f in files]
                and self.intact(record)
            )
        except (KeyError, TypeError, AttributeError, OSError, ValueError):
            return False

    def intact(self, record: dict[str, Any], read: bool = False, beat: Beat | None = None) -> bool:
        """Return whether a record's targets exist with the recorded size; read: also compare their digests."""
        return intact(record, self.folder, read, beat)

    def taken(self, file: str) -> bool:
        """Return whether `file`, a path relative to the folder, is the target of a record; another cube must not overwrite it.

        Names that differ by case, or by how an accent is coded, are one: on some file systems they are one file.
        """
        return self._index.taken(file)

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Manifest:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def intact(record: Mapping[str, Any], folder: Path, read: bool = False, beat: Beat | None = None) -> bool:
    """Return whether the targets of a record of the manifest in `folder` exist with the recorded size; read: also compare their digests."""
    try:
        return all(
            (path := folder / target["file"]).stat().st_size == target["bytes"] and (not read or sha256(path, beat) == target["sha256"])
            for target in (record["target"], *record.get("beside", ()))
        )
    except (OSError, KeyError, TypeError, ValueError):  # ValueError: a name that no file can have
        return False


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _without_digest(facts: dict[str, Any]) -> dict[str, Any]:
    return {k: facts[k] for k in ("file", "bytes", "mtime_ns")}


def parse_record(line: bytes) -> dict[str, Any] | None:
    """Parse a line; None if it is truncated or no record."""
    with contextlib.suppress(ValueError, RecursionError):
        record = json.loads(line)
        if isinstance(record, dict) and isinstance(record.get("name"), str) and isinstance(record.get("state"), str):
            return record
    return None
