"""Captures what C and C++ libraries write directly to standard error."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LOCK = threading.Lock()  # the file descriptor belongs to the whole process


@contextmanager
def native_stderr(wanted: Callable[[bytes], bool] | None = None) -> Iterator[list[bytes]]:
    """Redirect file descriptor 2. The yielded list holds the lines written to it once the block has ended.

    wanted: keep the lines for which it is true and write the others, which may be another thread's, to standard error afterwards.
    """
    lines: list[bytes] = []
    with _LOCK, tempfile.TemporaryFile() if not hasattr(os, "memfd_create") else os.fdopen(os.memfd_create("stderr"), "w+b") as sunk:
        sys.stderr.flush()
        kept = os.dup(2)
        os.dup2(sunk.fileno(), 2)
        try:
            yield lines
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            if size := sunk.seek(0, os.SEEK_END):
                for line in os.pread(sunk.fileno(), size, 0).splitlines():
                    if wanted is None or wanted(line):
                        lines.append(line)
                    else:
                        os.write(2, line + b"\n")
