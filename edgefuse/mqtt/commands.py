"""Commands from the broker: a JSON object of at most 1024 bytes with a known command and its arguments.

    {"command": "record", "on": true, "id": "42"}

No command takes a path, a file name or a program. Everyone with write access to the broker's command topic can send them.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import NoReturn

from edgefuse.events import Facts

MAX_BYTES = 1024
MAX_TEXT = 64
_ARGUMENTS: dict[str, dict[str, type]] = {"snapshot": {}, "record": {"on": bool}, "reload": {}, "view": {"view": str}}
_WORDS = {bool: "true or false", str: "a name"}


@dataclass(frozen=True, slots=True)
class Command:
    """A command. id: chosen by the sender, up to 64 printable characters, returned in the answer; empty for none."""

    name: str
    arguments: Facts = field(default_factory=dict)
    id: str = ""


class RefusedError(ValueError):
    """The reason why a payload is not a valid command; never quotes the payload."""


def parse(payload: bytes) -> Command:
    """Parse a payload of any bytes. Raises RefusedError."""
    if len(payload) > MAX_BYTES:
        raise RefusedError(f"a command has {MAX_BYTES} bytes at most")
    try:
        given = json.loads(payload.decode(), object_pairs_hook=_unique_keys, parse_constant=_no_constant)
    except RefusedError:
        raise
    except (ValueError, RecursionError):
        raise RefusedError("a command is a JSON object in UTF-8") from None
    if not isinstance(given, dict):
        raise RefusedError("a command is a JSON object")
    name, reference = given.pop("command", None), given.pop("id", "")
    if not isinstance(name, str) or name not in _ARGUMENTS:
        raise RefusedError(f"unknown command; expected {', '.join(_ARGUMENTS)}")
    if not isinstance(reference, str) or len(reference) > 64 or not reference.isprintable():
        raise RefusedError("id must be a string of up to 64 printable characters")
    expected = _ARGUMENTS[name]
    # compare exact types, because a bool is an int too
    if any(isinstance(v, str) and len(v) > MAX_TEXT for v in given.values()):
        raise RefusedError(f"{name}: a name has {MAX_TEXT} characters at most")
    if given.keys() != expected.keys() or any(type(given[k]) is not t for k, t in expected.items()):
        listed = ", ".join(f"{k} ({_WORDS[t]})" for k, t in expected.items())
        raise RefusedError(f"{name} takes {listed or 'nothing'} and an id")
    return Command(name, given, reference)


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        raise RefusedError("duplicate key")
    return unique


def _no_constant(name: str) -> NoReturn:
    raise RefusedError("a command is a JSON object; NaN and Infinity are not JSON")


class RateLimiter:
    """Token bucket: `rate` commands per second with bursts of `burst`. Commands beyond that are dropped without an answer."""

    def __init__(self, rate: float = 5.0, burst: int = 10) -> None:
        self._rate, self._burst = rate, float(burst)
        self._left, self._at = self._burst, time.monotonic()

    def admit(self) -> bool:
        """Whether another command may run now."""
        now = time.monotonic()
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
