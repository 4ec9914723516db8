"""Check of the free space in the folders that EdgeFuse writes to: the working folder and the state folder."""

from __future__ import annotations

import os
from pathlib import Path

from edgefuse.doctor.finding import Finding
from edgefuse.doctor.host import Host

# a minute of 640 x 480 video at 30 FPS takes about 20 MB
_LOW, _FULL = 500_000_000, 50_000_000


def check_disk(host: Host) -> list[Finding]:
    """Return one finding per file system."""
    findings: dict[int, Finding] = {}
    for folder in host.folders:
        place = next((p for p in (folder, *folder.parents) if p.exists()), Path("/"))
        try:
            device, figures = place.stat().st_dev, os.statvfs(place)
        except OSError as e:
            return [*findings.values(), Finding("disk", "fail", f"{place}: {e.strerror}")]
        free, total = figures.f_bavail * figures.f_frsize, figures.f_blocks * figures.f_frsize
        findings.setdefault(device, disk_finding(host, place, free, total, bool(figures.f_flag & os.ST_RDONLY), os.access(place, os.W_OK)))
    return list(findings.values())


def disk_finding(host: Host, folder: Path, free: int, total: int, read_only: bool, writable: bool) -> Finding:
    """Return the finding about one folder. free: bytes available to this user."""
    what = f"{folder}: {free / 1e9:.1f} of {total / 1e9:.1f} GB free"
    facts = {"folder": str(folder), "free": free, "total": total, "read_only": read_only, "writable": writable}
    if read_only:
        return Finding("disk", "warn", f"{what}; mounted read-only", host.sudo(f"mount -o remount,rw {_mount(folder)}"), facts)
    if not writable:
        return Finding("disk", "warn", f"{what}; no permission to write here; run EdgeFuse in a folder that you own", None, facts)
    if free < _LOW:
        mend = f"{host.sudo('apt-get clean')}; {host.sudo('journalctl --vacuum-size=50M')}; du -xh {folder} | sort -h | tail"
        return Finding("disk", "fail" if free < _FULL else "warn", f"{what}: a recording may not fit", mend, facts)
    return Finding("disk", "ok", what, None, facts)


def _mount(folder: Path) -> Path:
    return next(p for p in (folder, *folder.parents) if os.path.ismount(p) or p == p.parent)
