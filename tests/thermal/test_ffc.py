"""A shutter is no fault, a hang is told apart from it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgefuse.thermal.ffc import StallWatch

S = 10**9


def noisy(seed: int) -> NDArray[np.uint16]:
    return np.random.default_rng(seed).integers(29000, 29100, (12, 16)).astype(np.uint16)


def test_frames_that_differ_are_normal() -> None:
    watch = StallWatch()
    assert {watch.see(noisy(k), k * S // 9) for k in range(50)} == {"normal"}


def test_a_shutter_of_a_second_is_calibrating_and_over() -> None:
    watch = StallWatch()
    states = [watch.see(noisy(min(k, 10) if k < 20 else k), k * S // 9) for k in range(30)]
    assert states[:14] == ["normal"] * 14
    assert states[14:20] == ["calibrating"] * 6
    assert states[20:] == ["normal"] * 10


def test_what_lasts_longer_than_any_shutter_is_frozen_and_can_recover() -> None:
    watch = StallWatch()
    states = [watch.see(noisy(0), k * S // 9) for k in range(60)]
    assert states[3] == "normal"
    assert states[20] == "calibrating"
    assert states[36:] == ["frozen"] * 24
    assert watch.see(noisy(1), 61 * S // 9) == "normal"


def test_a_slow_sensor_read_fast_repeats_frames_and_is_normal() -> None:
    watch = StallWatch()
    assert {watch.see(noisy(k // 4), k * S // 30) for k in range(120)} == {"normal"}


def test_no_frames_at_all() -> None:
    watch = StallWatch()
    assert watch.at(100 * S) == "normal"
    watch.see(noisy(0), 0)
    assert [watch.at(n * S // 10) for n in (3, 4, 39, 40)] == ["normal", "calibrating", "calibrating", "frozen"]


def test_what_the_sensor_says_counts() -> None:
    watch = StallWatch()
    assert watch.see(noisy(0), 0, "calibrating") == "calibrating"
    assert watch.see(noisy(1), S // 9) == "normal"
    for k in range(2, 60):
        state = watch.see(noisy(1), k * S // 9, "calibrating")
    assert state == "frozen"


def test_another_size_is_another_picture() -> None:
    watch = StallWatch()
    watch.see(noisy(0), 0)
    assert watch.see(noisy(0)[:6], 10 * S) == "normal"
