"""What happens in a run and is told to whoever listens: alarms, cameras and outputs that come and go, recordings, reloads."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. kind: "alarm", "camera", "sink", "recording", "reload". name: which one. facts: JSON values, units in the
    keys. time_s: seconds since the epoch, for people and brokers."""

    kind: str
    name: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    time_s: float = field(default_factory=time.time)
