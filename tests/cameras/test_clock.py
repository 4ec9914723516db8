"""A stream's clock relative to the monotonic one: jitter is removed, drift followed, and false clocks detected."""

from __future__ import annotations

import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgefuse.cameras.clock import StreamClock, from_boottime

MS = 1_000_000
START = 5_000_000_000_000


def played(stream_ns: list[int | None], arrival_ns: list[int]) -> tuple[StreamClock, list[int]]:
    clock = StreamClock()
    return clock, [clock.capture_ns(s, a) for s, a in zip(stream_ns, arrival_ns, strict=True)]


@given(fps=st.floats(5, 60), jitter_ms=st.floats(0, 40), drift=st.floats(-2e-4, 2e-4), seed=st.integers(0, 2**31))
def test_jitter_is_removed(fps: float, jitter_ms: float, drift: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = [START + round(k * 1e9 / fps) for k in range(300)]
    stream = [round((t - START) * (1 + drift)) + 777 for t in truth]
    arrival = [t + 20 * MS + round(rng.uniform(0, jitter_ms) * MS) for t in truth]
    clock, made = played(list(stream), arrival)
    assert clock.reliable
    error = np.array(made[60:]) - np.array(truth[60:]) - 20 * MS
    # the smallest delay of 128 frames, and the clocks' drift in that time
    assert np.abs(error).max() < (0.2 * jitter_ms + 128 / fps * abs(drift) * 1e3 + 0.01) * MS


def test_initial_buffering_has_no_lasting_effect() -> None:
    truth = [START + k * 33 * MS for k in range(300)]
    for buffered_ms in (500, 3000, 6000):
        arrival = [max(t, START + buffered_ms * MS) for t in truth]  # all of it in one burst
        clock, made = played([t - START for t in truth], arrival)
        assert clock.reliable
        n = buffered_ms // 33 + 2
        assert made[n:] == truth[n:]


@pytest.mark.parametrize("step_ms", [-400, -90, 90, 400])
@given(at=st.integers(1, 250), fps=st.sampled_from([5, 9, 15, 30, 60]))
def test_a_step_of_the_latency_is_not_drift(step_ms: int, at: int, fps: int) -> None:
    """A receiver that waits for the processor, or the end of buffering, shifts all later frames at once."""
    truth = [START + round(k * 1e9 / fps) for k in range(300)]
    arrival = [t + (500 + step_ms * (k >= at)) * MS for k, t in enumerate(truth)]
    clock, _ = played([t - START for t in truth], arrival)
    assert clock.reliable


@pytest.mark.parametrize("speed", [0.9, 0.97, 1.03, 1.1])
@pytest.mark.parametrize("fps", [9, 30])
def test_timestamps_at_another_speed_are_found_in_spite_of_jitter(fps: int, speed: float) -> None:
    rng = np.random.default_rng(0)
    truth = [START + round(k * 1e9 / fps) for k in range(400)]
    arrival = [t + round(rng.uniform(0, 30) * MS) for t in truth]
    clock, _ = played([round((t - START) * speed) for t in truth], arrival)
    assert not clock.reliable


def test_a_clock_that_is_right_again_is_used_again() -> None:
    """A receiver without processor time for some seconds looks like a wrong clock; its stream is not timed by arrivals for good."""
    rng = np.random.default_rng(0)
    truth = [START + k * 100 * MS for k in range(1200)]
    late = [min(max(k - 200, 0), 30) * 20 * MS if k < 300 else 0 for k in range(1200)]
    arrival = [t + wait + round(rng.uniform(1, 30) * MS) for t, wait in zip(truth, late, strict=True)]
    clock = StreamClock()
    was, made = [], []
    for t, a in zip(truth, arrival, strict=True):
        made.append(clock.capture_ns(t - START, a))
        was.append(clock.reliable)
    assert not all(was[200:400])
    assert all(was[1100:])
    assert np.ptp(np.array(made[1100:]) - np.array(truth[1100:])) < MS


def test_settled_after_a_second() -> None:
    clock = StreamClock()
    assert not clock.settled
    for k in range(40):
        clock.capture_ns(k * 33 * MS, START + k * 33 * MS)
        assert clock.settled == (k * 33 >= 1000)


@pytest.mark.parametrize("fps", [9.0, 20.0, 24.0, 30.0])
def test_a_frame_counter_is_not_taken_for_a_clock(fps: float) -> None:
    arrival = [START + round(k * 1e9 / fps) for k in range(400)]
    clock, made = played([k * 40 * MS for k in range(400)], arrival)
    assert not clock.reliable
    assert made[-1] == arrival[-1]


@pytest.mark.parametrize("stream", [[0, 40, 40, 40, 40], [0, 40, 20, 60, 50, 40], [0, 40, 20, 0, 10, 0], [None, None, None, None]])
def test_constant_decreasing_or_missing_timestamps_fall_back_to_arrival(stream: list[int | None]) -> None:
    arrival = [START + k for k in range(len(stream))]
    clock, made = played([None if s is None else s * MS for s in stream], arrival)
    assert not clock.reliable
    assert made[-1] == arrival[-1]


@pytest.mark.parametrize("bad", ["missing", "repeated", "restarted"])
@given(at=st.integers(0, 80), fps=st.sampled_from([5, 15, 30, 60]), jitter_ms=st.floats(0, 40), seed=st.integers(0, 2**31))
def test_one_bad_timestamp_costs_no_more_than_its_frame(bad: str, at: int, fps: int, jitter_ms: float, seed: int) -> None:
    """Lost packets and a camera that restarts its clock leave the times of all other frames exact to the stream's own clock."""
    rng = np.random.default_rng(seed)
    truth = [START + round(k * 1e9 / fps) for k in range(100)]
    arrival = [t + 20 * MS + round(rng.uniform(0, jitter_ms) * MS) for t in truth]
    stream: list[int | None] = [t - START + 7 for t in truth]
    if bad == "restarted":
        stream[at:] = [t - truth[at] for t in truth[at:]]
    else:
        stream[at] = None if bad == "missing" else stream[max(at - 1, 0)]
    clock, made = played(stream, arrival)
    assert clock.reliable
    assert abs(made[at] - truth[at] - 20 * MS) <= (jitter_ms + 1e3 / fps) * MS
    error = np.array(made[at + 20 :]) - np.array(truth[at + 20 :]) - 20 * MS
    assert error.min(initial=0) >= 0
    assert error.max(initial=0) <= 0.5 * jitter_ms * MS


@given(fps=st.floats(5, 60), late=st.floats(0, 0.4), seed=st.integers(0, 2**31))
def test_arrival_times_are_smoothed(fps: float, late: float, seed: int) -> None:
    """About half of the frames are on time, the rest up to `late` of an interval later."""
    rng = np.random.default_rng(seed)
    truth = [START + round(k * 1e9 / fps) for k in range(200)]
    arrival = [t + round(rng.uniform(0, late) * (rng.random() < 0.5) * 1e9 / fps) for t in truth]
    _, made = played([None] * 200, arrival)
    error = (np.array(made[80:]) - np.array(truth[80:])) * fps / 1e9
    # relative to an interval; arrival times are off by up to `late`
    assert np.quantile(np.abs(error), 0.95) < 0.06 + 0.15 * late
    assert error.min() > -0.01
    assert all(a < b for a, b in pairwise(made))


def test_a_camera_that_slows_down_is_followed() -> None:
    arrival = [START + k * 33 * MS for k in range(60)]
    arrival += [arrival[-1] + k * 66 * MS for k in range(1, 60)]
    _, made = played([None] * len(arrival), arrival)
    assert max(a - m for a, m in zip(arrival, made, strict=True)) <= 17 * MS
    assert made[-1] == arrival[-1]


def test_time_since_boot_on_the_monotonic_clock() -> None:
    before = time.monotonic_ns()
    made = from_boottime(time.clock_gettime_ns(time.CLOCK_BOOTTIME))
    assert before - MS <= made <= time.monotonic_ns() + MS
