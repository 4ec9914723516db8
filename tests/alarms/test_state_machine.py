"""Tests of the alarm state machine: examples, and properties that hold for any readings."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from edgefuse.alarms.state_machine import AlarmStateMachine, Change

THRESHOLD, HYSTERESIS = 50.0, 5.0
# (seconds since the previous reading, degrees; None while the camera recalibrates); values cluster around the two limits
READINGS = st.lists(
    st.tuples(
        st.sampled_from([0.04, 0.11, 0.5, 1.0, 3.0, 0.0]),
        st.one_of(st.none(), st.sampled_from([20.0, 44.9, 45.0, 45.1, 49.9, 50.0, 50.1, 90.0]), st.floats(-40, 150)),
    ),
    max_size=80,
)
LIMITS = st.sampled_from([0.0, 0.3, 1.0, 4.0])
Step = tuple[float, float | None, Change | None]


def play(machine: AlarmStateMachine, readings: list[tuple[float, float | None]]) -> list[Step]:
    """Return (time, value, change) for each reading."""
    now, steps = 100.0, []
    for after, value in readings:
        now += after
        change = None
        if value is None:
            machine.hold(now)
        else:
            change = machine.update(now, value > THRESHOLD, value <= THRESHOLD - HYSTERESIS)
        steps.append((now, value, change))
    return steps


def test_raised_after_its_duration_cleared_beyond_the_hysteresis() -> None:
    readings = [(1.0, 40.0), (1.0, 60.0), (1.0, 60.0), (1.0, 60.0), (1.0, 48.0), (1.0, 60.0), (1.0, 45.0), (1.0, 40.0)]
    changes = [change for _, _, change in play(AlarmStateMachine(2.0, 0.0), readings)]
    assert changes == [None, None, None, "raised", None, None, "cleared", None]


def test_a_break_restarts_the_duration() -> None:
    machine = AlarmStateMachine(2.0, 0.0)
    assert [c for _, _, c in play(machine, [(1.0, 60.0), (1.0, 60.0), (1.0, 49.0), (1.0, 60.0), (1.0, 60.0)])] == [None] * 5
    assert machine.pending


def test_time_with_the_shutter_closed_does_not_count() -> None:
    machine = AlarmStateMachine(2.0, 0.0)
    steps = play(machine, [(1.0, 60.0), (1.0, 60.0), (1.0, None), (1.0, None), (1.0, 60.0), (1.0, 60.0)])
    assert [c for _, _, c in steps] == [None, None, None, None, None, "raised"]


def test_a_long_gap_between_frames_counts_as_a_short_time() -> None:
    assert [c for _, _, c in play(AlarmStateMachine(3.0, 0.0), [(0.0, 60.0), (60.0, 60.0), (0.5, 60.0), (0.5, 60.0)])] == [
        None,
        None,
        None,
        "raised",
    ]


def test_a_cooldown_delays_the_next_raise() -> None:
    steps = play(AlarmStateMachine(0.0, 3.0), [(1.0, 60.0), (1.0, 40.0), (1.0, 60.0), (1.0, 60.0), (1.0, 60.0)])
    assert [c for _, _, c in steps] == ["raised", "cleared", None, None, "raised"]


def test_a_clock_that_goes_back() -> None:
    machine = AlarmStateMachine(1.0, 2.0)
    assert machine.update(100.0, True, False) is None
    assert machine.update(5.0, True, False) is None
    assert machine.update(6.0, True, False) == "raised"
    assert machine.update(1.0, False, True) == "cleared"
    assert [machine.update(float(t), True, False) for t in (0, 1, 2)] == [None, None, "raised"]


@given(READINGS, LIMITS, LIMITS)
def test_raised_and_cleared_alternate_and_match_the_state(readings: list, duration: float, cooldown: float) -> None:
    machine = AlarmStateMachine(duration, cooldown)
    changes = [change for _, _, change in play(machine, readings) if change]
    assert changes == [("raised", "cleared")[k % 2] for k in range(len(changes))]
    assert machine.raised == (len(changes) % 2 == 1)
    assert not (machine.raised and machine.pending)


@given(READINGS, LIMITS, LIMITS)
def test_every_change_is_justified_by_the_readings(readings: list, duration: float, cooldown: float) -> None:
    steps = play(AlarmStateMachine(duration, cooldown), readings)
    cleared_at = float("-inf")
    for k, (now, value, change) in enumerate(steps):
        if change == "cleared":
            assert value is not None
            assert value <= THRESHOLD - HYSTERESIS
            cleared_at = now
        elif change == "raised":
            assert now - cleared_at >= cooldown - 1e-9
            # since the last reading that was not beyond: no break, and long enough without held time
            run = [steps[k]]
            for step in reversed(steps[:k]):
                if step[1] is not None and step[1] <= THRESHOLD:
                    break
                run.insert(0, step)
            while run[0][1] is None:
                run.pop(0)
            vouched = sum(min(b[0] - a[0], 2.0) for a, b in pairwise(run) if a[1] is not None and b[1] is not None)
            assert vouched >= duration - 1e-9


@given(READINGS, LIMITS)
def test_enough_readings_beyond_raise(readings: list, duration: float) -> None:
    machine = AlarmStateMachine(duration, 0.0)
    play(machine, readings)
    last = [(0.5, 90.0)] * (int(duration / 0.5) + 2)
    play_on = [machine.update(10_000 + 0.5 * k, v > THRESHOLD, False) for k, (_, v) in enumerate(last)]
    assert machine.raised
    assert play_on.count("raised") <= 1
    assert machine.update(20_000, False, True) == "cleared"


@given(st.lists(st.floats(45.1, 200), max_size=60))
def test_noise_within_the_hysteresis_raises_at_most_once(values: list[float]) -> None:
    changes = [c for _, _, c in play(AlarmStateMachine(0.0, 0.0), [(0.1, v) for v in values]) if c]
    assert changes in ([], ["raised"])


@given(READINGS, LIMITS)
def test_a_hold_changes_nothing(readings: list, duration: float) -> None:
    machine = AlarmStateMachine(duration, 0.0)
    play(machine, readings)
    before = machine.raised, machine.pending
    for k in range(5):
        machine.hold(1000.0 + k)
    assert (machine.raised, machine.pending) == before
