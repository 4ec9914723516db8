"""The result of a check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Verdict = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One result of a check.

    name: the thing checked. what: one line, figures with units. mend: a shell command that fixes it, or None where no command does.
    facts: the same as JSON values for scripts; entries under "versions" are added to the report's list of libraries.
    """

    name: str
    state: Verdict
    what: str
    mend: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
