"""What a check found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Verdict = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """name: what was looked at. what: one line, units in figures. mend: a command to paste; None where no command mends it.

    facts: the same for a script, JSON's types; versions under "versions" join the report's list of libraries.
    """

    name: str
    state: Verdict
    what: str
    mend: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
