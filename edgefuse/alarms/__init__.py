"""Alarms on temperatures and on people: every infrared frame is compared with each [alarm.NAME] (docs/how-to/alarms.md).

When an alarm is raised or cleared, an event of kind "alarm" is emitted and its hook runs.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from typing import cast

from edgefuse.alarms import hook, measure
from edgefuse.alarms.hook import Call, Hooks
from edgefuse.alarms.measure import Reading
from edgefuse.alarms.state_machine import AlarmStateMachine, Change
from edgefuse.errors import SettingsError
from edgefuse.events import Event
from edgefuse.frames import Frame, FusedFrame
from edgefuse.settings.alarm import AlarmSettings, kind
from edgefuse.telemetry.live import Info, Live, Sighting
from edgefuse.telemetry.outputs import OutputState
from edgefuse.telemetry.report_types import AlarmReport, AlarmsReport
from edgefuse.thermal.ffc import StallWatch, can_stall
from edgefuse.util import shape

__all__ = ["Alarms"]

_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")
_OLDEST_S = 5.0  # of a look for people that is taken for the present


class Alarms:
    """All alarms of a run. They are evaluated in the writer's thread, frame by frame, which takes a fraction of a millisecond."""

    @staticmethod
    def check(tables: Mapping[str, AlarmSettings]) -> None:
        """Raises SettingsError for an invalid name, zone or hook."""
        for name, s in tables.items():
            if not _NAME.fullmatch(name):
                raise SettingsError(
                    f"alarm.{name}: an alarm's name must be up to 40 letters, digits, _ and -, because it becomes a part of MQTT topics"
                )
            shape.parse(s.zone)
            hook.check_program(s.hook, f"alarm.{name}.hook")

    def __init__(self, tables: Mapping[str, AlarmSettings], live: Live, info: Info) -> None:
        """Raises SettingsError for an invalid alarm."""
        self.check(tables)
        self._alarms = {name: _Alarm(name, s) for name, s in tables.items()}
        self._live, self._lock = live, threading.Lock()
        self._evaluated = 0  # frames; one that is missing or frozen counts, too
        self._watch, self._time_ns = StallWatch(), -1
        self._hooks = Hooks() if any(s.hook for s in tables.values()) else None
        self._end = live.watch(self._on_frame)

    def _on_frame(self, count: int, fused: FusedFrame) -> None:
        frame = fused.pair.infrared
        if frame.time_ns == self._time_ns:
            # the infrared frame was reused for another visible frame
            self._evaluated += 1
            return
        events = []
        with self._lock:
            self._time_ns = frame.time_ns
            gone = fused.pair.missing == "infrared" or self._is_frozen(frame)
            for alarm in self._alarms.values():
                if event := alarm.update(frame, gone, self._live.sighting):
                    events.append(event)
            self._evaluated += 1
        for event in events:
            self._live.emit(event)
            settings = self._alarms[event.name].settings
            if self._hooks and settings.hook:
                facts = {"alarm": event.name, "time_s": round(event.time_s, 3), **event.facts}
                self._hooks.call(Call(settings.hook, settings.hook_timeout, facts))

    def _is_frozen(self, frame: Frame) -> bool:
        law = frame.radiometry
        if law is None:
            return False
        return (self._watch.update(frame.data, frame.time_ns, law.state) if can_stall(frame) else law.state) != "normal"

    def report(self) -> AlarmsReport:
        """Return, for each alarm: state ("quiet", "pending", "raised"), held, raise count, newest value, and why it cannot be evaluated."""
        with self._lock:
            alarms = {name: alarm.report() for name, alarm in self._alarms.items()}
        return {"alarms": alarms, "hooks": self._hooks.report() if self._hooks else None}

    def outputs(self) -> dict[str, OutputState]:
        """Return whether the alarms are evaluated and their hooks can run."""
        faults = self._hooks.faults.count if self._hooks else 0
        states = {"alarms": OutputState(True, None, self._evaluated, why="the frames are not evaluated")}
        return states | ({"alarm hooks": OutputState(True, self._hooks.alive, faults=faults)} if self._hooks else {})

    def close(self) -> None:
        """End all alarms and stop the hooks."""
        self._end()
        with self._lock:
            raised = [name for name, alarm in self._alarms.items() if alarm.end()]
        for name in raised:
            # nobody evaluates the alarm any more, so it is neither raised nor cleared
            self._live.emit(Event("alarm", name, {"state": "ended"}))
        if self._hooks:
            self._hooks.close()


