"""[alarm.NAME]: temperature alarms on the infrared camera; one table per alarm (docs/how-to/alarms.md)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from edgefuse.errors import SettingsError
from edgefuse.settings.check import suggestion
from edgefuse.settings.region import RegionSettings
from edgefuse.util import shape

Measure = Literal["hottest", "coldest", "mean", "area", "people"]
AlarmKind = Literal["heat", "cold", "occupancy", "motion", "problem"]
AlarmUnit = Literal["celsius", "fahrenheit", "counts"]
_COUNTED: Mapping[str, Measure] = {"people": "people", "pixels": "area"}  # setting -> the measure that it belongs to


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmSettings:
    """Settings of one alarm. Field names are the settings file's keys."""

    above: float | None = field(
        default=None, metadata={"help": "raise above this many degrees (or counts)", "min": -459.67, "max": 65535.0}
    )
    below: float | None = field(
        default=None, metadata={"help": "raise below this many degrees (or counts)", "min": -459.67, "max": 65535.0}
    )
    unit: AlarmUnit = field(
        default="celsius",
        metadata={"help": "unit of above, below and hysteresis: celsius, fahrenheit, or counts for a camera without radiometry"},
    )
    measure: Measure = field(
        default="hottest",
        metadata={"help": "what to measure in the zone: hottest or coldest pixel, mean, area (number of pixels beyond) or people"},
    )
    pixels: int = field(default=1, metadata={"help": "for measure area: number of pixels beyond the threshold", "min": 1, "max": 10**8})
    people: int = field(default=1, metadata={"help": "for measure people: raise at this many people or more", "min": 1, "max": 1000})
    zone: str = field(
        default="",
        metadata={"help": "WIDTHxHEIGHT+X+Y in infrared pixels or in percent, such as 50%x40%+25%+30%, or another shape as of a region"},
    )
    region: str = field(default="", metadata={"help": "name of the region to measure, instead of a zone (default: the frame)"})
    hysteresis: float = field(
        default=1.0, metadata={"help": "clear when this many degrees (or counts) back from the threshold", "min": 0, "max": 65535.0}
    )
    duration: float = field(
        default=1.0, metadata={"help": "raise after this many seconds beyond the threshold without a break", "min": 0, "max": 86400.0}
    )
    cooldown: float = field(
        default=0.0, metadata={"help": "seconds after clearing before it can be raised again", "min": 0, "max": 86400.0}
    )
    kind: AlarmKind | Literal["auto"] = field(
        default="auto",
        metadata={
            "help": "what Home Assistant takes it for: heat, cold, occupancy, motion, problem, or what its name and measure suggest (auto)"
        },
    )
    hook: tuple[str, ...] = field(
        default=(), metadata={"help": "a program with arguments (no shell) that gets each event as JSON and in EDGEFUSE_* variables"}
    )
    hook_timeout: float = field(default=10.0, metadata={"help": "seconds after which the hook is killed", "min": 0.1, "max": 3600.0})

    def __post_init__(self) -> None:
        if self.measure == "people":
            if self.above is not None or self.below is not None:
                raise SettingsError("measure = 'people' takes no above or below; give people = 1")
        elif (self.above is None) == (self.below is None):
            raise SettingsError("expected either above or below")
        # a number that this measure does not use would only seem to have an effect
        for key, value in (("people", self.people), ("pixels", self.pixels)):
            if value != 1 and self.measure != (needed := _COUNTED[key]):
                raise SettingsError(f"{key} = {value} needs measure = '{needed}', and measure is '{self.measure}'; remove one of them")
        if self.above is not None and self.unit == "celsius" and self.above < -273.15:
            raise SettingsError(f"above = {self.above:g}: expected at least -273.15 degrees Celsius")
        if self.below is not None and self.unit == "celsius" and self.below < -273.15:
            raise SettingsError(f"below = {self.below:g}: expected at least -273.15 degrees Celsius")
        shape.parse(self.zone)

    @property
    def key(self) -> str:
        """The key of its value in events and reports: the unit, or "people"."""
        return "people" if self.measure == "people" else self.unit


# words of a name that say what an alarm is for
_WORDS: Mapping[str, AlarmKind] = {
    **dict.fromkeys(("person", "persons", "people", "human", "visitor", "visitors", "occupancy", "presence"), "occupancy"),
    **dict.fromkeys(("motion", "movement"), "motion"),
    **dict.fromkeys(("fault", "failure", "problem", "out", "failed"), "problem"),
    **dict.fromkeys(("frost", "freeze", "ice", "cold"), "cold"),
}


def kind(name: str, s: AlarmSettings) -> AlarmKind:
    """Return what an alarm is: as its settings say, or as its name does, or its measure (an area is taken for somebody), or its side."""
    if s.kind != "auto":
        return s.kind
    named = [_WORDS[word] for word in re.split(r"[_-]+", name.lower()) if word in _WORDS]
    if named:
        return named[0]
    if s.measure in ("people", "area") and s.below is None:
        return "occupancy"
    return "cold" if s.above is None else "heat"


def placed(alarms: Mapping[str, AlarmSettings], regions: Mapping[str, RegionSettings], detect: bool = False) -> dict[str, AlarmSettings]:
    """Return the alarms with the shape of their region as their zone. detect: people are looked for. Raises SettingsError for an unknown
    region, and for an alarm on people that nothing looks for."""
    made = {}
    for name, s in alarms.items():
        if s.measure == "people" and not detect:
            raise SettingsError(f"alarm.{name}: measure = 'people', but nothing looks for people; add [detect], or --detect")
        if s.region and s.zone:
            raise SettingsError(f"alarm.{name}: zone and region: give only one of them")
        if s.region and s.region not in regions:
            raise SettingsError(
                f"alarm.{name}: no region '{s.region}'; {suggestion(s.region, regions) if regions else 'add [region.NAME]'}"
            )
        made[name] = replace(s, zone=regions[s.region].shape) if s.region else s
    return made
