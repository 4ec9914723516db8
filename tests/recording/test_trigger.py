"""Tests of when to record, by mode, with a clock that the test moves."""

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


def test_mode_always_and_alarms_while_switched_off(clock: Clock) -> None:
    t = Trigger("always", 5, clock)
    assert t.wanted()
    t.set_requested(False)
    assert not t.wanted()
    assert not t.encode()
    t.alarm("stove", "raised")
    assert t.wanted()
    t.alarm("stove", "cleared")
    clock.now += 4.9
    assert t.wanted()
    clock.now += 0.2
    assert not t.wanted()
    t.set_requested(True)
    assert t.wanted()


def test_mode_alarm_from_the_first_raised_to_after_s_after_the_last_cleared(clock: Clock) -> None:
    t = Trigger("alarm", 10, clock)
    assert (t.wanted(), t.encode()) == (False, True)
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


def test_a_fragment_that_began_before_the_end_is_recorded(clock: Clock) -> None:
    t = Trigger("alarm", 10, clock)
    t.set_requested(True)
    t.set_requested(False)
    clock.now += 0.4
    assert (t.wanted(), t.wanted(0.5), t.wanted(0.3)) == (False, True, False)


def test_clearing_an_alarm_that_was_not_raised_changes_nothing(clock: Clock) -> None:
    t = Trigger("alarm", 10, clock)
    t.alarm("a", "cleared")
    assert not t.wanted()


def test_mode_request(clock: Clock) -> None:
    t = Trigger("request", 10, clock)
    t.alarm("a", "raised")
    assert (t.wanted(), t.encode()) == (False, False)
    t.set_requested(True)
    assert t.wanted()
    t.set_requested(False)
    assert not t.wanted()
