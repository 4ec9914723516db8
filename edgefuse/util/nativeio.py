"""Captures what C and C++ libraries write directly to standard error."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_LOCK = threading.Lock()  # the file descriptor belongs to the whole process


@contextmanager
def native_stderr() -> Iterator[list[bytes]]:
    """Redirect file descriptor 2. The yielded list holds the lines written to it once the block has ended."""
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
            sunk.seek(0)
            lines += sunk.read().splitlines()
