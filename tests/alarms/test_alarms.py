"""Alarms on a run's frames: which events are emitted, and when none is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgefuse.alarms import Alarms
from edgefuse.errors import SettingsError
from edgefuse.events import Event
from edgefuse.frames import Frame, FramePair, FusedFrame, Modality, Radiometry
from edgefuse.settings.alarm import AlarmSettings
from edgefuse.telemetry.live import Info, Live
from tests.conftest import Run

LAW = Radiometry("lepton", 0.01, -273.15)
INFO = Info("test", 9.0, True, {})


class Scene:
    """A run of synthetic frames at 10 Hz."""

    def __init__(self, **alarms: AlarmSettings) -> None:
        self.live = Live(dict)
        self.events: list[Event] = []
        self.live.listen(self.events.append)
        self.alarms = Alarms(alarms, self.live, INFO)
        self.time_ns, self._noise = 10**9, np.random.default_rng(0)

    def show(
        self, celsius: float, frames: int = 1, law: Radiometry | None = LAW, still: bool = False, missing: Modality | None = None
    ) -> None:
        for _ in range(frames):
            counts = np.full((12, 16), 29315, np.uint16)
            if not still:
                counts += self._noise.integers(0, 3, counts.shape, np.uint16)
            counts[5, 7] = round((celsius + 273.15) * 100)
            self.time_ns += 10**8
            visible = Frame(np.zeros((12, 16), np.uint8), "visible", self.time_ns, str(self.time_ns))
            infrared = Frame(counts, "infrared", self.time_ns, visible.name, law)
            self.live.write(FusedFrame(visible.data, FramePair(visible, infrared, 0, missing)))

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(e.name, e.facts["state"]) for e in self.events]

    def state(self, name: str) -> Mapping[str, Any]:
        return self.alarms.report()["alarms"][name]


def test_an_alarm_emits_raised_and_cleared_events_with_facts() -> None:
    scene = Scene(stove=AlarmSettings(above=80, hysteresis=5, duration=1, zone="8x8+4+2"))
    scene.show(20, 5)
    scene.show(91.5, 10)
    assert (scene.told, scene.state("stove")["state"]) == ([], "pending")
    scene.show(95, 5)
    scene.show(78, 5)
    scene.show(70)
    assert scene.told == [("stove", "raised"), ("stove", "cleared")]
    raised, cleared = (e.facts for e in scene.events)
    assert {k: v for k, v in raised.items() if k != "frame"} == {
        "state": "raised", "measure": "hottest", "celsius": 95.0, "above_celsius": 80, "x": 7, "y": 5, "zone": "8x8+4+2",
    }  # fmt: skip
    assert (cleared["celsius"], cleared["extreme_celsius"], cleared["lasted_s"]) == (70.0, 95.0, 1.0)
    assert scene.state("stove") == {
        "state": "quiet", "held": False, "raised": 1, "celsius": 70.0, "fault": None, "kind": "heat", "measure": "hottest",
        "above_celsius": 80, "pixels": None, "since_s": None,
    }  # fmt: skip
    json.dumps([dict(e.facts) for e in scene.events])


def test_a_closed_shutter_or_a_missing_camera_holds_the_alarms_state() -> None:
    scene = Scene(hot=AlarmSettings(above=80, duration=0))
    scene.show(90)
    calibrating = Radiometry("lepton", 0.01, -273.15, "calibrating")
    scene.show(20, 10, calibrating)
    scene.show(20, 10, missing="infrared")
    assert (scene.told, scene.state("hot")["held"]) == ([("hot", "raised")], True)
    scene.show(20)
    assert scene.told == [("hot", "raised"), ("hot", "cleared")]


def test_a_frozen_picture_raises_and_clears_nothing() -> None:
    scene = Scene(hot=AlarmSettings(above=80, duration=2))
    scene.show(90, 5)
    scene.show(90, 100, still=True)
    # the first four identical frames may be repeats of a slow sensor
    assert (scene.told, scene.state("hot")["held"]) == ([], True)
    scene.show(90, 21)
    assert scene.told == [("hot", "raised")]


def test_an_alarm_in_degrees_without_radiometry_reports_its_fault_once() -> None:
    scene = Scene(hot=AlarmSettings(above=80), counts=AlarmSettings(above=30000, unit="counts", duration=0, hysteresis=10))
    scene.show(90, 50, law=None)
    assert scene.told == [("hot", "fault"), ("counts", "raised")]
    assert "counts, not degrees" in scene.state("hot")["fault"]
    assert scene.state("counts")["counts"] == 36315
    scene.show(90, 15)
    told, raised = scene.state("hot"), scene.events[-1]
    assert told.pop("since_s") == round(raised.time_s, 3)
    assert told == {
        "state": "raised", "held": False, "raised": 1, "celsius": 90.0, "fault": None, "kind": "heat", "measure": "hottest",
        "above_celsius": 80, "pixels": None,
    }  # fmt: skip


def test_a_reused_infrared_frame_counts_once() -> None:
    scene = Scene(hot=AlarmSettings(above=80, duration=1))
    for _ in range(50):
        scene.time_ns = 10**9
        scene.show(90)
    assert scene.told == []


def test_closing_ends_raised_alarms_and_stops_evaluation() -> None:
    scene = Scene(hot=AlarmSettings(above=80, duration=0), fire=AlarmSettings(above=280, duration=0))
    scene.show(90)
    scene.alarms.close()
    scene.alarms.close()
    scene.show(20)
    scene.show(300)
    assert scene.told == [("hot", "raised"), ("hot", "ended")]


def test_invalid_settings_are_refused() -> None:
    with pytest.raises(SettingsError, match="either above or below"):
        AlarmSettings()
    with pytest.raises(SettingsError, match="either above or below"):
        AlarmSettings(above=1, below=0)
    with pytest.raises(SettingsError, match="'here' is not a zone"):
        AlarmSettings(above=1, zone="here")
    with pytest.raises(SettingsError, match="an alarm's name"):
        Alarms({"a b": AlarmSettings(above=1)}, Live(dict), INFO)
    with pytest.raises(SettingsError, match="no program"):
        Alarms({"a": AlarmSettings(above=1, hook=("/nowhere",))}, Live(dict), INFO)


def test_a_real_run_raises_an_alarm_and_runs_its_hook(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("msgspec")
    (tmp_path / "alarms.toml").write_text(
        '[run]\nsource = "demo?size=96x80&depth=16&frames=60&scene=night"\nruntime = "numpy"\n'
        '[alarm.person]\nabove = 28\nduration = 0.2\nhook = ["/bin/sh", "-c", "cat >> hook.json"]\n'
        '[alarm.fire]\nabove = 150\n'
    )  # fmt: skip
    done = run("run", "--config", "alarms.toml", "--json")
    assert done.returncode == 0, done.stderr
    alarm = json.loads(done.stdout)["alarm"]
    assert (alarm["alarms"]["person"]["raised"], alarm["alarms"]["fire"]["raised"]) == (1, 0)
    assert alarm["hooks"]["failed"] == 0
    first = json.loads((tmp_path / "hook.json").read_text().splitlines()[0])
    assert (first["alarm"], first["state"], first["above_celsius"]) == ("person", "raised", 28)
    assert "edgefuse: alarm person: state raised" in done.stderr
