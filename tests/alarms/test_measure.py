"""Tests of measuring an alarm's zone in a frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgefuse.alarms.measure import Reading, read
from edgefuse.frames import Frame, Radiometry
from edgefuse.settings.alarm import AlarmSettings
from edgefuse.util.zone import parse

LAW = Radiometry("lepton", 0.01, -273.15)
GRIDS = hnp.arrays(np.uint16, (6, 8), elements=st.sampled_from([0, 29315, 30000, 32315, 32316, 32415, 40000, 65535]))


def frame(counts: np.ndarray, law: Radiometry | None = LAW) -> Frame:
    return Frame(counts, "infrared", 0, "f", law)


def scene(**spots: tuple[int, int, float]) -> np.ndarray:
    """Return a 120 x 160 frame at 20 degrees C with single pixels (x, y, degrees)."""
    counts = np.full((120, 160), 29315, np.uint16)
    for x, y, celsius in spots.values():
        counts[y, x] = round((celsius + 273.15) * 100)
    return counts


def seen(counts: np.ndarray, law: Radiometry | None = LAW, **settings: Any) -> Reading:
    s = AlarmSettings(**settings)
    reading = read(frame(counts, law), s, parse(s.zone))
    assert isinstance(reading, Reading), reading
    return reading


def test_the_hottest_and_the_coldest_pixel_of_a_zone() -> None:
    counts = scene(hot=(100, 50, 91.5), cold=(10, 10, -4.0), hotter=(1, 1, 200.0))
    assert seen(counts, above=80, zone="80x60+40+30") == Reading(91.5, 100, 50, None, True, False)
    assert seen(counts, above=80) == Reading(200.0, 1, 1, None, True, False)
    assert seen(counts, below=0, measure="coldest") == Reading(-4.0, 10, 10, None, True, False)
    assert seen(counts, below=30, measure="hottest", zone="4x4+60+60").beyond  # a flame that went out
    assert seen(counts, above=91.4, hysteresis=0, zone="80x60+40+30").beyond
    assert seen(counts, above=95, hysteresis=3, zone="80x60+40+30") == Reading(91.5, 100, 50, None, False, True)
    assert seen(counts, above=92, hysteresis=3, zone="80x60+40+30") == Reading(91.5, 100, 50, None, False, False)


def test_the_mean_leaves_dead_and_saturated_pixels_out() -> None:
    counts = scene()
    counts[:10], counts[10:20] = 0, 65535
    assert seen(counts, above=19, measure="mean") == Reading(20.0, None, None, None, True, False)
    assert seen(counts, above=19).value == 20.0
    assert seen(counts, below=19, measure="coldest").value == 20.0


def test_an_area_counts_pixels_and_its_hysteresis_is_in_degrees() -> None:
    counts = scene(a=(5, 5, 60.0), b=(6, 5, 60.0), c=(7, 5, 58.5))
    reading = seen(counts, above=58, measure="area", pixels=3)
    assert reading == Reading(60.0, 5, 5, 3, True, False)
    assert seen(counts, above=59, measure="area", pixels=3, hysteresis=1) == Reading(60.0, 5, 5, 2, False, False)
    assert seen(counts, above=59.5, measure="area", pixels=3, hysteresis=0.5) == Reading(60.0, 5, 5, 2, False, True)
    assert seen(counts, below=25, measure="area", pixels=19000).pixels == 160 * 120 - 3


def test_counts_without_radiometry() -> None:
    counts = scene(hot=(3, 4, 100.0))
    assert seen(counts, None, above=30000, unit="counts").value == 37315
    assert seen(counts, Radiometry("generic-16"), above=30000, unit="counts").beyond
    assert seen(np.full((4, 4), 200, np.uint8), None, above=128, unit="counts", hysteresis=10).beyond


def test_a_missing_reading_has_its_reason() -> None:
    s = AlarmSettings(above=50)
    assert 'set unit = "counts"' in str(read(frame(scene(), None), s, parse("")))
    assert 'set unit = "counts"' in str(read(frame(scene(), Radiometry("generic-16")), s, parse("")))
    assert "lies outside the infrared frame of 160x120" in str(read(frame(scene()), s, parse("10x10+155+0")))
    assert "dead pixels" in str(read(frame(np.zeros((4, 4), np.uint16)), s, parse("")))
    assert "in colour" in str(read(frame(np.zeros((4, 4, 3), np.uint8)), s, parse("")))
    area = AlarmSettings(above=50, measure="area", pixels=101)
    assert "has 100 pixels, the alarm needs 101" in str(read(frame(scene()), area, parse("10x10+0+0")))


@given(GRIDS, st.sampled_from([20.0, 50.0, 50.01, 51.0]), st.sampled_from([0.0, 0.005, 1.0, 40.0]), st.booleans(), st.integers(1, 48))
def test_an_area_equals_comparing_degrees_pixel_by_pixel(
    counts: np.ndarray, threshold: float, hysteresis: float, over: bool, pixels: int
) -> None:
    s = AlarmSettings(**{"above" if over else "below": threshold}, measure="area", pixels=pixels, hysteresis=hysteresis)
    reading = read(frame(counts), s, parse(""))
    alive = counts[(counts > 0) & (counts < 65535)].astype(float)
    if not alive.size:
        assert isinstance(reading, str)
        return
    assert isinstance(reading, Reading)
    # thresholds as whole counts, because float sums differ in their last bits
    limit, release = (threshold + 273.15) * 100, (threshold - hysteresis * (1 if over else -1) + 273.15) * 100
    if any(np.isclose(alive, edge, atol=1e-6).any() and round(edge) != edge for edge in (limit, release)):
        return
    beyond, still = (int((alive > edge).sum() if over else (alive < edge).sum()) for edge in (limit, release))
    assert reading.pixels == beyond
    assert (reading.beyond, reading.back) == (beyond >= pixels, still < pixels)


@given(GRIDS, st.sampled_from(["hottest", "coldest", "mean", "area"]), st.floats(-50, 400), st.floats(0, 50), st.booleans())
@pytest.mark.filterwarnings("error")
def test_no_reading_is_both_beyond_and_back(counts: np.ndarray, measure: str, threshold: float, hysteresis: float, over: bool) -> None:
    pixels = 3 if measure == "area" else 1
    s = AlarmSettings(**{"above" if over else "below": threshold}, measure=measure, hysteresis=hysteresis, pixels=pixels)  # type: ignore[arg-type]
    reading = read(frame(counts), s, parse(""))
    assert isinstance(reading, str) or not (reading.beyond and reading.back)
