"""One question put to a child process, and what came back before it ended, however it ended."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from edgefuse.doctor.host import Done, Host


@dataclass(frozen=True, slots=True)
class Answer:
    """told: all that the child said, later words over earlier. trouble: what went wrong, in words; None where nothing did."""

    told: dict[str, Any]
    trouble: str | None

    @property
    def absent(self) -> str | None:
        """The module that was not found, where that is what went wrong."""
        return self.told.get("absent")


def ask(host: Host, probe: str, *arguments: str) -> Answer:
    """Run one of edgefuse.doctor.child's probes. Never raises for what the child does."""
    done = host.child(probe, *arguments)
    told: dict[str, Any] = {}
    for line in done.out.splitlines():
        told |= json.loads(line) if line.startswith("{") and line.endswith("}") else {}
    return Answer(told, _trouble(done, told))


def _trouble(done: Done, told: dict[str, Any]) -> str | None:
    if done.death:
        when = {"import": "when it is imported", "run": "when it runs", "list": "when it lists cameras"}.get(told.get("step", ""), "")
        return f"{done.death} {when}".strip()
    if done.code:
        return f"ends with code {done.code}: {done.last_words}"
    return told.get("broken")
