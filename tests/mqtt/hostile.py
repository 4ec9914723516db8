"""Malformed command payloads from a seed, for the tests and in large numbers for benchmarks/fuzz.

rng = random.Random(seed); check(payload(rng))
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

from edgefuse.mqtt import commands

_GOOD = (b'{"command": "snapshot"}', b'{"command": "record", "on": true, "id": "42"}', b'{"command":"reload","id":"\xc3\xa9"}')
_PATHS = (
    "/etc/passwd",
    "../../x",
    "file:///dev/sda",
    "C:\\x",
    "snapshot\0",
    "$(reboot)",
    "; rm -rf /",
    "{{7*7}}",
    "%s%n",
    "\u202e",
    "a" * 900,
)
_KEYS = ("command", "on", "id", "path", "file", "name", "__class__", "", "argv", "COMMAND")
_VALUES: tuple[Any, ...] = (*_PATHS, "snapshot", "record", "reload", True, False, None, 0, 1, -1, 1e308, 10**40, [], {}, [["x"]], "on", "")


def payload(rng: random.Random) -> bytes:
    """Return a payload of one of many kinds, from nearly valid to noise."""
    return rng.choice(_KINDS)(rng)


def check(data: bytes) -> commands.Command | None:
    """Return the parsed command, or None where it was refused. Fails for any other outcome."""
    refusal = ""
    try:
        command = commands.parse(data)
    except commands.RefusedError as e:
        refusal = str(e)
    if refusal:
        assert len(refusal) < 200
        assert refusal.isprintable()
        return None
    assert len(data) <= commands.MAX_BYTES
    assert command.name in ("snapshot", "record", "reload")
    assert command.arguments.keys() == ({"on"} if command.name == "record" else set())
    assert all(type(v) is bool for v in command.arguments.values())
    assert len(command.id) <= 64
    assert command.id == "" or command.id.isprintable()
    # the answer must be valid JSON for any id
    json.dumps({"id": command.id}).encode()
    return command


def _noise(rng: random.Random) -> bytes:
    return rng.randbytes(rng.choice((0, 1, 2, 7, 64, 1024, 5000)))


def _damaged(rng: random.Random) -> bytes:
    data = bytearray(rng.choice(_GOOD))
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data))
        if rng.random() < 0.5:
            data[at] = rng.randrange(256)
        else:
            data[at:at] = rng.randbytes(rng.randint(0, 3))
    return bytes(data[: rng.randint(0, len(data))] if rng.random() < 0.3 else data)


def _object(rng: random.Random) -> bytes:
    given = {rng.choice(_KEYS): rng.choice(_VALUES) for _ in range(rng.randint(0, 5))}
    if rng.random() < 0.7:
        given["command"] = rng.choice(("snapshot", "record", "reload"))
    return json.dumps(given, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")


def _deep(rng: random.Random) -> bytes:
    depth = rng.choice((10, 400, 511, 1000, 100_000))
    opening = rng.choice((b"[", b'{"command":'))
    return opening * depth + b"1" + (b"]" if opening == b"[" else b"}") * (depth if rng.random() < 0.5 else 0)


def _doubled(rng: random.Random) -> bytes:
    first, second = rng.choice(_VALUES[:15]), rng.choice(("snapshot", "record"))
    return b'{"command": %s, "command": "%s", "on": true}' % (json.dumps(first).encode(), second.encode())


def _numbers(rng: random.Random) -> bytes:
    number = rng.choice((b"NaN", b"-Infinity", b"1e999", b"9" * 1000, b"9" * 4500, b"0x10", b"1_000", b"-0", b"01", b"true", b"1.0", b"1"))
    return b'{"command": "record", "on": ' + number + b"}"


def _encoded(rng: random.Random) -> bytes:
    return rng.choice(_GOOD).decode().encode(rng.choice(("utf-16", "utf-32", "utf-8-sig", "utf-16-le", "utf-7")))


def _text(rng: random.Random) -> bytes:
    text = "".join(chr(rng.choice((0x41, 0xD7FF, 0xE000, 0x10FFFF, 0x202E, 10, 0))) for _ in range(rng.randint(0, 80)))
    return b'{"command": "snapshot", "id": "' + text.encode() + b'"}'


def _surrogate(rng: random.Random) -> bytes:
    return b'{"command": "snapshot", "id": "\\ud%03x"}' % rng.randrange(0x800, 0xFFF)


def _right(rng: random.Random) -> bytes:
    return rng.choice(_GOOD)


_KINDS: tuple[Callable[[random.Random], bytes], ...] = (
    _noise, _damaged, _damaged, _object, _object, _deep, _doubled, _numbers, _encoded, _text, _surrogate, _right,
)  # fmt: skip
