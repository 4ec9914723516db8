"""Deletion of exactly those bytes that were compressed and verified.

A file is renamed aside, so that a newer one that takes its name meanwhile is another file; then it is hashed, and deleted only if it is the
one that the manifest has. Otherwise, and after a kill, it gets its name back.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path

from edgefuse.archive.manifest import Beat, sha256
from edgefuse.archive.open_files import open_for_writing
from edgefuse.util.files import unused

_ASIDE = re.compile(r"\.edgefuse-aside-[0-9a-f]{12}\.(.+)", re.DOTALL)


class InUseError(OSError):
    """A file is open for writing in some process."""


def delete(files: Mapping[Path, str], beat: Beat | None = None) -> bool:
    """Delete files that have the given SHA-256 digests, all or none; returns False, and leaves them, if one has another.

    Raises OSError, and leaves the files, if one is missing or can't be renamed; InUseError if another process has it open for writing.
    """
    aside: dict[Path, Path] = {}
    try:
        for path in files:
            _check_unused(path)
        for path in files:
            hidden = path.with_name(f".edgefuse-aside-{secrets.token_hex(6)}.{path.name}")
            path.rename(hidden)
            aside[path] = hidden
        for path, digest in files.items():
            _check_unused(aside[path])
            before = aside[path].stat()
            if sha256(aside[path], beat) != digest:
                return False
            after = aside[path].stat()
            if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
                return False
        for path in files:
            aside[path].unlink()
            del aside[path]
        return True
    finally:
        for path, hidden in aside.items():
            with contextlib.suppress(OSError):
                _put_back(hidden, path)


def restore(folder: Path) -> None:
    """Restore the names of files in `folder` that a killed process had renamed. Raises OSError."""
    for path in sorted(folder.iterdir()):
        if match := _ASIDE.fullmatch(path.name):
            _put_back(path, path.with_name(match[1]))


def _put_back(hidden: Path, path: Path) -> None:
    """Rename without replacing: if a newer file has the name, this one gets an unused name."""
    while True:
        free = unused(path, ".", 2)
        try:
            os.link(hidden, free, follow_symlinks=False)
        except FileExistsError:
            continue
        except OSError:
            # a file system without hard links
            hidden.rename(free)
            return
        hidden.unlink()
        return


def _check_unused(path: Path) -> None:
    """Raise InUseError if a process has the file open for writing; where the system can't tell, say nothing."""
    if open_for_writing(path):
        raise InUseError(f"{path.name} is open for writing in another program")
