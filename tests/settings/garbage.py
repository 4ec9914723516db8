"""Malformed settings files from a seed, between almost valid and random bytes."""

from __future__ import annotations

import random
from dataclasses import fields

from edgefuse.settings import tables

VALUES = (
    "1", "-1", "0", "true", "1.5", "nan", "-inf", "1e400", "9" * 400, '""', '"x"', "'demo'", '"demo?frames=0"', "[]", "[1, 'a']", '["a"]',
    "{}", "{a = 1}", "1979-05-27", "07:32:00", '"\\u0000"', '"\\uD800"', "[[[[]]]]", "'" + "x" * 5000 + "'", "0x7f", "0b1", "+", "",
    '"\\n"', '"visible=rtsp://a:b@c/d?e"', '"100"', "2", "80", "[0.0, 0.5, 0.5, 1.0]", '"/dev/null"', "1" * 5000, "[" * 60 + "]" * 60,
)  # fmt: skip
_KEYS = ("model", "modle", "a.b", '""', '"run"', "run", "-", "é", '"é"', "a b", "x" * 300, "password_file", "token_file")
_HEADERS = (
    "[run]",
    "[[run]]",
    "[run.run]",
    "[ran]",
    "[alarm.a]",
    '[alarm.""]',
    "[alarm.'a.b']",
    "[alarm]",
    "[]",
    "[run",
    "run = 1",
    "[alarm.a.b]",
)


def garbage(rng: random.Random) -> bytes:
    """Return one file."""
    lines = []
    for _ in range(rng.randrange(6)):
        table = rng.choice(list(tables.TABLES))
        lines.append(
            rng.choice(_HEADERS) if rng.random() < 0.2 else f"[{table}.a{rng.randrange(9)}]" if table in tables.REPEATABLE else f"[{table}]"
        )
        names = [f.name for f in fields(tables.kind(table))]
        for _ in range(rng.randrange(4)):
            key = rng.choice(_KEYS) if rng.random() < 0.1 else rng.choice(names)
            lines.append(f"{key} = {rng.choice(VALUES)}")
    data = bytearray("\n".join(lines).encode("utf-8", "surrogatepass"))
    if rng.random() < 0.3:
        for _ in range(rng.randrange(1, 8)):
            at = rng.randrange(len(data) + 1)
            kind = rng.randrange(3)
            if kind == 0:
                data[at:at] = bytes([rng.randrange(256)])
            elif kind == 1:
                del data[at : at + rng.randrange(1, 9)]
            else:
                data[at:at] = data[at : at + rng.randrange(1, 40)]
    return bytes(data)
