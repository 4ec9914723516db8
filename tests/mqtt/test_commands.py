"""Tests of command parsing."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgefuse.mqtt import commands
from edgefuse.mqtt.commands import Command, RateLimiter, RefusedError, parse
from tests.mqtt import hostile


def test_commands_and_nothing_else() -> None:
    assert parse(b'{"command": "snapshot"}') == Command("snapshot")
    assert parse(b'{"command": "record", "on": false, "id": "a7"}') == Command("record", {"on": False}, "a7")
    assert parse(b'{"id": "", "command": "reload"}') == Command("reload")


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"", "JSON object"), (b"snapshot", "JSON object"), (b"[]", "JSON object"), (b'"snapshot"', "JSON object"),
        (b"\xff", "JSON object"),
        (b'{"command": "shutdown"}', "expected snapshot, record, reload"), (b'{"command": ["snapshot"]}', "expected snapshot"),
        (b"{}", "unknown command"),
        (b'{"command": "snapshot", "path": "/etc/x.jpg"}', "snapshot takes nothing and an id"),
        (b'{"command": "record"}', r"record takes on \(true or false\)"), (b'{"command": "record", "on": 1}', r"on \(true or false\)"),
        (b'{"command": "record", "on": true, "file": "x"}', "record takes on"), (b'{"command": "reload", "id": 7}', "64 printable"),
        (b'{"command": "reload", "id": "\\n"}', "64 printable"), (b'{"command": "reload", "id": "\\ud800"}', "64 printable"),
        (b'{"command": "reload", "command": "snapshot"}', "duplicate key"), (b'{"command": "record", "on": NaN}', "not JSON"),
        (b'{"command": "reload", "id": "' + b"x" * 65 + b'"}', "64 printable"), (b" " * 1025, "1024 bytes at most"),
        (b"[" * 1024, "JSON object"),
    ],
)  # fmt: skip
def test_invalid_payloads_are_refused_with_the_reason(payload: bytes, why: str) -> None:
    with pytest.raises(RefusedError, match=why):
        parse(payload)


@given(st.binary(max_size=1100))
def test_any_bytes_are_a_command_or_refused(payload: bytes) -> None:
    hostile.check(payload)


def test_malformed_payloads_are_refused_and_valid_ones_accepted() -> None:
    rng = random.Random(6)
    results = [hostile.check(hostile.payload(rng)) for _ in range(3000)]
    assert 100 < sum(c is not None for c in results) < 1500
    assert {c.name for c in results if c} == {"snapshot", "record", "reload"}


def test_the_generator_is_reproducible_from_its_seed() -> None:
    assert [hostile.payload(random.Random(1)) for _ in range(50)] == [hostile.payload(random.Random(1)) for _ in range(50)]


def test_commands_beyond_the_rate_limit_are_dropped_without_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(commands.time, "monotonic", lambda: now[0])
    throttle = RateLimiter(rate=5.0, burst=10)
    assert sum(throttle.admit() for _ in range(1000)) == 10
    now[0] += 1.0
    assert sum(throttle.admit() for _ in range(1000)) == 5
    now[0] += 3600.0
    assert sum(throttle.admit() for _ in range(1000)) == 10
