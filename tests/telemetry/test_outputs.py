"""Outputs that are wanted and have not worked for 30 seconds."""

from __future__ import annotations

from edgefuse.events import OutputState
from edgefuse.telemetry.outputs import OutputWatch


class Clock:
    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


def _watch() -> tuple[Clock, OutputWatch]:
    clock = Clock()
    return clock, OutputWatch(clock)


def _run(clock: Clock, watch: OutputWatch, state: OutputState, seconds: int, frames: int | None = None) -> list[tuple[str, bool]]:
    """Look once a second; frames: constant, else one more each second."""
    changes = []
    for _ in range(seconds):
        clock.now += 1
        changes += watch.update({"out": state}, round(clock.now) if frames is None else frames)
    return changes


def test_an_output_that_makes_no_progress_fails_after_30_s_and_works_again() -> None:
    clock, watch = _watch()
    stuck = OutputState(True, None, 7, 2, "the disk is full")
    assert _run(clock, watch, stuck, 30) == []
    assert _run(clock, watch, stuck, 1) == [("out", True)]
    assert watch.failing == {"out": "out has not worked for 30 s: the disk is full"}
    assert watch.report() == {"out": {"wanted": True, "failing": True, "faults": 2}}
    assert _run(clock, watch, stuck, 40) == []
    assert _run(clock, watch, OutputState(True, None, 8), 1) == [("out", False)]
    assert watch.failing == {}


def test_an_output_that_says_that_it_does_not_work_is_told_even_without_frames() -> None:
    clock, watch = _watch()
    assert _run(clock, watch, OutputState(True, True), 100, 0) == []
    assert _run(clock, watch, OutputState(True, False, why="refused"), 31, 0) == [("out", True)]
    assert _run(clock, watch, OutputState(False, False), 1, 0) == [("out", False)]


def test_what_is_not_wanted_or_has_no_frames_does_not_fail() -> None:
    clock, watch = _watch()
    assert _run(clock, watch, OutputState(False, None), 100) == []
    assert _run(clock, watch, OutputState(True, None), 20) == []
    # a camera that is gone is told elsewhere
    assert _run(clock, watch, OutputState(True, None), 100, 5) == []
    assert watch.failing == {}
    assert _run(clock, watch, OutputState(True, None), 11) == [("out", True)]


def test_an_output_that_was_removed_is_forgotten() -> None:
    clock, watch = _watch()
    _run(clock, watch, OutputState(True, False), 40)
    watch.update({}, 0)
    assert (watch.failing, watch.report()) == ({}, {})
