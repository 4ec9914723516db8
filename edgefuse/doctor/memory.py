"""Check of the memory: total, available, swap, and the limit of this process's control group."""

from __future__ import annotations

from edgefuse.board import read_memory
from edgefuse.board.limits import cgroup_limit
from edgefuse.doctor.finding import Finding
from edgefuse.doctor.host import Host

_NEEDED = 150_000_000  # peak of a run at 640 x 480


def check_memory(host: Host) -> list[Finding]:
    m, limit = read_memory(host.root), cgroup_limit(host.root)
    total, available = m.get("MemTotal"), m.get("MemAvailable")
    facts = {"total": total, "available": available, "swap": m.get("SwapTotal"), "cgroup_limit": limit}
    if total is None:
        return [
            Finding("memory", "warn", "/proc/meminfo can't be read here: /proc is hidden", host.sudo("mount -t proc proc /proc"), facts)
        ]
    swap = f"{m.get('SwapTotal', 0) / 1e6:.0f} MB swap" if m.get("SwapTotal") else "no swap"
    what = f"{total / 1e6:.0f} MB, {(available or 0) / 1e6:.0f} MB available, {swap}"
    if limit is not None:
        what += f", limited to {limit / 1e6:.0f} MB by its control group"
    free = min(v for v in (available, limit, total) if v is not None)
    if free < _NEEDED:
        lift = limit is not None and limit < _NEEDED
        what += f"; a run takes up to {_NEEDED / 1e6:.0f} MB: " + (
            "raise the limit (MemoryMax=, docker run --memory)" if lift else "stop other programs"
        )
        return [
            Finding(
                "memory", "fail" if free < _NEEDED / 2 else "warn", what, None if lift else "ps -eo pid,rss,comm --sort=-rss | head", facts
            )
        ]
    return [Finding("memory", "ok", what, None, facts)]
