"""Tests of tracks: numbers that stay, confirmation, motion, gaps and the predicted box."""

from __future__ import annotations

import pytest

from edgefuse.detection import Detection
from edgefuse.detection.tracker import Track, Tracker

STEP = 160_000_000  # ns between two looks


def at(x: float, y: float = 0.3, score: float = 0.6, width: float = 0.05, height: float = 0.3) -> Detection:
    return Detection(x, y, x + width, y + height, score)


def followed(tracker: Tracker, *looks: list[Detection]) -> list[list[Track]]:
    return [tracker.update(detections, (n + 1) * STEP) for n, detections in enumerate(looks)]


def test_a_track_is_told_with_its_third_look_and_keeps_its_number() -> None:
    tracks = followed(Tracker(0.35), *[[at(0.2 + 0.01 * n), at(0.7)] for n in range(6)])
    assert [len(t) for t in tracks] == [0, 0, 2, 2, 2, 2]
    assert [[t.number for t in one] for one in tracks[2:]] == [[1, 2]] * 4
    assert tracks[-1][0].box.left == pytest.approx(0.25, abs=0.01)


def test_a_weak_detection_is_told_only_when_it_moves() -> None:
    still = Tracker(0.35)
    assert followed(still, *[[at(0.2, score=0.25)] for _ in range(20)])[-1] == []
    moving = Tracker(0.35)
    tracks = followed(moving, *[[at(0.2 + 0.02 * n, score=0.25)] for n in range(20)])
    assert [t.number for t in tracks[-1]] == [1]
    assert tracks[-1][0].moved > 0.75
    assert moving.confirmed == 1


def test_a_detection_that_is_seen_once_never_becomes_a_person() -> None:
    tracker = Tracker(0.35)
    assert all(not told for told in followed(tracker, [at(0.1)], [], [at(0.5)], [], [at(0.8)], []))
    assert tracker.confirmed == 0


def test_a_person_behind_a_post_keeps_the_number_and_one_who_left_does_not() -> None:
    tracker = Tracker(0.35)
    looks = [[at(0.2 + 0.02 * n)] if n not in (5, 6) else [] for n in range(10)]
    tracks = followed(tracker, *looks)
    assert [len(t) for t in tracks] == [0, 0, 1, 1, 1, 1, 1, 1, 1, 1]
    assert tracks[-1][0].number == 1
    gone = [tracker.update([], (11 + n) * STEP) for n in range(5)]
    assert [len(t) for t in gone] == [1, 1, 1, 0, 0]


def test_two_who_meet_do_not_swap_their_numbers() -> None:
    looks = [[at(0.2 + 0.02 * n), at(0.8 - 0.02 * n, y=0.32)] for n in range(31)]
    tracks = followed(Tracker(0.35), *looks)
    first, second = sorted(tracks[-1], key=lambda t: t.number)
    assert (first.number, second.number) == (1, 2)
    assert first.box.left > second.box.left


def test_after_a_long_gap_and_a_clock_that_jumps_back_nothing_is_joined() -> None:
    for late in (10 * STEP + 3_000_000_000, STEP):
        tracker = Tracker(0.35)
        followed(tracker, *[[at(0.2)] for _ in range(10)])
        assert tracker.update([at(0.2)], late) == []


def test_the_box_is_predicted_by_its_speed_for_half_a_second_at_most() -> None:
    (track,) = followed(Tracker(0.35), *[[at(0.2 + 0.016 * n)] for n in range(12)])[-1]
    assert track.speed[0] == pytest.approx(0.1, rel=0.05)
    here = track.box.left
    assert track.at(track.time_ns + 250_000_000).left - here == pytest.approx(0.025, rel=0.05)
    assert track.at(track.time_ns + 60_000_000_000).left - here == pytest.approx(0.05, rel=0.05)
    assert track.at(0).left == here
