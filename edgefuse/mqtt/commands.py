"""Commands from the broker: a JSON object of at most a kilobyte, with a command of the list below and nothing but its own arguments.

    {"command": "record", "on": true, "id": "42"}

None of them takes a path, a name of a file or a program. Whoever may write to the broker's command topic may send these.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MOST_BYTES = 1024
_ARGUMENTS: dict[str, dict[str, type]] = {"snapshot": {}, "record": {"on": bool}, "reload": {}}


@dataclass(frozen=True, slots=True)
class Command:
    """id: the asker's, up to 64 printable characters, comes back in the answer; empty for none."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    id: str = ""


class RefusedError(ValueError):
    """Why a payload is no command, in words; nothing of the payload is in them."""


def parse(payload: bytes) -> Command:
    """Any bytes. Raises RefusedError."""
    if len(payload) > MOST_BYTES:
        raise RefusedError(f"a command is of {MOST_BYTES} bytes at most")
    try:
        given = json.loads(payload.decode(), object_pairs_hook=_once, parse_constant=_no_constant)
    except RefusedError:
        raise
    except (ValueError, RecursionError):
        raise RefusedError("a command is a JSON object in UTF-8") from None
    if not isinstance(given, dict):
        raise RefusedError("a command is a JSON object")
    name, reference = given.pop("command", None), given.pop("id", "")
    if not isinstance(name, str) or name not in _ARGUMENTS:
        raise RefusedError(f"there is {', '.join(_ARGUMENTS)}")
    if not isinstance(reference, str) or len(reference) > 64 or not reference.isprintable():
        raise RefusedError("an id is a text of up to 64 printable characters")
    wanted = _ARGUMENTS[name]
    # a bool is an int, too: the very type
    if given.keys() != wanted.keys() or any(type(given[k]) is not t for k, t in wanted.items()):
        listed = ", ".join(f"{k} ({'true or false' if t is bool else t.__name__})" for k, t in wanted.items())
        raise RefusedError(f"{name} takes {listed or 'nothing'} and an id")
    return Command(name, given, reference)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise RefusedError("a key is given twice")
    return made


def _no_constant(name: str) -> Any:
    raise RefusedError("a command is a JSON object; NaN and Infinity are not JSON")


class Throttle:
    """So many a second, and a few at once: what lies beyond is not even answered."""

    def __init__(self, rate: float = 5.0, burst: int = 10) -> None:
        self._rate, self._burst = rate, float(burst)
        self._left, self._at = self._burst, time.monotonic()

    def admit(self) -> bool:
        now = time.monotonic()
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
