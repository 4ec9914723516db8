"""Child processes of a test: what they put out, and their end within a deadline."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import AnyStr, TypeVar

from tests.support import waiting
from tests.support.waiting import SECONDS

T = TypeVar("T")


def until(condition: Callable[[], T], process: subprocess.Popen[AnyStr], what: str | Callable[[], object], seconds: float = SECONDS) -> T:
    """What `condition` returns once that is true; fails at once where the process ends before."""

    def true() -> T:
        found = condition()
        if not found and process.poll() is not None and not (found := condition()):
            name = what() if callable(what) else what
            raise AssertionError(f"the process ended with {process.returncode} before {name}: {ended(process, 'its output')}")
        return found

    return waiting.until(true, what, seconds)


def ended(process: subprocess.Popen[AnyStr], what: str, seconds: float = SECONDS) -> tuple[AnyStr, AnyStr]:
    """Standard output and standard error, once the process has ended; one that does not is killed, and the test fails with its output."""
    try:
        return process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        found = process.communicate(timeout=SECONDS)
        raise AssertionError(f"waited {seconds:g} s for {what}; the output is {found}") from None


def killed(process: subprocess.Popen[AnyStr]) -> None:
    """Kill it, if it has not ended, and take its end and its output in."""
    process.kill()
    ended(process, "the end of a killed process")
