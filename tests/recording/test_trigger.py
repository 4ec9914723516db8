"""When is recorded, by mode; a clock that stands still until it is moved."""

from __future__ import annotations

import pytest

from edgefuse.recording.trigger import Trigger


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_always_until_told_otherwise_and_alarms_all_the_same(clock: Clock) -> None:
    t = Trigger("always", 5, clock)
    assert t.wanted()
    t.ask(False)
    assert not t.wanted()
    assert not t.encodes()
    t.alarm("stove", "raised")
    assert t.wanted()
    t.alarm("stove", "cleared")
    clock.now += 4.9
    assert t.wanted()
    clock.now += 0.2
    assert not t.wanted()
    t.ask(True)
    assert t.wanted()


def test_alarm_from_the_first_raised_to_some_time_after_the_last_is_cleared(clock: Clock) -> None:
    t = Trigger("alarm", 10, clock)
    assert (t.wanted(), t.encodes()) == (False, True)
    t.alarm("a", "raised")
    clock.now += 1000
    t.alarm("b", "raised")
    t.alarm("a", "cleared")
    clock.now += 1000
    assert t.wanted()
    t.alarm("b", "fault")
    assert t.wanted()
    t.alarm("b", "cleared")
    clock.now += 9
    assert t.wanted()
    clock.now += 2
    assert not t.wanted()


def test_an_alarm_without_a_state_is_over_at_once(clock: Clock) -> None:
    t = Trigger("alarm", 10, clock)
    t.alarm("bell", None)
    assert t.wanted()
    clock.now += 11
    assert not t.wanted()


def test_what_began_before_the_end_belongs_to_it(clock: Clock) -> None:
    t = Trigger("alarm", 10, clock)
    t.ask(True)
    t.ask(False)
    clock.now += 0.4
    assert (t.wanted(), t.wanted(0.5), t.wanted(0.3)) == (False, True, False)


def test_what_was_never_raised_can_not_be_cleared(clock: Clock) -> None:
    t = Trigger("alarm", 10, clock)
    t.alarm("a", "cleared")
    assert not t.wanted()


def test_on_request_alone(clock: Clock) -> None:
    t = Trigger("request", 10, clock)
    t.alarm("a", "raised")
    assert (t.wanted(), t.encodes()) == (False, False)
    t.ask(True)
    assert t.wanted()
    t.ask(False)
    assert not t.wanted()
