"""Child processes that answer in lines of JSON: both ends, the name of the signal that ended one, and the processor time of one."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def answers() -> Callable[[Mapping[str, object]], None]:
    """In the child: return a function that writes a message to the parent. Redirects standard output to standard error, so that
    libraries' output can't mix with messages."""
    stream = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def tell(message: Mapping[str, object]) -> None:
        stream.write(json.dumps(message) + "\n")
        stream.flush()

    return tell


def message(line: str | bytes) -> dict[str, Any]:
    """In the parent: parse a line as a message; returns an empty dict if it is none."""
    try:
        parsed = json.loads(line)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def signal_name(code: int) -> str | None:
    """Return the name of the signal that ended a process with the return code `code`, such as SIGILL, or None."""
    if code >= 0:
        return None
    return signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"


def processor_s(pid: int) -> float:
    """Return the processor time that a process has taken so far, in seconds; 0 where it can't be read, as of a process that is gone."""
    if sys.platform.startswith("linux"):
        # without psutil, whose import would make short commands slower
        try:
            fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        except (OSError, IndexError, ValueError):
            return 0.0
    import psutil

    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)
