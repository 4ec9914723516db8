"""Whether a program of this machine has a file open for writing: what a read lease (fcntl) is refused for."""

from __future__ import annotations

import contextlib
import fcntl
import signal
from pathlib import Path


def open_for_writing(path: Path) -> bool | None:
    """Return whether some process of this machine has the file open for writing; None where the system can't tell.

    It can't on network file systems, and of other users' files without root. Raises OSError if the file can't be opened.
    """
    with open(path, "rb") as f:
        with contextlib.suppress(OSError):
            # a process that opens the file now would make the system send SIGIO, which ends this one
            fcntl.fcntl(f, fcntl.F_SETSIG, signal.SIGURG)
        try:
            fcntl.fcntl(f, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except BlockingIOError:
            return True
        except OSError:
            return None
        with contextlib.suppress(OSError):
            fcntl.fcntl(f, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False
