"""[telemetry]: the run's state as JSON lines (docs/how-to/telemetry.md)."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetrySettings:
    """Settings of the JSON lines. Field names are the settings file's keys."""

    file: str = field(
        metadata={"option": "telemetry", "metavar": "FILE", "help": "write the run's state to FILE as JSON lines; - is standard output"}
    )
    interval: float = field(default=10.0, metadata={"help": "seconds between lines", "min": 0.1, "max": 86400.0})
    max_mb: float = field(
        default=10.0, metadata={"help": "start a new file at this many MB; the previous one becomes FILE.1", "min": 0.01, "max": 1e6}
    )
    keep: int = field(default=5, metadata={"help": "number of old files to keep", "min": 1, "max": 100})
