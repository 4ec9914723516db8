"""Replacement of a cube that consists of two files, samples and metadata beside them: readers find the old cube or the new one.

No file system renames two files at once. So the old samples are first renamed aside, with a copy of their metadata, and the new ones come
last: whenever a kill or a power cut comes between, the samples' name is missing, or has the metadata that belong to it. The next cube that
is written to this name puts the old one back, or removes it.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from edgefuse.errors import OutputError
from edgefuse.util.files import appear, appearing, sync_folder

_MARK = ".edgefuse-old"  # in the names of files that wait for their replacement


def replace(part: Path, path: Path, metadata: Path, text: bytes | None, old: Path | None, shared: bool = False) -> None:
    """Make the complete samples `part` appear as `path`, with `text` as its `metadata`; None: it has none.

    Raises OSError, OutputError; the old cube is then as it was.

    old: metadata of the cube that is at `path` now; None: it has none. shared: whether other samples need that file, too.
    """
    if not os.path.lexists(path):
        # metadata alone are no cube
        there = metadata.exists()
        _write(metadata, text)
        try:
            appear(part, path)
        except (OSError, OutputError):
            if not there:
                metadata.unlink(missing_ok=True)
            raise
        return
    if (old.read_bytes() if old else None) == text and old in (None, metadata):
        appear(part, path)
        return
    away, copy = _aside(path, metadata)
    try:
        _write(copy, old.read_bytes() if old else None)
        path.rename(away)
        sync_folder(path.parent)
        if old not in (None, metadata) and not shared:
            old.unlink()
        _write(metadata, text)
        appear(part, path)
    except (OSError, OutputError):
        with contextlib.suppress(OSError, OutputError):
            restore(path, metadata, old)
        raise
    away.unlink()
    copy.unlink(missing_ok=True)


def restore(path: Path, metadata: Path, there: Path | None) -> None:
    """Undo what a kill left of a replacement of `path`: put the old cube back, or remove it if the new one is there.

    Raises OSError, OutputError.

    there: the file, if any, that is read as the metadata of samples `path`; `metadata` if the writer made it.
    """
    away, copy = _aside(path, metadata)
    if os.path.lexists(away) and not os.path.lexists(path):
        text = copy.read_bytes() if copy.exists() else None
        found = there if there is not None and there.exists() else metadata
        if (found.read_bytes() if found.exists() else None) != text:
            _write(metadata, text)
        away.rename(path)
        sync_folder(path.parent)
    for leftover in (away, copy):
        leftover.unlink(missing_ok=True)


def _aside(path: Path, metadata: Path) -> tuple[Path, Path]:
    """Return the names that samples and metadata have while they are replaced; they are a cube, too."""
    away = path.with_name(f"{path.stem}{_MARK}{path.suffix}")
    return away, away.with_name(away.name + metadata.name.removeprefix(path.name))


def _write(metadata: Path, text: bytes | None) -> None:
    if text is None:
        metadata.unlink(missing_ok=True)
        return
    with appearing(metadata) as part:
        part.write_bytes(text)
