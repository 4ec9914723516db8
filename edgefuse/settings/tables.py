"""The tables of a settings file: name -> where its dataclass is. Imported when first used.

A table of another part of EdgeFuse needs one line here, and one in edgefuse/run/attachments.py that says what opens it.
"""

from __future__ import annotations

from dataclasses import Field, fields
from functools import cache
from importlib import import_module
from typing import Any

TABLES: dict[str, str] = {
    "run": "edgefuse.settings.run:RunSettings",
    "mqtt": "edgefuse.settings.mqtt:MqttSettings",
    "telemetry": "edgefuse.settings.telemetry:TelemetrySettings",
    "alarm": "edgefuse.settings.alarm:AlarmSettings",
    "web": "edgefuse.settings.web:WebSettings",
    "recording": "edgefuse.settings.recording:RecordingSettings",
    "stream": "edgefuse.settings.stream:StreamSettings",
    "cubes": "edgefuse.settings.cubes:CubesSettings",
}
SEVERAL = frozenset({"alarm"})  # there may be many of them, each with a name: [alarm.stove]


@cache
def kind(table: str) -> type[Any]:
    """The dataclass of a table."""
    module, _, name = TABLES[table].partition(":")
    found: type[Any] = getattr(import_module(module), name)
    return found


def options() -> list[tuple[str, Field[Any]]]:
    """(table, field) of what is an option of `edgefuse run`, too, besides the table [run]."""
    return [(t, f) for t in TABLES if t != "run" and t not in SEVERAL for f in fields(kind(t)) if "option" in f.metadata]
