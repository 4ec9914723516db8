"""Tests of [region.NAME]: values, units, faults, and that alarms can watch a region."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgefuse.alarms import Alarms
from edgefuse.errors import SettingsError
from edgefuse.events import Event
from edgefuse.frames import Frame, FramePair, FusedFrame, Radiometry
from edgefuse.settings.alarm import AlarmSettings, placed
from edgefuse.settings.region import RegionSettings
from edgefuse.telemetry.live import Live
from edgefuse.telemetry.prometheus import exposition
from edgefuse.telemetry.regions import Regions
from edgefuse.telemetry.vitals import regions
from edgefuse.thermal.spots import Spot
from tests.reports import INFO, full_report

LAW = Radiometry("lepton", 0.01, -273.15)


def kelvin(celsius: float) -> int:
    return round((celsius + 273.15) * 100)


def fused(counts: np.ndarray, law: Radiometry | None = LAW, time_ns: int = 1, missing: Any = None) -> FusedFrame:
    visible = Frame(np.zeros(counts.shape, np.uint8), "visible", time_ns, "v")
    return FusedFrame(visible.data, FramePair(visible, Frame(counts, "infrared", time_ns, "i", law), 0, missing))


def scene() -> np.ndarray:
    """Return 20 x 30 pixels at 20 degrees with a stove of 80 and a window of -5 degrees, and dead pixels."""
    counts = np.full((20, 30), kelvin(20), np.uint16)
    counts[5:10, 10:15] = kelvin(80)
    counts[5, 10] = 0
    counts[6, 11] = 65535
    counts[0:4, 20:25] = kelvin(-5)
    return counts


def made(live: Live, **shapes: str) -> Regions:
    return Regions({name: RegionSettings(shape=text) for name, text in shapes.items()}, live, INFO)


def test_mean_minimum_and_maximum_over_valid_pixels_only() -> None:
    live = Live(dict)
    parts = made(live, stove="10x5+10+5", tip="11,7", dead="10,5", across="0,7 29,7", roof="20,0 24,0 24,3 20,3")
    live.write(fused(scene()))
    report = parts.report()
    assert report["stove"]["mean"] == {"value": round((23 * 80 + 25 * 20) / 48, 2)}
    assert report["stove"]["minimum"] == {"value": 20.0, "x": 15, "y": 5}
    assert report["stove"]["maximum"]["value"] == 80.0
    assert (report["stove"]["pixels"], report["stove"]["unit"], report["stove"]["fault"]) == (48, "celsius", None)
    assert report["tip"]["mean"]["value"] == report["tip"]["maximum"]["value"] == 80.0
    assert report["dead"]["unit"] is None
    assert "only dead pixels" in report["dead"]["fault"]
    assert report["across"]["mean"]["value"] == pytest.approx((25 * 20 + 5 * 80) / 30, abs=0.01)
    assert report["roof"]["maximum"]["value"] == -5.0
    assert regions({"region": report})["stove"] == {"mean_celsius": 48.75, "minimum_celsius": 20.0, "maximum_celsius": 80.0}
    assert "dead" not in regions({"region": report})
    values = {v.name: v for v in parts.latest}
    assert values["tip"].maximum == Spot(80.0, 11, 7)
    assert set(values) == {"stove", "tip", "across", "roof"}


def test_fahrenheit_and_counts() -> None:
    live = Live(dict)
    live.unit = "fahrenheit"
    parts = made(live, tip="11,7")
    live.write(fused(scene()))
    assert parts.report()["tip"]["maximum"] == {"value": 176.0, "x": 11, "y": 7}
    live.write(fused(scene(), None, 2))
    assert (parts.report()["tip"]["unit"], parts.report()["tip"]["mean"]["value"]) == ("counts", kelvin(80))
    assert regions({"region": parts.report()})["tip"]["mean_counts"] == kelvin(80)


def test_a_region_beyond_the_frame_is_told_once_and_never_measured() -> None:
    live, events = Live(dict), list[Event]()
    live.listen(events.append)
    parts = made(live, far="29,19 30,19", near="29,19")
    for k in range(3):
        live.write(fused(scene(), LAW, k + 1))
    assert [(e.kind, e.name, e.facts["state"]) for e in events] == [("region", "far", "fault")]
    assert "the line lies outside the infrared frame of 30x20 pixels" in events[0].facts["fault"]
    assert parts.report()["near"]["pixels"] == 1
    parts.close()


def test_a_missing_or_repeated_frame_keeps_the_last_values() -> None:
    live = Live(dict)
    parts = made(live, tip="11,7")
    live.write(fused(scene()))
    live.write(fused(np.zeros((20, 30), np.uint16), LAW, 2, "infrared"))
    live.write(fused(np.full((20, 30), 30000, np.uint16), Radiometry("lepton", 0.01, -273.15, "calibrating"), 3))
    assert parts.report()["tip"]["mean"]["value"] == 80.0
    assert parts.outputs()["regions"].done == 3


def test_an_alarm_on_a_region() -> None:
    live, events = Live(dict), list[Event]()
    live.listen(events.append)
    places = {"stove": RegionSettings(shape="10,5 14,5 14,9 10,9")}
    tables = {
        "hot": AlarmSettings(above=75, region="stove", duration=0),
        "lukewarm": AlarmSettings(below=60, region="stove", measure="mean", duration=0),
    }
    alarms = Alarms(placed(tables, places), live, INFO)
    live.write(fused(scene()))
    assert [(e.name, e.facts["state"], e.facts["region"]) for e in events] == [("hot", "raised", "stove")]
    assert alarms.report()["alarms"]["lukewarm"]["celsius"] == 80.0


def test_an_unknown_region_is_refused() -> None:
    places = {"stove": RegionSettings(shape="10,5")}
    with pytest.raises(SettingsError, match=r"alarm\.a: no region 'stov'; did you mean stove\?"):
        placed({"a": AlarmSettings(above=1, region="stov")}, places)
    with pytest.raises(SettingsError, match=r"add \[region.NAME\]"):
        placed({"a": AlarmSettings(above=1, region="stove")}, {})
    with pytest.raises(SettingsError, match="give only one of them"):
        placed({"a": AlarmSettings(above=1, region="stove", zone="1x1+0+0")}, places)


def test_invalid_regions_are_refused() -> None:
    with pytest.raises(SettingsError, match="is not a zone"):
        RegionSettings(shape="3,4 5")
    with pytest.raises(SettingsError, match="a region's name"):
        Regions.check({"a b": RegionSettings(shape="3,4")})


def test_prometheus_tells_degrees_celsius_whatever_is_shown() -> None:
    live = Live(lambda: full_report() | {"region": parts.report()})
    live.unit = "fahrenheit"
    parts = made(live, tip="11,7", far="99,0")
    live.write(fused(scene()))
    text = exposition(live).decode()
    assert 'edgefuse_region_celsius{region="tip",statistic="maximum"} 80.0' in text
    assert 'edgefuse_region_faulty{region="far"} 1.0' in text
    assert 'region="far",statistic' not in text
