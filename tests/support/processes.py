"""Child processes of a test: reading their output and waiting for their end, with deadlines."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import AnyStr, TypeVar

from tests.support import waiting
from tests.support.waiting import SECONDS

T = TypeVar("T")


def until(condition: Callable[[], T], process: subprocess.Popen[AnyStr], what: str | Callable[[], object], seconds: float = SECONDS) -> T:
    """Wait until `condition` returns something true, and return it. Fails at once if the process ends first."""

    def true() -> T:
        value = condition()
        if not value and process.poll() is not None and not (value := condition()):
            name = what() if callable(what) else what
            raise AssertionError(f"the process ended with {process.returncode} before {name}: {ended(process, 'its output')}")
        return value

    return waiting.until(true, what, seconds)


def ended(process: subprocess.Popen[AnyStr], what: str, seconds: float = SECONDS) -> tuple[AnyStr, AnyStr]:
    """Wait for the process's end and return its standard output and standard error. At the deadline kills it and fails with its output."""
    try:
        return process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        output = process.communicate(timeout=SECONDS)
        raise AssertionError(f"waited {seconds:g} s for {what}; the output is {output}") from None


def killed(process: subprocess.Popen[AnyStr]) -> None:
    """Kill the process if it still runs, wait for its end, and read its remaining output."""
    process.kill()
    ended(process, "the end of a killed process")
