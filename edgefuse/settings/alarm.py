"""[alarm.NAME]: when the infrared camera's picture is a reason to say so. As many tables as there are alarms (docs/alarms.md)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from edgefuse.errors import SettingsError
from edgefuse.util import zone

Measure = Literal["hottest", "coldest", "mean", "area"]
AlarmUnit = Literal["celsius", "counts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmSettings:
    """One alarm. Field names are the settings file's keys."""

    above: float | None = field(
        default=None, metadata={"help": "raise above so many degrees Celsius (or counts)", "min": -273.15, "max": 65535.0}
    )
    below: float | None = field(
        default=None, metadata={"help": "raise below so many degrees Celsius (or counts)", "min": -273.15, "max": 65535.0}
    )
    unit: AlarmUnit = field(
        default="celsius", metadata={"help": "what above, below and hysteresis are in: celsius, or counts of a camera without a law"}
    )
    measure: Measure = field(
        default="hottest", metadata={"help": "of the zone: its hottest or coldest pixel, its mean, or an area of so many pixels beyond"}
    )
    pixels: int = field(default=1, metadata={"help": "measure area: at least so many pixels beyond", "min": 1, "max": 10**8})
    zone: str = field(
        default="", metadata={"help": "WIDTHxHEIGHT+X+Y in infrared pixels, or all in shares, such as 50%x40%+25%+30% (default: the frame)"}
    )
    hysteresis: float = field(
        default=1.0, metadata={"help": "clear once so many degrees (or counts) back from the threshold", "min": 0, "max": 65535.0}
    )
    duration: float = field(default=1.0, metadata={"help": "raise after so many seconds beyond without a break", "min": 0, "max": 86400.0})
    cooldown: float = field(default=0.0, metadata={"help": "raise no sooner than so many seconds after clearing", "min": 0, "max": 86400.0})
    hook: tuple[str, ...] = field(
        default=(), metadata={"help": "a program and its arguments (no shell), given each event as JSON and in EDGEFUSE_* variables"}
    )
    hook_timeout: float = field(default=10.0, metadata={"help": "seconds after which the hook is killed", "min": 0.1, "max": 3600.0})

    def __post_init__(self) -> None:
        if (self.above is None) == (self.below is None):
            raise SettingsError("expected above or below, one of them")
        zone.parse(self.zone)
