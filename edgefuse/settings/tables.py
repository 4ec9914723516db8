"""The tables of a settings file, by name; each dataclass is imported on first use.

A new table needs two lines in edgefuse/registry.py: its dataclass, and the class that it configures.
"""

from __future__ import annotations

from dataclasses import Field, fields
from functools import cache
from typing import Any

from edgefuse import registry

TABLES = registry.BUILT_IN["edgefuse.settings"]
REPEATABLE = frozenset({"alarm", "region"})  # may be given several times, each with a name: [alarm.stove]


@cache
def kind(table: str) -> type[Any]:
    """Return the dataclass of a table."""
    table_type: type[Any] = registry.loaded(TABLES[table])
    return table_type


def options() -> list[tuple[str, Field[Any]]]:
    """Return (table, field) of the fields outside [run] that are also options of `edgefuse run`."""
    return [(t, f) for t in TABLES if t != "run" and t not in REPEATABLE for f in fields(kind(t)) if "option" in f.metadata]
