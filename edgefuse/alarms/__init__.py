"""Alarms by temperature: each frame of the infrared camera is held against each [alarm.NAME] (docs/alarms.md).

An alarm is told (`Live.tell`, kind "alarm") when it is raised and when it is cleared; a hook is run at both.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from typing import Any

from edgefuse.alarms import hook, measure
from edgefuse.alarms.hook import Call, Hooks
from edgefuse.alarms.machine import Change, Machine
from edgefuse.alarms.measure import Reading
from edgefuse.errors import SettingsError
from edgefuse.events import Event
from edgefuse.frames import Frame, FusedFrame
from edgefuse.settings.alarm import AlarmSettings
from edgefuse.telemetry.live import Info, Live
from edgefuse.thermal.ffc import StallWatch
from edgefuse.util import zone

__all__ = ["Alarms"]

_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")


class Alarms:
    """All alarms of a run. They are measured in the writer's thread, frame by frame, as that takes a fraction of a millisecond."""

    def __init__(self, tables: Mapping[str, AlarmSettings], live: Live, info: Info) -> None:
        """Raises SettingsError for an alarm that can't be."""
        self._alarms = {name: _Alarm(name, s) for name, s in tables.items()}
        self._live, self._lock = live, threading.Lock()
        self._watch, self._time_ns = StallWatch(), -1
        self._hooks = Hooks() if any(s.hook for s in tables.values()) else None
        self._end = live.watch(self._see)

    def _see(self, count: int, fused: FusedFrame) -> None:
        frame = fused.pair.infrared
        if frame.time_ns == self._time_ns:
            # held over for another visible frame
            return
        events = []
        with self._lock:
            self._time_ns = frame.time_ns
            gone = fused.pair.missing == "infrared" or self._stands_still(frame)
            for alarm in self._alarms.values():
                if event := alarm.see(frame, gone):
                    events.append(event)
        for event in events:
            self._live.tell(event)
            settings = self._alarms[event.name].settings
            if self._hooks and settings.hook:
                facts = {"alarm": event.name, "time_s": round(event.time_s, 3), **event.facts}
                self._hooks.call(Call(settings.hook, settings.hook_timeout, facts))

    def _stands_still(self, frame: Frame) -> bool:
        law = frame.radiometry
        # pictures of which nothing is known may well be alike
        return law is not None and self._watch.see(frame.data, frame.time_ns, law.state) != "normal"

    def report(self) -> dict[str, Any]:
        """By alarm: state ("quiet", "pending", "raised"), held, how often it was raised, its newest value, and why it can't tell."""
        with self._lock:
            alarms = {name: alarm.report() for name, alarm in self._alarms.items()}
        return {"alarms": alarms, "hooks": self._hooks.report() if self._hooks else None}

    def close(self) -> None:
        self._end()
        with self._lock:
            raised = [name for name, alarm in self._alarms.items() if alarm.end()]
        for name in raised:
            # nobody watches it any more: neither raised nor over
            self._live.tell(Event("alarm", name, {"state": "ended"}))
        if self._hooks:
            self._hooks.close()


class _Alarm:
    def __init__(self, name: str, s: AlarmSettings) -> None:
        where = f"alarm.{name}"
        if not _NAME.fullmatch(name):
            raise SettingsError(f"{where}: an alarm's name is to be of up to 40 letters, digits, _ and -: it becomes a part of topics")
        self._zone = zone.parse(s.zone)
        hook.check(s.hook, f"{where}.hook")
        self.settings, self._name = s, name
        self._machine = Machine(s.duration, s.cooldown)
        self._count, self._fault, self._held = 0, "", False
        self._ended = False
        self._told: set[str] = set()  # a fault is told once; there are few
        self._newest: Reading | None = None
        self._since, self._extreme = 0, 0.0

    def see(self, frame: Frame, gone: bool) -> Event | None:
        """What to tell of this frame. gone: it is none worth looking at."""
        time_s = frame.time_ns / 1e9
        found = None if gone else measure.read(frame, self.settings, self._zone)
        self._held = gone
        if not isinstance(found, Reading):
            self._machine.hold(time_s)
            self._fault = found or self._fault
            if found is None or found in self._told:
                return None
            self._told.add(found)
            return Event("alarm", self._name, {"state": "fault", "fault": found})
        self._fault, self._newest = "", found
        change = self._machine.see(time_s, found.beyond, found.back)
        if self._machine.raised:
            extreme = max if self.settings.above is not None else min
            self._extreme = found.value if change else extreme(self._extreme, found.value)
        return self._event(change, found, frame) if change else None

    def end(self) -> bool:
        """Whether it was raised, the first time it is asked."""
        ends = self._machine.raised and not self._ended
        self._ended = True
        return ends

    def _event(self, change: Change, found: Reading, frame: Frame) -> Event:
        s = self.settings
        facts: dict[str, Any] = {"state": change, "measure": s.measure, s.unit: found.value}
        facts |= {f"above_{s.unit}": s.above} if s.above is not None else {f"below_{s.unit}": s.below}
        facts |= {k: v for k, v in (("x", found.x), ("y", found.y), ("pixels", found.pixels), ("zone", s.zone or None)) if v is not None}
        facts["frame"] = frame.name
        if change == "raised":
            self._count, self._since = self._count + 1, frame.time_ns
        else:
            facts |= {f"extreme_{s.unit}": self._extreme, "lasted_s": round(max(0, frame.time_ns - self._since) / 1e9, 3)}
        return Event("alarm", self._name, facts)

    def report(self) -> dict[str, Any]:
        state = "raised" if self._machine.raised else "pending" if self._machine.pending else "quiet"
        value = self._newest.value if self._newest else None
        return {"state": state, "held": self._held, "raised": self._count, self.settings.unit: value, "fault": self._fault or None}
