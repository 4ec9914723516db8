"""Names of unfinished files, which tell the process that writes each, and removal of those whose process has ended.

A name is `.edgefuse-HOST-BOOT-SPACE-PID-START-RANDOM.NAME.part`: who writes it is known without opening it, and a file that does not have
such a name was not made here.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
import zlib
from functools import cache
from pathlib import Path

_NAME = re.compile(r"\.edgefuse-([0-9a-f]{8})-([0-9a-f]{8})-(\d+)-(\d+)-(\d+)-[0-9a-f]{12}\..*\.part(?:\..*)?", re.DOTALL)
_STRANGE_S = 2 * 86400.0  # a file of a process that can't be seen from here is removed after this time without a change
_LONGEST = 40  # bytes of the target's name that are repeated in the part's
_swept: set[Path] = set()


def part_of(path: Path, ending: str = "") -> Path:
    """Return a hidden, unused name beside `path` for an incomplete file. ending: a file extension that a library requires."""
    return path.with_name(part_name(path.name, ending))


def part_name(name: str, ending: str = "") -> str:
    """The same as `part_of`, of names without their folder."""
    short = os.fsencode(name)[-_LONGEST:].decode("utf-8", "ignore")
    return f".edgefuse-{_owner(os.getpid())}-{os.urandom(6).hex()}.{short}.part{ending}"


def is_part(name: str) -> bool:
    """Return whether a file's name is one of `part_of`."""
    return _NAME.fullmatch(name) is not None


def remove_abandoned(folder: Path, deep: bool = False) -> None:
    """Delete unfinished files in `folder` (deep: and below it) whose process has ended.

    The files of processes that can't be seen from here, of other computers and containers, are deleted once they have not changed for two
    days. Files that others made are never deleted, whatever their names.
    """
    for parent, names, files in os.walk(folder):
        if not deep:
            names.clear()
        for name in files:
            path = Path(parent, name)
            if is_part(name) and _abandoned(path):
                with contextlib.suppress(OSError):
                    path.unlink()


def remove_abandoned_once(folder: Path) -> None:
    """The same as `remove_abandoned`, at the first call for a folder in this process."""
    if folder not in _swept:
        _swept.add(folder)
        remove_abandoned(folder)


def _abandoned(path: Path) -> bool:
    match = _NAME.fullmatch(path.name)
    if match is None:
        return False
    host, boot, space = _machine()
    if match[1] == host and match[2] != boot:
        return True
    if match[1] == host and match[3] == space:
        return not _runs(int(match[4]), match[5])
    try:
        return time.time() - path.stat().st_mtime > _STRANGE_S
    except OSError:
        return False


@cache
def _owner(pid: int) -> str:
    return "-".join((*_machine(), str(pid), _start(pid) or "0"))


def _runs(pid: int, start: str) -> bool:
    """Return whether the process `pid` that started at `start` is there."""
    if found := _start(pid):
        return found == start
    try:
        # another user's process may be invisible in /proc
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    # it has ended, and waits for its parent
    return False


@cache
def _machine() -> tuple[str, str, str]:
    """Return identifiers of this computer, of its start, and of the space in which process numbers count (a container has its own)."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        boot = ""
    try:
        identity = Path("/etc/machine-id").read_text().strip()
    except OSError:
        identity = ""
    try:
        space = str(os.stat("/proc/self/ns/pid").st_ino)  # noqa: PTH116
    except OSError:
        space = "0"
    return _short(identity + "\0" + os.uname().nodename), _short(boot), space


def _short(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"


def _start(pid: int) -> str:
    """Return when a process started, in clock ticks since the computer's start; empty if there is none of that number."""
    try:
        status = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return ""
    # the second field is the program's name, which may hold blanks and parentheses
    fields = status.rpartition(b")")[2].split()
    return "" if fields[0] == b"Z" else fields[19].decode()
