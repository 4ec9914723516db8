"""`-` as a file name: pipe input is stored in a temporary file for random access; output is sent once it is complete."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgefuse.errors import CubeError, SettingsError
from edgefuse.util import heartbeat
from edgefuse.util.files import output_error
from edgefuse.util.spool import spool_folder
from edgefuse.util.uri import expand

PIPE = "-"
_PIECE = 1 << 20


@contextmanager
def source(text: str, suffix: str = "") -> Iterator[Path]:
    """Yield the file `text`, or a temporary file with standard input's bytes. Raises CubeError, OutputError."""
    if text != PIPE:
        yield expand(text)
        return
    if sys.stdin.isatty():
        raise SettingsError("- reads from a pipe, but standard input is a terminal; give a file, or pipe one in")
    with _scratch() as folder:
        path = folder / f"stdin{suffix}"
        try:
            with open(path, "wb") as f:
                while piece := sys.stdin.buffer.read(_PIECE):
                    f.write(piece)
                    heartbeat.beat()
                empty = f.tell() == 0
        except OSError as e:
            raise output_error(folder, e) from None
        if empty:
            raise CubeError("the pipe was empty")
        yield path


@contextmanager
def target(text: str, suffix: str) -> Iterator[Path]:
    """Yield the file `text`, or one whose bytes go to standard output after success. Raises OutputError, SettingsError."""
    if text != PIPE:
        heartbeat.writes(path := expand(text))
        yield path
        return
    if sys.stdout.isatty():
        raise SettingsError("- writes bytes, but standard output is a terminal; give a file, or a pipe")
    with _scratch() as folder:
        path = folder / f"stdout{suffix}"
        yield path
        sys.stdout.flush()
        heartbeat.finished()
        with open(path, "rb") as f:
            shutil.copyfileobj(f, sys.stdout.buffer, _PIECE)
        sys.stdout.buffer.flush()


@contextmanager
def _scratch() -> Iterator[Path]:
    try:
        folder = tempfile.TemporaryDirectory(dir=spool_folder(), prefix="edgefuse-")
    except OSError as e:
        raise output_error(spool_folder(), e) from None
    with folder as name:
        heartbeat.leaves(Path(name))
        yield Path(name)


def refuse_same(reads: Path, writes: Path, option: str) -> None:
    """Raise SettingsError where both are the same file."""
    if os.path.realpath(reads) == os.path.realpath(writes):
        raise SettingsError(f"{option} {writes} is the input; choose another name")
