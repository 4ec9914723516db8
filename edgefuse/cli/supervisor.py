"""Runs a command that opens cubes in a child process, and ends it where a file crashes it or makes it hang.

Libraries that decode file formats do both on some damaged files, and a thread can't interrupt them. The child is a fork, which takes a few
milliseconds; it prints and writes what the command prints and writes, and reports progress (edgefuse/util/heartbeat.py).
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import select
import shutil
import signal
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import FrameType
from typing import NoReturn

from edgefuse.board.limits import usable_cores
from edgefuse.cli.pipes import PIPE
from edgefuse.errors import CubeError, EdgeFuseError
from edgefuse.util import heartbeat
from edgefuse.util.child_process import message, processor_s, signal_name
from edgefuse.util.unfinished_files import remove_abandoned
from edgefuse.util.uri import expand

OPEN_CPU_S, OPEN_WALL_S = 20.0, 300.0  # for opening a file of any size, with the import of its library
_CPU_BYTES_S, _WALL_BYTES_S = 2_000_000, 500_000  # some formats are read whole when they are opened
STALL_S = 60.0  # processor time without progress, a core
_STALL_WALL_S = 1800.0
_POLL_S = 1.0
_END_S = 10.0  # a killed process may take so long to end
_PR_SET_PDEATHSIG = 1
_supervises = False  # whether this process has a child that does the work


def run(args: argparse.Namespace) -> int:
    """Run the command of `args` in a child process and return its exit code. In the child, returns what the command returns.

    Raises CubeError where a file makes the command crash or hang, EdgeFuseError where the system kills it. Where no process can be started,
    runs the command in this one.
    """
    global _supervises
    if not sys.platform.startswith("linux"):
        return _command(args)
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        reading, writing = os.pipe()
    except OSError:
        return _command(args)
    parent = os.getpid()
    try:
        with warnings.catch_warnings():
            # about threads, which a fork lacks: only the BLAS has some here, and it starts them anew
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
    except OSError:
        os.close(reading)
        os.close(writing)
        return _command(args)
    if not pid:
        os.close(reading)
        _become_child(parent)
        heartbeat.connect(writing)
        return _command(args)
    os.close(writing)
    _supervises = True
    child = _Child(pid, reading)
    try:
        with _interrupts(child):
            return child.result()
    finally:
        child.clean_up(getattr(args, "out", ""))


def leave(code: int) -> NoReturn:
    """End this process; where a child did the work, without the interpreter's shutdown, which takes tens of milliseconds."""
    if _supervises:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _command(args: argparse.Namespace) -> int:
    code: int = args.command(args)
    return code


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
class _Limit:
    """What may pass until the next report: processor time and time, in seconds. opening: the file, or an empty string."""

    cpu_s: float
    wall_s: float
    opening: str = ""


@dataclass
class _Child:
    """The child, seen from its parent."""

    pid: int
    pipe: int
    code: int | None = None
    _file: str = ""
    _leaves: list[str] = field(default_factory=list)
    _interrupts: int = 0
    _ended: bool = False
    _waited_s: float = 0.0
    _stall_s: float = field(default_factory=lambda: STALL_S)

    def result(self) -> int:
        """Wait for the end and return the exit code. Raises EdgeFuseError where there is none."""
        limit: _Limit | None = _Limit(STALL_S * usable_cores(), float("inf"))
        used, text = processor_s(self.pid), b""
        while True:
            began = time.monotonic()
            if select.select([self.pipe], [], [], _POLL_S)[0]:
                if not (data := os.read(self.pipe, 1 << 16)):
                    return self._exit_code()
                *whole, text = (text + data).split(b"\n")
                for line in whole:
                    limit = self._told(message(line), limit)
                used, self._waited_s = processor_s(self.pid), 0.0
                continue
            # a time that this process was stopped does not count
            self._waited_s += min(time.monotonic() - began, 2 * _POLL_S)
            if self._interrupts and self._waited_s > _END_S:
                self._kill()
                return 130
            if limit is not None and ((late := self._waited_s > limit.wall_s) or processor_s(self.pid) - used > limit.cpu_s):
                self._kill()
                raise self._hung(limit, late)

    def _told(self, said: dict[str, object], limit: _Limit | None) -> _Limit | None:
        """Return the limit that holds after a message of the child; None: none."""
        if "opening" in said:
            self._file, size = str(said["opening"]), float(str(said["bytes"]))
            return _Limit(OPEN_CPU_S + size / _CPU_BYTES_S, OPEN_WALL_S + size / _WALL_BYTES_S, self._file)
        if "leaves" in said:
            self._leaves.append(str(said["leaves"]))
        if "stall_s" in said:
            self._stall_s = float(str(said["stall_s"]))
        if "finished" in said:
            return None
        if "opened" in said:
            # several threads may work at a time, and one of them alone may hang
            return _Limit(self._stall_s * usable_cores(), _STALL_WALL_S)
        return limit

    def interrupt(self) -> None:
        """End the command as Ctrl-C does; at once if it was asked to before."""
        self._interrupts += 1
        self._waited_s = 0.0
        with contextlib.suppress(OSError):
            os.kill(self.pid, signal.SIGTERM if self._interrupts == 1 else signal.SIGKILL)

    def _hung(self, limit: _Limit, wall: bool) -> EdgeFuseError:
        seconds = f"{limit.wall_s:.0f} s" if wall else f"{limit.cpu_s:.0f} s of processor time"
        if limit.opening:
            return CubeError(f"{limit.opening} can't be opened within {seconds}: reading it hangs; the file is probably damaged")
        if self._file:
            return CubeError(f"{self._file}: no progress within {seconds}, so the command was ended; the file is probably damaged")
        return CubeError(f"no progress within {seconds}, so the command was ended; the input is probably damaged")

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

    def clean_up(self, out: str) -> None:
        """Delete what the child left if it was ended. out: the file that it wrote."""
        os.close(self.pipe)
        if not self._ended:
            self._kill()
        if self.code is not None:
            return
        for path in self._leaves:
            shutil.rmtree(path, ignore_errors=True)
        if out not in ("", PIPE):
            remove_abandoned(expand(out).parent)
