"""Tests of the bounded queue of messages."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgefuse.mqtt.backlog import Backlog, Kind, Message

KINDS = st.lists(st.sampled_from(["telemetry", "event", "alarm"]), max_size=60)


def drained(backlog: Backlog) -> list[Message]:
    messages = []
    while (message := backlog.take()) is not None:
        messages.append(message)
    return messages


def test_telemetry_is_dropped_before_events_and_events_before_alarms() -> None:
    backlog = Backlog(3)
    kinds: list[Kind] = ["alarm", "telemetry", "event", "telemetry", "alarm", "alarm", "alarm"]
    for k, kind in enumerate(kinds):
        backlog.put(Message(kind, str(k), b""))
    assert [m.topic for m in drained(backlog)] == ["4", "5", "6"]
    assert backlog.lost == {"telemetry": 2, "event": 1, "alarm": 1}


@given(KINDS, st.integers(1, 20))
def test_it_is_bounded_keeps_the_order_and_counts_all(kinds: list[Kind], most: int) -> None:
    backlog = Backlog(most)
    for k, kind in enumerate(kinds):
        backlog.put(Message(kind, str(k), b""))
        assert len(backlog) <= most
    lost = dict(backlog.lost)
    kept = drained(backlog)
    assert [int(m.topic) for m in kept] == sorted(int(m.topic) for m in kept)
    for kind in ("telemetry", "event", "alarm"):
        left = [m for m in kept if m.kind == kind]
        assert len(left) + lost.get(kind, 0) == kinds.count(kind)
        # the newest of each kind remain
        assert [int(m.topic) for m in left] == [k for k, other in enumerate(kinds) if other == kind][lost.get(kind, 0) :]
    if lost.get("alarm"):
        assert {m.kind for m in kept} == {"alarm"}
