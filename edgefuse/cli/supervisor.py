"""Runs a command that opens cubes in a child process, and ends it where a file crashes it or makes it hang.

Libraries that decode file formats do both on some damaged files, and a thread can't interrupt them. The child is a fork, made before the
command's modules are imported: it then shares few pages of memory, each of which costs a page fault when the child writes to it. The child
prints and writes what the command prints and writes, and reports progress (edgefuse/util/heartbeat.py).
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import shutil
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import NoReturn

from edgefuse.board.limits import usable_cores
from edgefuse.errors import CubeError, EdgeFuseError
from edgefuse.util import heartbeat
from edgefuse.util.child_process import message, signal_name
from edgefuse.util.stall import Limit, Stall
from edgefuse.util.unfinished_files import remove_abandoned

COMMANDS = frozenset({"compress", "decompress", "info", "sharpen"})
OPEN_CPU_S, OPEN_WALL_S = 20.0, 300.0  # for opening a file of any size, with the import of its library
_CPU_BYTES_S, _WALL_BYTES_S = 2_000_000, 500_000  # some formats are read whole when they are opened
STALL_S = 60.0  # processor time without progress, a core
_STALL_WALL_S = 1800.0
_POLL_S = 1.0
_END_S = 10.0  # a killed process may take so long to end
_PR_SET_PDEATHSIG = 1
_forked = False  # whether a child does the work; the same in the child


def run(work: Callable[[], int]) -> int:
    """Call `work` in a child process and return its result, the exit code. In the child, returns what `work` returns.

    Raises CubeError where a file makes the child crash or hang, EdgeFuseError where the system kills it. Where no process can be started,
    calls `work` in this one.
    """
    global _forked
    if not sys.platform.startswith("linux"):
        return work()
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        reading, writing = os.pipe()
    except OSError:
        return work()
    parent = os.getpid()
    try:
        with warnings.catch_warnings():
            # about threads, which a fork lacks: `edgefuse` has none here, and those of a BLAS start anew
            warnings.simplefilter("ignore", DeprecationWarning)
            # a collection in the child would write to, and so copy, each page that it shares
            gc.freeze()
            pid = os.fork()
    except OSError:
        os.close(reading)
        os.close(writing)
        return work()
    _forked = True
    if not pid:
        os.close(reading)
        _become_child(parent)
        heartbeat.connect(writing)
        return work()
    os.close(writing)
    child = _Child(pid, reading)
    try:
        with _interrupts(child):
            return child.result()
    finally:
        child.clean_up()


def leave(code: int) -> NoReturn:
    """End this process; where a child does the work, both without the interpreter's shutdown, which takes tens of milliseconds.

    What commands that open cubes have open, they close themselves, also after an error.
    """
    if _forked:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _become_child(parent: int) -> None:
    # Ctrl-C is sent to both processes: the parent passes it on, once
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _interrupted)
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _interrupted(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextlib.contextmanager
def _interrupts(child: _Child) -> Iterator[None]:
    """Pass an interrupt on to the child; a second one ends it at once."""
    before = signal.signal(signal.SIGINT, lambda *_: child.interrupt())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@dataclass
class _Child:
    """The child, seen from its parent. folders: those that it writes to."""

    pid: int
    pipe: int
    code: int | None = None
    _file: str = ""
    _opening: bool = False
    _leaves: list[str] = field(default_factory=list)
    _folders: list[str] = field(default_factory=list)
    _interrupts: int = 0
    _ended: bool = False
    _stall_s: float = field(default_factory=lambda: STALL_S)

    def __post_init__(self) -> None:
        self._stall = Stall(self.pid)

    def result(self) -> int:
        """Wait for the end and return the exit code. Raises EdgeFuseError where there is none."""
        limit, text = Limit(STALL_S * usable_cores()), b""
        while True:
            if self._stall.wait(self.pipe, _POLL_S):
                if not (data := os.read(self.pipe, 1 << 16)):
                    return self._exit_code()
                *whole, text = (text + data).split(b"\n")
                for line in whole:
                    limit = self._limit_after(message(line), limit)
                self._stall.reported()
            elif self._interrupts and self._stall.waited_s > _END_S:
                self._kill()
                return 130
            elif exceeded := self._stall.exceeds(limit):
                self._kill()
                raise self._hung(exceeded)

    def _limit_after(self, said: dict[str, object], limit: Limit) -> Limit:
        """Return the limit that holds after a message of the child."""
        if "opening" in said:
            self._file, self._opening, size = str(said["opening"]), True, float(str(said["bytes"]))
            return Limit(OPEN_CPU_S + size / _CPU_BYTES_S, OPEN_WALL_S + size / _WALL_BYTES_S)
        if "leaves" in said:
            self._leaves.append(str(said["leaves"]))
        if "writes" in said:
            self._folders.append(str(said["writes"]))
        if "stall_s" in said:
            self._stall_s = float(str(said["stall_s"]))
        if "finished" in said:
            return Limit()
        if "opened" in said:
            self._opening = False
            # several threads may work at a time, and one of them alone may hang
            return Limit(self._stall_s * usable_cores(), _STALL_WALL_S)
        return limit

    def interrupt(self) -> None:
        """End the command as Ctrl-C does; at once if it was asked to before."""
        self._interrupts += 1
        self._stall.waited_s = 0.0
        with contextlib.suppress(OSError):
            os.kill(self.pid, signal.SIGTERM if self._interrupts == 1 else signal.SIGKILL)

    def _hung(self, exceeded: str) -> EdgeFuseError:
        if self._opening:
            return CubeError(f"{self._file} can't be opened within {exceeded}: reading it hangs; the file is probably damaged")
        if self._file:
            return CubeError(f"{self._file}: no progress within {exceeded}, so the command was ended; the file is probably damaged")
        return CubeError(f"no progress within {exceeded}, so the command was ended; the input is probably damaged")

    def _exit_code(self) -> int:
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self._ended = True
        if code >= 0:
            self.code = code
            return code
        name = signal_name(code)
        if self._interrupts:
            return 130
        if name == "SIGKILL":
            raise EdgeFuseError("the command was killed (SIGKILL), probably because the memory ran out; free some, or add swap")
        if self._file:
            raise CubeError(f"{self._file}: reading it crashed the command ({name}); the file is probably damaged")
        raise EdgeFuseError(f"the command crashed ({name})")

    def _kill(self) -> None:
        """End the child, and wait for that as long as it may be expected to take."""
        with contextlib.suppress(OSError):
            os.kill(self.pid, signal.SIGKILL)
        end = time.monotonic() + _END_S
        while not self._ended and time.monotonic() < end:
            self._ended = os.waitpid(self.pid, os.WNOHANG)[0] == self.pid
            time.sleep(0 if self._ended else 0.01)

    def clean_up(self) -> None:
        """Delete what the child left if it was ended."""
        os.close(self.pipe)
        if not self._ended:
            self._kill()
        if self.code is not None:
            return
        for path in self._leaves:
            shutil.rmtree(path, ignore_errors=True)
        for folder in self._folders:
            remove_abandoned(Path(folder))
