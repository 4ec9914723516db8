"""Alarms on the page: their states, and pictures of the moments at which they were raised."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest

from edgefuse.alarms import Alarms
from edgefuse.events import Event
from edgefuse.frames import FusedFrame
from edgefuse.settings.alarm import AlarmSettings
from edgefuse.telemetry.live import Info
from tests.support.waiting import until
from tests.web.conftest import Served

moments = pytest.importorskip("edgefuse.web.alarm_moments")
Serve = Callable[..., Served]


def test_a_real_alarm_with_its_picture_and_its_end(serve: Serve, plain: FusedFrame) -> None:
    served = serve()
    table = {"person_zone": AlarmSettings(above=35.0, duration=0.0), "ice": AlarmSettings(below=-30.0, measure="coldest")}
    made = Alarms(table, served.live, Info("test", 25.0, True, {}))
    served.facts["alarm"] = made.report()
    served.live.write(plain)
    served.facts["alarm"] = made.report()

    def told() -> dict[str, Any]:
        return dict(served.json("/state.json"))

    state = until(
        lambda: (s := told())["moments"] and s["moments"][0]["picture"] and s["alarms"][0]["state"] == "raised" and s, "a picture"
    )
    alarm, ice = state["alarms"]
    assert (alarm["name"], alarm["unit"], alarm["value"], alarm["above"], alarm["unavailable"]) == (
        "person_zone",
        "celsius",
        40.0,
        35.0,
        None,
    )
    assert abs(alarm["since_s"] - state["moments"][0]["begin_s"]) < 0.01
    assert (ice["state"], ice["below"], ice["since_s"]) == ("quiet", -30.0, None)
    moment = state["moments"][0]
    assert (moment["name"], moment["value"], moment["end_s"]) == ("person_zone", 40.0, None)
    assert moment["mark"] == pytest.approx([32.5 / 128, 48.5 / 96], abs=1e-3)
    status, jpeg = served.get(f"/moment.jpg?id={moment['id']}")
    assert status == 200
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == plain.fused.shape
    assert np.abs(picture.astype(int) - plain.fused).max() < 10
    served.live.emit(Event("alarm", "person_zone", {"state": "cleared", "celsius": 20.0, "extreme_celsius": 41.5}))
    ended = until(lambda: (m := told()["moments"][0])["end_s"] and m, "the moment's end")
    assert ended["extreme"] == 41.5
    made.close()


@pytest.mark.parametrize("query", ["", "?id=", "?id=99", "?id=x", "?id=-1", "?id=1e3", "?id=" + "9" * 400])
def test_other_pictures_do_not_exist(serve: Serve, query: str) -> None:
    assert serve().get(f"/moment.jpg{query}")[0] == 404


def test_only_the_last_moments_are_kept(serve: Serve, plain: FusedFrame) -> None:
    served = serve()
    served.live.write(plain)
    kept = served.web._state.moments
    for k in range(20):
        served.live.emit(Event("alarm", f"a{k}", {"state": "raised", "measure": "mean", "celsius": 1.0 * k, "above_celsius": 0.0}))
    assert len(kept._frames) <= 4
    until(lambda: not kept.waiting and kept.now()[0]["picture"], "the pictures to be drawn")
    now = kept.now()
    assert [one["name"] for one in now] == [f"a{k}" for k in range(19, 11, -1)]
    # a mean has no pixel to mark, and the oldest frames were not kept
    assert now[0]["mark"] is None
    assert [one["picture"] for one in now] == [True] * 4 + [False] * 4


def test_an_alarm_s_state_with_its_unit_apart() -> None:
    report = {"alarm": {"alarms": {"pipe": {"state": "quiet", "held": True, "fault": None, "fahrenheit": 12.0, "below_fahrenheit": 32.0,
                                            "measure": "mean", "pixels": None, "since_s": None}}}}  # fmt: skip
    assert moments.alarms(report) == [
        {"name": "pipe", "state": "quiet", "unavailable": "the infrared camera gives no new picture", "pixels": None, "since_s": None,
         "unit": "fahrenheit", "value": 12.0, "measure": "mean", "below": 32.0},
    ]  # fmt: skip
    people = {"state": "raised", "held": False, "fault": None, "people": 3, "at_least_people": 2, "measure": "people", "since_s": 5.0}
    (yard,) = moments.alarms({"alarm": {"alarms": {"yard": people}}})
    assert (yard["unit"], yard["value"], yard["at_least"], yard["unavailable"]) == ("people", 3, 2, None)
    assert moments.alarms({}) == []
