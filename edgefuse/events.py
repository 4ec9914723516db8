"""Events of a run that outputs publish: alarms, cameras and sinks going up or down, recordings, reloads."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Event:
    """An event of a run. kind: "alarm", "camera", "sink", "recording" or "reload". name: which one.

    facts: JSON values with units in the keys. time_s: seconds since the epoch.
    """

    kind: str
    name: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    time_s: float = field(default_factory=time.time)
