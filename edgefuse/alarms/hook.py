"""Programs that run when an alarm changes: one at a time, with a time limit, never blocking the run."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

from edgefuse.errors import SettingsError
from edgefuse.events import Facts
from edgefuse.util.restarting_thread import FaultLog, Worker

log = logging.getLogger(__name__)

_WAITING = 16  # queued calls; further ones are dropped and counted
_CLOSING_S = 4.0  # seconds that closing waits for running hooks


@dataclass(frozen=True, slots=True)
class Call:
    """A program to run with its arguments, its time limit, and its facts (JSON values)."""

    argv: tuple[str, ...]
    timeout_s: float
    facts: Facts


def check_program(argv: Sequence[str], where: str) -> None:
    """Raises SettingsError where the program does not exist."""
    if argv and shutil.which(argv[0]) is None:
        raise SettingsError(f"{where}: no program {argv[0]!r}; give the path of an executable file")


class Hooks:
    """Thread that runs the calls in turn.

    A program gets the facts as a line of JSON on standard input and as EDGEFUSE_* variables. Its standard output is discarded, its
    standard error goes to ours.
    """

    def __init__(self) -> None:
        self._calls: queue.Queue[Call | None] = queue.Queue(_WAITING)
        self.done, self.failed, self.lost = 0, 0, 0
        self._process: subprocess.Popen[bytes] | None = None
        self.faults = FaultLog(log, "a hook")
        self._worker = Worker("edgefuse-hooks", self._run, self.faults)
        self._worker.start()

    @property
    def alive(self) -> bool:
        """Whether hooks can run."""
        return self._worker.alive

    def call(self, call: Call) -> None:
        """Queue a call; returns at once."""
        try:
            self._calls.put_nowait(call)
        except queue.Full:
            self.lost += 1

    def report(self) -> dict[str, int]:
        """Return the number of calls done, failed, lost and waiting."""
        return {"done": self.done, "failed": self.failed, "lost": self.lost, "waiting": self._calls.qsize()}

    def close(self) -> None:
        """Let queued calls run for up to _CLOSING_S seconds, then kill what is left."""
        deadline = time.monotonic() + _CLOSING_S
        with contextlib.suppress(queue.Full):
            self._calls.put(None, timeout=_CLOSING_S)
        self._worker.end()
        self._worker.join(max(0.0, deadline - time.monotonic()))
        while self._worker.alive:
            self._drain()
            if process := self._process:
                _kill(process)
            self._worker.join(0.1)

    def _drain(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                if self._calls.get_nowait() is not None:
                    self.lost += 1
        with contextlib.suppress(queue.Full):
            self._calls.put_nowait(None)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            try:
                failure = self._run_call(call)
            except Exception as e:  # whatever happens to one call, the next is made
                self.faults.note(e)
                failure = f"{type(e).__name__}: {e}"
            if failure:
                self.failed += 1
                log.warning("hook %s: %s", call.argv[0], failure)
            else:
                self.done += 1

    def _run_call(self, call: Call) -> str | None:
        """Run a call. Returns the failure as text, or None."""
        text = json.dumps(call.facts)
        environment = {k: v for k, v in os.environ.items() if k != "NOTIFY_SOCKET"}
        environment |= {f"EDGEFUSE_{k.upper()}": v if isinstance(v, str) else json.dumps(v) for k, v in call.facts.items()}
        try:
            # its own session, so that its children are killed with it and Ctrl-C does not reach it
            process = subprocess.Popen(
                call.argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True, env=environment
            )  # fmt: skip
        except (OSError, ValueError) as e:
            return f"cannot start ({e})"
        self._process = process
        try:
            process.communicate(text.encode() + b"\n", call.timeout_s)
        except subprocess.TimeoutExpired:
            _kill(process)
            process.wait()
            return f"killed after {call.timeout_s:g} s"
        finally:
            self._process = None
            if process.poll() is None:
                # its input could not be written, for lack of a descriptor or of memory
                _kill(process)
                process.wait()
            if process.stdin:
                with contextlib.suppress(OSError):
                    process.stdin.close()
        return f"exit code {process.returncode}" if process.returncode else None


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