class _Alarm:
    def __init__(self, name: str, s: AlarmSettings) -> None:
        self._zone = shape.parse(s.zone)
        self.settings, self._name = s, name
        self._state = AlarmStateMachine(s.duration, s.cooldown)
        self._count, self._fault, self._held = 0, "", False
        self._ended = False
        self._reported: set[str] = set()  # each fault is reported once
        self._newest: Reading | None = None
        self._since, self._extreme = 0, 0.0
        self._raised_at: float | None = None  # seconds since the epoch

    def update(self, frame: Frame, gone: bool, sighting: Sighting | None = None) -> Event | None:
        """Evaluate a frame and return the event to emit, if any. gone: the frame is missing or frozen, so it is not evaluated. sighting:
        the people of the newest look."""
        time_s = frame.time_ns / 1e9
        reading = None if gone else self._read(frame, sighting)
        self._held = gone
        if not isinstance(reading, Reading):
            self._state.hold(time_s)
            self._fault = reading or self._fault
            if reading is None or reading in self._reported:
                return None
            self._reported.add(reading)
            return Event("alarm", self._name, {"state": "fault", "fault": reading})
        self._fault, self._newest = "", reading
        change = self._state.update(time_s, reading.beyond, reading.back)
        if self._state.raised:
            extreme = min if self.settings.below is not None else max
            self._extreme = reading.value if change else extreme(self._extreme, reading.value)
        return self._event(change, reading, frame) if change else None

    def _read(self, frame: Frame, sighting: Sighting | None) -> Reading | str | None:
        """Return a reading, the reason why there can be none, or None while there is none yet."""
        if self.settings.measure != "people":
            return measure.read(frame, self.settings, self._zone)
        if sighting is None or not 0 <= frame.time_ns - sighting.time_ns <= _OLDEST_S * 1e9:
            return None
        return measure.count_people(sighting.tracks, sighting.size, self.settings, self._zone)

    def end(self) -> bool:
        """Whether the alarm is still raised; True only for the first call."""
        ends = self._state.raised and not self._ended
        self._ended = True
        return ends

    def _event(self, change: Change, reading: Reading, frame: Frame) -> Event:
        s = self.settings
        facts: dict[str, object] = {"state": change, "measure": s.measure, s.key: reading.value, **self._limit()}
        facts |= {
            k: v
            for k, v in (
                ("x", reading.x),
                ("y", reading.y),
                ("pixels", reading.pixels),
                ("region", s.region or None),
                ("zone", s.zone or None),
            )
            if v is not None
        }
        facts["frame"] = frame.name
        if change == "raised":
            self._count, self._since = self._count + 1, frame.time_ns
        else:
            facts |= {f"extreme_{s.key}": self._extreme, "lasted_s": round(max(0, frame.time_ns - self._since) / 1e9, 3)}
        event = Event("alarm", self._name, facts)
        self._raised_at = event.time_s if change == "raised" else None
        return event

    def _limit(self) -> dict[str, object]:
        s = self.settings
        if s.measure == "people":
            return {"at_least_people": s.people}
        return {f"above_{s.unit}": s.above} if s.above is not None else {f"below_{s.unit}": s.below}

    def report(self) -> AlarmReport:
        state = "raised" if self._state.raised else "pending" if self._state.pending else "quiet"
        s, newest = self.settings, self._newest
        # the keys of the value and of its limit depend on the unit
        facts: dict[str, object] = {
            "state": state, "held": self._held, "raised": self._count, s.key: newest.value if newest else None,
            "fault": self._fault or None, "kind": kind(self._name, s), "measure": s.measure, **self._limit(),
            "pixels": newest.pixels if newest else None, "since_s": None if self._raised_at is None else round(self._raised_at, 3),
        }  # fmt: skip
        return cast(AlarmReport, facts)
