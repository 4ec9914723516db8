"""Tests of [detect]: what a run tells of people, alarms on them, their marks, and faults of a detector."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from edgefuse import detection
from edgefuse.alarms import Alarms
from edgefuse.calibration.registration import Calibration
from edgefuse.detection import Detection, Detector, Look
from edgefuse.errors import SettingsError
from edgefuse.events import Event
from edgefuse.frames import Radiometry
from edgefuse.run import build
from edgefuse.settings import RunSettings, Settings
from edgefuse.settings.alarm import AlarmSettings, placed
from edgefuse.settings.detect import DetectSettings
from edgefuse.telemetry import vitals
from edgefuse.telemetry.live import Info, Live
from edgefuse.telemetry.people import People, on_infrared, people_marks
from edgefuse.telemetry.prometheus import exposition
from tests.detection.figures import KELVIN, counts, fused, street
from tests.reports import full_report

RECORDING = Info("folder", 25.0, False, {"name": "mobilefuse-edge"})  # waits for each look
FRAME_NS = 40_000_000


def walk(live: Live, frames: int, first: int = 0, people: int = 1, **how: Any) -> None:
    """Write frames in which people walk to the right, a pixel a frame."""
    for n in range(first, first + frames):
        picture = street(*[(30 + 50 * k + n, 40, 36) for k in range(people)], seed=n)
        live.write(fused(counts(picture), (n + 1) * FRAME_NS, KELVIN, index=n, **how))


def test_a_walker_is_counted_tracked_and_told() -> None:
    live = Live(dict)
    made = People(DetectSettings(), live, RECORDING)
    walk(live, 40)
    report = made.report()
    made.close()
    assert (report["detector"], report["looks"], report["skipped"], report["fault"]) == ("warm-blobs", 10, 0, None)
    assert (report["people"], report["people_so_far"]) == (1, 1)
    (track,) = report["tracks"]
    assert track["id"] == 1
    # the last look is at frame 36: the walker's middle is at 66
    assert abs(track["x"] + track["width"] / 2 - 66) < 3
    assert abs(track["y"] - 40) < 4
    assert abs(track["height"] - 36) < 6
    assert live.sighting is None
    assert made.report()["people"] == 1


def test_only_every_nth_new_normal_frame_is_looked_at() -> None:
    live = Live(dict)
    made = People(DetectSettings(every=3), live, RECORDING)
    walk(live, 6)
    walk(live, 1, 5)  # the same infrared frame, shown again
    walk(live, 5, 6, missing="infrared")
    frozen = Radiometry("lepton", 0.01, -273.15, "frozen")
    live.write(fused(counts(street()), 10**9, frozen))
    assert made.report()["looks"] == 2
    made.close()
    assert made.outputs()["detection"].done == 2


def test_telemetry_and_metrics_have_the_number_of_people() -> None:
    live = Live(dict)
    made = People(DetectSettings(), live, RECORDING)
    report = {**full_report(), "detect": made.report()}
    gone = {"people": None, "people_unavailable": "the infrared camera is lost", "people_so_far": 0, "tracks": []}
    assert vitals.people(report) == gone
    report["cameras"]["infrared"]["state"] = "live"
    assert vitals.people(report) == {**gone, "people_unavailable": "no infrared frame was looked at yet"}
    walk(live, 40, people=2)
    report["detect"] = made.report()
    made.close()
    assert (vitals.people(report)["people"], vitals.people(report)["people_unavailable"]) == (2, None)
    assert vitals.people(full_report()) == {}
    text = exposition(Live(lambda: report)).decode()
    assert "edgefuse_people 2.0" in text
    assert "edgefuse_people_seen_total 2.0" in text
    assert 'edgefuse_people_looks_total{outcome="done"} 10.0' in text
    # a camera that is gone shows nobody, which is not zero
    report["cameras"]["infrared"]["state"] = "lost"
    assert vitals.people(report) == {**gone, "people_so_far": 2}
    assert "edgefuse_people " not in exposition(Live(lambda: report)).decode()


def events(zone: str, people: int) -> list[dict[str, Any]]:
    """Return an alarm's events while two people walk, who then leave."""
    live, told = Live(dict), list[Event]()
    live.listen(told.append)
    attachment = People(DetectSettings(every=2), live, RECORDING)
    settings = placed({"visitor": AlarmSettings(measure="people", people=people, zone=zone, duration=0.1)}, {}, detect=True)
    alarms = Alarms(settings, live, RECORDING)
    walk(live, 14, people=2)
    walk(live, 14, 14, people=0)
    alarms.close()
    attachment.close()
    return [dict(e.facts) for e in told if e.kind == "alarm"]


