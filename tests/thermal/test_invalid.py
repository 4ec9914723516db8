"""Pixels without a measurement steer neither gain, spots, alarms nor picture, whatever they hold."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edgefuse.alarms import measure
from edgefuse.frames import Frame
from edgefuse.settings.alarm import AlarmSettings
from edgefuse.thermal import invalid
from edgefuse.thermal.agc import PercentileAgc
from edgefuse.thermal.grey import ToGrey
from edgefuse.thermal.spots import spots
from edgefuse.util import zone

Counts = NDArray[np.uint16]
RNG = np.random.default_rng(0)
SIZE = (240, 320)
PERSON = (slice(100, 150), slice(150, 170))


def scene() -> Counts:
    rng = np.random.default_rng(1)
    walls = cv2.resize(rng.normal(0, 1, (12, 16)).astype(np.float32), SIZE[::-1], interpolation=cv2.INTER_CUBIC)
    counts = (29400 + 150 * walls + rng.normal(0, 4, SIZE)).astype(np.uint16)
    counts[PERSON] = 30550
    return counts


CLEAN = scene()
DOTS = RNG.random(SIZE) < 0.01


def change(where: object, value: object) -> Callable[[], Counts]:
    def make() -> Counts:
        counts = CLEAN.copy()
        counts[where] = value  # type: ignore[index]
        return counts

    return make


TELEMETRY = np.zeros((2, 320), np.uint16)
TELEMETRY[0, :40] = RNG.integers(1, 60000, 40)
CASES = {
    "dead pixels": change(DOTS, 0), "stuck high": change(DOTS, 65535), "masked columns": change((slice(None), slice(-16, None)), 0),
    "a border": change(np.pad(np.zeros((200, 280), bool), 20, constant_values=True), 65535),
    "parameter rows": change(slice(-4, None), RNG.integers(0, 65536, (4, 320))), "telemetry first": change(slice(0, 2), TELEMETRY),
    "telemetry behind": change(slice(-2, None), TELEMETRY), "constant columns": change((slice(None), slice(0, 3)), 1234),
    "a hole": change((slice(20, 50), slice(20, 60)), 0),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_no_pixel_without_a_measurement_counts(case: str) -> None:
    counts = CASES[case]()
    changed = counts != CLEAN
    dead = invalid.mask(counts)
    assert dead is not None
    # every changed pixel is found, but one that holds by chance what its neighbours do
    assert np.count_nonzero(changed & (dead == 0)) == 0
    assert np.count_nonzero((dead > 0) & ~changed) <= 320
    gain = ToGrey()
    grey, clean = gain(counts), ToGrey()(CLEAN)
    valid = dead == 0
    assert np.abs(grey[valid].astype(int) - clean[valid]).max() <= 12
    # filled like what is around: neither black nor white
    assert np.abs(grey.astype(int) - clean)[dead > 0].mean() < 40
    coldest, hottest = spots(Frame(counts, "infrared", 0, "f")) or (None, None)
    assert coldest is not None
    assert hottest is not None
    assert (hottest.value, coldest.value > 28000) == (30550, True)
    reading = measure.read(Frame(counts, "infrared", 0, "f"), AlarmSettings(above=40000, unit="counts"), zone.parse(""))
    assert isinstance(reading, measure.Reading)
    assert (reading.value, reading.beyond) == (30550, False)


def test_a_clean_frame_has_none_and_is_not_copied() -> None:
    assert invalid.mask(CLEAN) is None
    assert invalid.alive(CLEAN) is None


@pytest.mark.parametrize("edge", [lambda c: c[:20], lambda c: c[:, -20:], lambda c: c[-1:]])
def test_a_warm_edge_is_picture(edge: Callable[[Counts], Counts]) -> None:
    counts = CLEAN.copy()
    edge(counts)[...] += 2000
    assert invalid.mask(counts) is None


def test_a_saturated_fire_stays_white_and_has_no_temperature() -> None:
    counts = CLEAN.copy()
    counts[100:130, 200:230] = 65535
    counts[DOTS] = 65535
    grey = ToGrey()(counts)
    assert grey[102:128, 202:228].min() == 255
    assert grey[DOTS & (np.arange(320) < 100)].max() < 255
    extremes = spots(Frame(counts, "infrared", 0, "f"))
    assert extremes is not None
    assert extremes[1].value == 30550


def test_the_gain_alone_ignores_them_too() -> None:
    gain = PercentileAgc()
    gain(CASES["masked columns"]())
    assert gain.limits is not None
    assert gain.limits[0] > 28000
    blank = PercentileAgc()
    assert np.ptp(blank(np.zeros(SIZE, np.uint16))) == 0


def test_filling_a_step_keeps_it_and_a_frame_without_any_pixel_is_kept() -> None:
    counts = np.full((64, 64), 1000, np.uint16)
    counts[:, 32:] = 3000
    counts[10:20, 20] = 0
    counts[10:20, 40] = 0
    fill = invalid.Fill()
    dead = invalid.mask(counts)
    assert dead is not None
    made = fill(counts, dead)
    assert set(made[10:20, 20]) == {1000}
    assert set(made[10:20, 40]) == {3000}
    assert counts[10, 20] == 0
    np.testing.assert_array_equal(fill(counts, dead), made)
    nothing = np.zeros((64, 64), np.uint16)
    everywhere = invalid.mask(nothing)
    assert everywhere is not None
    np.testing.assert_array_equal(fill(nothing, everywhere), nothing)
