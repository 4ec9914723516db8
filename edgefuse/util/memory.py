"""Returns freed memory to the system after start-up, before a run that takes months."""

from __future__ import annotations

import contextlib
import ctypes
import gc


def release_unused() -> None:
    """Return freed heap pages to the system with glibc's malloc_trim; does nothing elsewhere."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
