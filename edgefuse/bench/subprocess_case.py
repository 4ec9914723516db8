"""Runs a task in its own process, with its own memory; a library that crashes ends only that process.

The process runs `edgefuse.bench.subprocess_worker`. It gets a task as JSON and answers in lines of JSON: events, a result or an error.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from typing import TypedDict

from edgefuse import errors
from edgefuse.bench.cases import CaseFacts
from edgefuse.errors import EdgeFuseError
from edgefuse.util.child_process import message, signal_name

_CAUSES = {
    "SIGILL": "the library uses an instruction that this processor lacks; install another version of it",
    "SIGKILL": "killed from outside, most likely because memory ran out; give a smaller --size",
    "SIGSEGV": "the library crashed; install another version of it",
    "SIGBUS": "the library crashed; install another version of it",
}


OnEvent = Callable[[Mapping[str, float]], None]


class PlanValues(TypedDict):
    """`edgefuse.bench.measure.Plan`."""

    warmup: float
    min_secs: float
    frames: int


class Task(TypedDict, total=False):
    """What the process is to do (`do`: measure, version or compare), and what with."""

    do: str
    case: CaseFacts
    pair: str
    plan: PlanValues
    golden: bool
    runtime: str
    peer: str
    cases: list[CaseFacts]
    rounds: int
    min_secs: float


class DiedError(EdgeFuseError):
    """The process ended without a result."""


def run_isolated(task: Task, threads: int, on_event: OnEvent = lambda _: None) -> object:
    """Run `task` in a child process with `threads` threads for linear algebra, and return its result, JSON values.

    Raises the child's error, or DiedError. The child is ended together with this call, also by Ctrl-C.
    """
    env = os.environ | {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    command = [sys.executable, "-m", "edgefuse.bench.subprocess_worker", json.dumps(task)]
    with tempfile.TemporaryFile() as noise:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=noise, env=env)
        assert child.stdout is not None
        try:
            answer = None
            for line in child.stdout:
                said = message(line)
                if "event" in said:
                    on_event(said["event"])
                elif said.keys() & {"result", "error"}:
                    answer = said
            child.wait()
        finally:
            child.kill()
            child.wait()
            child.stdout.close()
        if answer is not None and "result" in answer:
            return answer["result"]
        if answer is not None:
            raise _raised(answer["error"])
        noise.seek(0)
        raise DiedError(_describe_end(child.returncode, noise.read().decode("utf-8", "replace")))


def _raised(error: Mapping[str, str]) -> EdgeFuseError:
    kind = getattr(errors, error["kind"], EdgeFuseError)
    made: EdgeFuseError = kind.__new__(kind)
    # some error classes need more arguments than a message
    EdgeFuseError.__init__(made, error["message"])
    return made


def _describe_end(code: int, noise: str) -> str:
    if name := signal_name(code):
        return f"died of {name}: {_CAUSES.get(name, 'unknown cause')}"
    last = (noise.strip().splitlines() or ["no output"])[-1]
    return f"exit code {code}: {last[:200]}"
