"""A closed shutter is not a fault, and a frozen camera is distinguished from it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgefuse.thermal.ffc import StallWatch

S = 10**9


def noisy(seed: int) -> NDArray[np.uint16]:
    return np.random.default_rng(seed).integers(29000, 29100, (12, 16)).astype(np.uint16)


def test_frames_that_differ_are_normal() -> None:
    watch = StallWatch()
    assert {watch.update(noisy(k), k * S // 9) for k in range(50)} == {"normal"}


def test_one_second_of_shutter_is_calibrating() -> None:
    watch = StallWatch()
    states = [watch.update(noisy(min(k, 10) if k < 20 else k), k * S // 9) for k in range(30)]
    assert states[:14] == ["normal"] * 14
    assert states[14:20] == ["calibrating"] * 6
    assert states[20:] == ["normal"] * 10


def test_a_longer_stall_is_frozen_and_can_recover() -> None:
    watch = StallWatch()
    states = [watch.update(noisy(0), k * S // 9) for k in range(60)]
    assert states[3] == "normal"
    assert states[20] == "calibrating"
    assert states[36:] == ["frozen"] * 24
    assert watch.update(noisy(1), 61 * S // 9) == "normal"


def test_repeats_of_a_slow_sensor_are_normal() -> None:
    watch = StallWatch()
    assert {watch.update(noisy(k // 4), k * S // 30) for k in range(120)} == {"normal"}


def test_no_frames_at_all() -> None:
    watch = StallWatch()
    assert watch.at(100 * S) == "normal"
    watch.update(noisy(0), 0)
    assert [watch.at(n * S // 10) for n in (3, 4, 39, 40)] == ["normal", "calibrating", "calibrating", "frozen"]


def test_the_sensors_own_state_counts() -> None:
    watch = StallWatch()
    assert watch.update(noisy(0), 0, "calibrating") == "calibrating"
    assert watch.update(noisy(1), S // 9) == "normal"
    for k in range(2, 60):
        state = watch.update(noisy(1), k * S // 9, "calibrating")
    assert state == "frozen"


def test_a_change_of_size_is_a_new_picture() -> None:
    watch = StallWatch()
    watch.update(noisy(0), 0)
    assert watch.update(noisy(0)[:6], 10 * S) == "normal"
