"""Events of a run that outputs publish (alarms, cameras and sinks going up or down, recordings, reloads), and the state of an output."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

Facts = Mapping[str, object]  # JSON values with units in the keys


@dataclass(frozen=True, slots=True)
class Event:
    """An event of a run. kind: "alarm", "camera", "sink", "recording", "output" or "reload". name: which one.

    facts: JSON values with units in the keys. time_s: seconds since the epoch.
    """

    kind: str
    name: str
    facts: Facts = field(default_factory=dict)
    time_s: float = field(default_factory=time.time)


@dataclass(frozen=True, slots=True)
class OutputState:
    """State of an output at one moment.

    wanted: whether it is to work now. works: whether it does; None where only its progress tells, then done is a count of frames that
    grows while it works. faults: unexpected errors so far. why: what prevents it, if known, without secrets.
    """

    wanted: bool
    works: bool | None
    done: int = 0
    faults: int = 0
    why: str = ""
