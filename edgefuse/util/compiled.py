"""Loads the compiled core: C functions that need one pass where NumPy and OpenCV need many.

It is optional. Wheels built with a C compiler contain it (`hatch_build.py`); without it the same results, bit for bit, are computed more
slowly with NumPy and OpenCV. EDGEFUSE_COMPILED=0 disables it.
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform
from pathlib import Path

ABI = 11  # of edgefuse/util/compiled.c
FILE = Path(__file__).resolve().parents[1] / f"libedgefuse-{platform.machine()}.so"


@functools.cache
def library() -> ctypes.CDLL | None:
    """Return the shared library; None if it is missing or has another ABI version."""
    if os.environ.get("EDGEFUSE_COMPILED") == "0" or not FILE.exists():
        return None
    try:
        loaded = ctypes.CDLL(str(FILE))
        return loaded if loaded.edgefuse_abi() == ABI else None
    except (OSError, AttributeError):
        # built for another machine, or truncated
        return None
