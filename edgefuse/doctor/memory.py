"""Memory: the machine's, what is free of it, swap, and the limit of the control group that this process is in."""

from __future__ import annotations

from pathlib import PurePosixPath

from edgefuse.board import read_memory
from edgefuse.board.text import number, read_text
from edgefuse.doctor.finding import Finding
from edgefuse.doctor.host import Host

_NEEDED = 150_000_000  # what a run at 640 x 480 may take
_UNLIMITED = 1 << 50  # version 1 of control groups writes a huge number for none


def check_memory(host: Host) -> list[Finding]:
    m, limit = read_memory(host.root), cgroup_limit(host)
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
            "raise the limit (MemoryMax=, docker run --memory)" if lift else "end other programs"
        )
        return [
            Finding(
                "memory", "fail" if free < _NEEDED / 2 else "warn", what, None if lift else "ps -eo pid,rss,comm --sort=-rss | head", facts
            )
        ]
    return [Finding("memory", "ok", what, None, facts)]


def cgroup_limit(host: Host) -> int | None:
    """Bytes that this process's control group, or one above it, may use; None for no limit, or where it is hidden."""
    limits = []
    for line in (read_text(host.root / "proc/self/cgroup") or "").splitlines():
        hierarchy, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if hierarchy == "0":
            place, name = "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            place, name = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        group = PurePosixPath("/" + path.strip("/"))
        # in a container the path may be the host's while the mount is our own group, so the mount's root is asked as well
        for folder in (group, *group.parents):
            limits.append(number(host.root / place / str(folder).strip("/") / name))
    known = [v for v in limits if v is not None and 0 < v < _UNLIMITED]
    return min(known, default=None)
