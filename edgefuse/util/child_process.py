"""A child process that answers in lines of JSON: the child's end, the parent's end, and how it died in words."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Mapping
from typing import Any


def answers() -> Callable[[Mapping[str, Any]], None]:
    """In the child: what writes a message to the parent. From here on what libraries print goes to standard error, so that no message
    is torn."""
    stream = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def tell(message: Mapping[str, Any]) -> None:
        stream.write(json.dumps(message) + "\n")
        stream.flush()

    return tell


def message(line: str | bytes) -> dict[str, Any]:
    """In the parent: the message that a line is; empty where it is none."""
    try:
        made = json.loads(line)
    except ValueError:
        return {}
    return made if isinstance(made, dict) else {}


def signal_name(code: int) -> str | None:
    """The signal that ended a process with the return code `code`, such as SIGILL; None where none did."""
    if code >= 0:
        return None
    return signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
