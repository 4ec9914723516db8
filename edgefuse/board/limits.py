"""Limits that a control group sets for this process: systemd's MemoryMax= and CPUQuota=, docker run --memory and --cpus."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from edgefuse.board.text_files import first_line, number, read_text

_UNLIMITED = 1 << 50  # cgroups version 1 write a huge number for "no limit"


def cgroup_limit(root: Path = Path("/")) -> int | None:
    """Return the bytes that this process's control group and its parents allow; None without a limit, or where it cannot be read."""
    files = {2: "memory.max", 1: "memory.limit_in_bytes"}
    limits = [number(folder / files[version]) for version, folder in _groups(root, "memory")]
    return min((v for v in limits if v is not None and 0 < v < _UNLIMITED), default=None)


def usable_cores(root: Path = Path("/")) -> int:
    """Return the number of processor cores that this process may use, by its affinity and its control groups' quota, rounded up."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [_quota(version, folder) for version, folder in _groups(root, "cpu")]
    return max(1, min([allowed, *(math.ceil(quota) for quota in quotas if quota is not None)]))


def _quota(version: int, folder: Path) -> float | None:
    """Return a control group's processor time per time, in cores; None without a limit."""
    if version == 2:
        quota, _, period = (first_line(folder / "cpu.max") or "").partition(" ")
    else:
        quota, period = (first_line(folder / f"cpu.cfs_{name}_us") or "" for name in ("quota", "period"))
    try:
        cores = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):
        return None
    return cores if cores > 0 else None


def _groups(root: Path, controller: str) -> Iterator[tuple[int, Path]]:
    """Yield (version of cgroups, folder) of this process's control group for a controller and of each of its parents."""
    for line in (read_text(root / "proc/self/cgroup") or "").splitlines():
        hierarchy, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if hierarchy == "0":
            version, place = 2, "sys/fs/cgroup"
        elif controller in controllers.split(","):
            version, place = 1, f"sys/fs/cgroup/{controller}"
        else:
            continue
        group = PurePosixPath("/" + path.strip("/"))
        # in a container the path may be the host's while the mount is the container's own group, so the mount's root is read as well
        for folder in (group, *group.parents):
            yield version, root / place / str(folder).strip("/")
