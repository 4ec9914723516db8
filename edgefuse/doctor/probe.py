"""Runs a probe in a child process and collects its reports, also if it crashes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgefuse.doctor.host import Done, Host
from edgefuse.util.child_process import message


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """Result of a probe. values: everything that it reported, later values over earlier. error: what went wrong, in words, or None."""

    values: dict[str, Any]
    error: str | None

    @property
    def absent(self) -> str | None:
        """Name of the module that was not found, if that was the error."""
        return self.values.get("absent")


def run_probe(host: Host, probe: str, *arguments: str) -> ProbeResult:
    """Run one of the probes in edgefuse.doctor.probe_process. Never raises for a failure of the child."""
    done = host.child(probe, *arguments)
    values: dict[str, Any] = {}
    for line in done.out.splitlines():
        values |= message(line)
    return ProbeResult(values, _error(done, values))


def _error(done: Done, values: dict[str, Any]) -> str | None:
    if done.death:
        when = {"import": "when it is imported", "run": "when it runs", "list": "when it lists cameras"}.get(values.get("step", ""), "")
        return f"{done.death} {when}".strip()
    if done.code:
        return f"ends with code {done.code}: {done.last_words}"
    return values.get("broken")
