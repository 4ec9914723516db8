"""Check of the clock: synchronised, plausible (a Pi has no battery-backed clock), and its monotonic source."""

from __future__ import annotations

import ctypes
import time
from pathlib import Path

from edgefuse.board.text_files import first_line
from edgefuse.doctor.finding import Finding, Verdict
from edgefuse.doctor.host import Host, container

_EARLIEST = 1_767_225_600  # 2026, before any release of EdgeFuse
_UNSYNCHRONISED = 0x40
_SOURCE = "sys/devices/system/clocksource/clocksource0/current_clocksource"


def check_clock(host: Host) -> list[Finding]:
    synchronised = _synchronised(host)
    source = first_line(host.root / _SOURCE) or "unknown source"
    what = f"{time.strftime('%Y-%m-%d %H:%M:%S UTC', time.gmtime())}, "
    what += {True: "synchronised", False: "not synchronised", None: "synchronisation unknown"}[synchronised]
    what += f"; monotonic time by {source}, {time.get_clock_info('monotonic').resolution * 1e9:.0f} ns"
    facts = {"synchronised": synchronised, "source": source, "unix": round(time.time())}
    mend = host.sudo("timedatectl set-ntp true") if synchronised is False and _systemd(host) else None
    if time.time() < _EARLIEST:
        return [
            Finding(
                "clock",
                "fail",
                f"{what}; earlier than EdgeFuse's release: dated file names and certificate checks will be wrong",
                mend,
                facts,
            )
        ]
    # a container uses its host's clock
    state: Verdict = "warn" if synchronised is False and container(host) is None else "ok"
    return [Finding("clock", state, what, mend if state == "warn" else None, facts)]


def _systemd(host: Host) -> bool:
    return (host.root / "run/systemd/system").exists()


def _synchronised(host: Host) -> bool | None:
    done = host.run("timedatectl", "show", "--property=NTPSynchronized", "--value") if _systemd(host) else None
    if done and done.code == 0 and done.out.strip() in ("yes", "no"):
        return done.out.strip() == "yes"
    if (host.root / "run/systemd/timesync/synchronized").exists():
        return True
    return _kernel_synchronised() if host.root == Path("/") else None


def _kernel_synchronised() -> bool | None:
    """Return the kernel's synchronisation flag, which any time service sets."""

    class Timex(ctypes.Structure):
        # only the first fields of struct timex; the rest is padding
        _fields_ = (("modes", ctypes.c_uint), ("offset", ctypes.c_long), ("freq", ctypes.c_long), ("maxerror", ctypes.c_long),
                    ("esterror", ctypes.c_long), ("status", ctypes.c_int), ("room", ctypes.c_char * 256))  # fmt: skip

    timex = Timex()
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.byref(timex))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else not timex.status & _UNSYNCHRONISED
