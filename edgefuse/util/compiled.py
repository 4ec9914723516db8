"""The compiled core: what NumPy and OpenCV need many passes for, in one, in C.

It is optional. A wheel built where there is a C compiler has it (`hatch_build.py`), any other does the same with NumPy and OpenCV, slower,
to the same bits. EDGEFUSE_COMPILED=0 leaves it out.
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform
from pathlib import Path

ABI = 7  # of edgefuse/util/compiled.c
FILE = Path(__file__).resolve().parents[1] / f"libedgefuse-{platform.machine()}.so"


@functools.cache
def library() -> ctypes.CDLL | None:
    """The shared library; None where there is none, or one of another version."""
    if os.environ.get("EDGEFUSE_COMPILED") == "0" or not FILE.exists():
        return None
    try:
        found = ctypes.CDLL(str(FILE))
        return found if found.edgefuse_abi() == ABI else None
    except (OSError, AttributeError):
        # another machine's, or half a file
        return None
