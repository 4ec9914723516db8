"""The tables of a settings file: name -> where its dataclass is. Imported when first used.

A table of another part of EdgeFuse needs two lines in edgefuse/registry.py: its dataclass, and what opens it.
"""

from __future__ import annotations

from dataclasses import Field, fields
from functools import cache
from typing import Any

from edgefuse import registry

TABLES = registry.BUILT_IN["edgefuse.settings"]
SEVERAL = frozenset({"alarm"})  # there may be many of them, each with a name: [alarm.stove]


@cache
def kind(table: str) -> type[Any]:
    """The dataclass of a table."""
    found: type[Any] = registry.loaded(TABLES[table])
    return found


def options() -> list[tuple[str, Field[Any]]]:
    """(table, field) of what is an option of `edgefuse run`, too, besides the table [run]."""
    return [(t, f) for t in TABLES if t != "run" and t not in SEVERAL for f in fields(kind(t)) if "option" in f.metadata]