def test_an_alarm_is_raised_by_people_in_its_zone_and_cleared_when_they_left() -> None:
    raised, cleared = events("", 2)
    assert (raised["state"], raised["measure"], raised["people"], raised["at_least_people"]) == ("raised", "people", 2.0, 2)
    assert (cleared["state"], cleared["people"], cleared["extreme_people"]) == ("cleared", 0.0, 2.0)
    assert events("", 3) == []
    left_half = events("50%x100%+0%+0%", 1)
    assert left_half[0]["people"] == 1.0
    assert events("0,0 40,0 40,20 0,20", 1) == []


def test_an_alarm_on_people_needs_detection_and_no_threshold() -> None:
    with pytest.raises(SettingsError, match="nothing looks for people; add \\[detect\\]"):
        placed({"a": AlarmSettings(measure="people")}, {})
    with pytest.raises(SettingsError, match="takes no above or below; give people = 1"):
        AlarmSettings(measure="people", above=1)
    with pytest.raises(SettingsError, match="the overlay shows people, but nothing looks for them; add --detect"):
        build.display(Settings(RunSettings(source="demo", overlay=("people",))), None, live=False)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"above": 40.0, "people": 3}, "people = 3 needs measure = 'people', and measure is 'hottest'"),
        ({"above": 40.0, "pixels": 9}, "pixels = 9 needs measure = 'area', and measure is 'hottest'"),
        ({"measure": "people", "pixels": 9}, "pixels = 9 needs measure = 'area', and measure is 'people'"),
    ],
)
def test_a_number_that_an_alarm_does_not_use_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        AlarmSettings(**given)


def test_an_unknown_runtime_is_refused_also_where_the_detector_needs_none() -> None:
    People.check(DetectSettings(runtime="numpy"))
    with pytest.raises(SettingsError, match="detect\\.runtime = 'tensorrt': unknown; choose from auto, onnx"):
        People.check(DetectSettings(runtime="tensorrt"))


def test_an_alarm_without_a_look_is_neither_raised_nor_faulty() -> None:
    live = Live(dict)
    alarms = Alarms({"visitor": AlarmSettings(measure="people", duration=0)}, live, RECORDING)
    walk(live, 3)
    report = alarms.report()["alarms"]["visitor"]
    assert {k: report[k] for k in ("state", "held", "raised", "people", "fault", "at_least_people", "kind")} == {
        "state": "quiet", "held": False, "raised": 0, "people": None, "fault": None, "at_least_people": 1, "kind": "occupancy",
    }  # fmt: skip
    alarms.close()


def test_the_marks_are_where_people_are_by_the_time_of_the_pair() -> None:
    live = Live(dict)
    made = People(DetectSettings(), live, RECORDING)
    assert people_marks(fused(counts(street())).pair, live) == ()
    walk(live, 41)
    later = fused(counts(street()), 51 * FRAME_NS, KELVIN).pair
    (mark,) = people_marks(later, live)
    made.close()
    assert mark.label == "person 1"
    # ten frames after the last look, ten pixels to the right of it
    assert mark.x + mark.width / 2 == pytest.approx(80 / 160, abs=3 / 160)


class Failing(Detector):
    """A detector that fails at its second look."""

    looks = 0

    def detect(self, look: Look) -> Sequence[Detection]:
        Failing.looks += 1
        if Failing.looks == 2:
            raise ValueError("no memory for it")
        return [Detection(0.1, 0.1, 0.2, 0.5, 0.9)]


def test_a_detector_that_fails_is_told_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detection, "open_detector", Failing)
    Failing.looks = 0
    live, told = Live(dict), list[Event]()
    live.listen(told.append)
    made = People(DetectSettings(every=1), live, RECORDING)
    walk(live, 2)
    assert made.report()["fault"] == "no memory for it"
    walk(live, 3, 2)
    report = made.report()
    made.close()
    assert (report["fault"], report["looks"], report["people"]) == (None, 4, 1)
    assert [dict(e.facts) for e in told] == [{"state": "fault", "fault": "no memory for it"}]
    assert made.outputs()["detection"].faults == 1


def test_boxes_of_the_visible_frame_are_moved_onto_the_infrared_frame() -> None:
    # the infrared camera sees the middle half of the visible frame
    calibration = Calibration(
        homography=np.array([[2.0, 0, 160.5], [0, 2.0, 120.5], [0, 0, 1]]), visible_size=(640, 480), infrared_size=(160, 120),
        method="points", error_px=0, made=datetime.date(2026, 1, 1),
    )  # fmt: skip
    inside, outside = Detection(0.25, 0.25, 0.5, 0.5, 0.8), Detection(0.0, 0.0, 0.1, 0.2, 0.9)
    (moved,) = on_infrared([inside, outside], calibration)
    assert (moved.left, moved.top, moved.right, moved.bottom, moved.score) == pytest.approx((0, 0, 0.5, 0.5, 0.8))
    assert on_infrared([inside], None) == [inside]
