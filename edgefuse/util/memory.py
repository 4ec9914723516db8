"""Keeps the memory of a run small that takes months: one heap for all threads, and freed memory returned after start-up."""

from __future__ import annotations

import contextlib
import ctypes
import gc

_M_ARENA_MAX = -8  # malloc.h


def share_heap() -> None:
    """Have all threads allocate from one heap (glibc; does nothing elsewhere); to be called before they start.

    By default glibc gives each thread its own, up to eight times as many as processors, and each keeps what its thread freed.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def release_unused() -> None:
    """Return freed heap pages to the system with glibc's malloc_trim; does nothing elsewhere."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
