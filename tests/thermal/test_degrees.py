"""Tests of degrees with a correction: spots, means, alarms, the report, Fahrenheit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edgefuse.alarms.measure import Reading, read
from edgefuse.frames import Frame, FramePair, Radiometry
from edgefuse.settings.alarm import AlarmSettings
from edgefuse.thermal import degrees, units
from edgefuse.thermal.emission import Conditions
from edgefuse.thermal.emission_correction import Corrected
from edgefuse.thermal.spots import spots
from edgefuse.thermal.temperature_report import ThermalLog, thermal_text
from edgefuse.util import shape

METAL = Conditions(0.3, 20.0)
LAW = Radiometry("lepton", 0.01, -273.15, correction=METAL)


def frame(*celsius: float, law: Radiometry = LAW) -> Frame:
    """Return a frame of surfaces of metal, one column of 4 pixels for each temperature."""
    apparent = METAL.apparent_celsius(np.array(celsius))
    counts = np.rint((apparent + 273.15) * 100).astype(np.uint16)
    return Frame(np.repeat(counts[None], 4, axis=0), "infrared", 0, "f", law)


def test_spots_are_the_surfaces_temperatures() -> None:
    extremes = spots(frame(30.0, 90.0, 150.0))
    assert extremes is not None
    assert [s.value for s in extremes] == pytest.approx([30.0, 150.0], abs=0.05)
    assert extremes[1].x == 2


def test_the_mean_is_of_degrees_not_of_radiation() -> None:
    f = frame(30.0, 150.0)
    assert degrees.mean(f.data, None, f.radiometry) == pytest.approx(90.0, abs=0.05)
    chosen = np.zeros(f.data.shape, np.uint8)
    chosen[:, 1] = 1
    assert degrees.mean(f.data, chosen, f.radiometry) == pytest.approx(150.0, abs=0.05)
    # apparent temperatures alone have another mean, as radiation is not linear in degrees
    assert degrees.mean(f.data, None, replace(LAW, correction=Conditions(0.999))) != pytest.approx(90.0, abs=5)


def test_a_pixel_that_no_such_surface_explains_has_no_value() -> None:
    f = frame(30.0, 150.0)
    data = np.array(f.data)
    data[0, 0] = 20000  # -73 degrees: colder than what the metal mirrors
    extremes = spots(Frame(data, "infrared", 0, "f", LAW))
    assert extremes is not None
    assert extremes[0].value == pytest.approx(30.0, abs=0.05)
    assert spots(Frame(np.full((4, 4), 20000, np.uint16), "infrared", 0, "f", LAW)) is None
    answer = read(Frame(np.full((4, 4), 20000, np.uint16), "infrared", 0, "f", LAW), AlarmSettings(below=-60), shape.parse(""))
    assert "no surface of this emissivity" in str(answer)


def test_alarms_measure_the_surface_in_their_own_unit() -> None:
    f = frame(30.0, 90.0, 150.0)

    def seen(**settings: Any) -> Reading:
        s = AlarmSettings(**settings)
        reading = read(f, s, shape.parse(s.zone))
        assert isinstance(reading, Reading)
        return reading

    assert seen(above=140).beyond
    assert not seen(above=160).beyond
    assert seen(above=299, unit="fahrenheit", hysteresis=5).value == pytest.approx(302, abs=0.1)
    assert seen(above=299, unit="fahrenheit").beyond
    assert not seen(above=305, unit="fahrenheit").beyond
    assert seen(above=80, measure="area", pixels=8) == replace(seen(above=80, measure="area", pixels=8), pixels=8, beyond=True)
    assert seen(above=176, unit="fahrenheit", measure="area", pixels=9) == replace(
        seen(above=176, unit="fahrenheit", measure="area", pixels=9), pixels=8, beyond=False
    )
    assert seen(above=80, measure="mean").value == pytest.approx(90, abs=0.1)
    assert seen(above=5000, measure="area", pixels=1).pixels == 0


def test_fahrenheit_is_exact() -> None:
    assert [units.shown(c, "fahrenheit") for c in (-40, 0, 100)] == [-40, 32, 212]
    assert [units.celsius_of(f, "fahrenheit") for f in (-40, 32, 212)] == [-40, 0, 100]
    assert units.shown(30000, "counts") == units.celsius_of(30000, "counts") == 30000
    assert (units.text(36.6, "celsius"), units.text(97.9, "fahrenheit"), units.text(30000.0, "counts")) == (
        "36.6 C",
        "97.9 F",
        "30000 counts",
    )


def test_the_report_tells_unit_and_correction() -> None:
    log = ThermalLog("fahrenheit")
    log.add(frame(30.0, 150.0))
    report = log.report()
    assert report is not None
    assert report["unit"] == "fahrenheit"
    assert report["hottest"]["value"] == pytest.approx(302, abs=0.1)
    assert report["correction"]["emissivity"] == 0.3
    assert log.note == "hottest 302.0 F"
    assert thermal_text(report)[2] == "infrared   degrees of emissivity 0.3, reflecting 20 C"
    log.unit = "celsius"
    assert (log.report() or {})["latest"]["hottest"]["value"] == pytest.approx(150, abs=0.05)


def test_extremes_of_another_emissivity_are_not_mixed() -> None:
    log = ThermalLog()
    log.add(frame(30.0, 150.0))
    log.add(replace(frame(30.0, 90.0, law=replace(LAW, correction=None)), time_ns=1))
    report = log.report()
    assert report is not None
    assert report["hottest"]["value"] < 50  # what 90 degrees of this metal look like
    assert report["correction"] is None


def test_a_camera_without_degrees_is_told_that_emissivity_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    visible = Frame(np.zeros((4, 4), np.uint8), "visible", 0, "v")
    counts = Frame(np.full((4, 4), 3000, np.uint16), "infrared", 0, "i", Radiometry("generic-16"))
    corrected = Corrected(METAL)
    for _ in range(2):
        pair = FramePair(visible, counts, 0)
        assert corrected(pair) is pair
    assert [r.message for r in caplog.records] == [
        "emissivity and distance change nothing: the infrared camera gives counts or a picture, not degrees"
    ]


def test_a_reused_frame_stays_one_object() -> None:
    visible, infrared = Frame(np.zeros((4, 4), np.uint8), "visible", 0, "v"), frame(30.0, law=replace(LAW, correction=None))
    corrected = Corrected(METAL)
    first, second = (corrected(FramePair(visible, infrared, k)).infrared for k in range(2))
    assert first is second
    assert first.radiometry == LAW
    assert first.data is infrared.data
    assert Corrected(None)(FramePair(visible, infrared, 0)).infrared is infrared
