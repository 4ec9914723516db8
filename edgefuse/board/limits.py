"""Memory limit that a control group sets for this process: systemd's MemoryMax=, docker run --memory."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from edgefuse.board.text import number, read_text

_UNLIMITED = 1 << 50  # cgroups version 1 write a huge number for "no limit"


def cgroup_limit(root: Path = Path("/")) -> int | None:
    """Return the bytes that this process's control group and its parents allow; None without a limit, or where it cannot be read."""
    limits = []
    for line in (read_text(root / "proc/self/cgroup") or "").splitlines():
        hierarchy, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if hierarchy == "0":
            place, name = "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            place, name = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        group = PurePosixPath("/" + path.strip("/"))
        # in a container the path may be the host's while the mount is the container's own group, so the mount's root is read as well
        for folder in (group, *group.parents):
            limits.append(number(root / place / str(folder).strip("/") / name))
    known = [v for v in limits if v is not None and 0 < v < _UNLIMITED]
    return min(known, default=None)
