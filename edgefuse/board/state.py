"""What changes while a machine runs: clock, governor, temperature, load, throttling."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgefuse.board.text import first_line, found, number, read_text
from edgefuse.board.throttling import Throttling, read_throttling

# sensors that are the processor's own, by the names that kernels give them
_ZONES = ("cpu", "soc", "x86_pkg_temp", "package")
_CHIPS = ("coretemp", "k10temp", "cpu_thermal")


@dataclass(frozen=True, slots=True)
class State:
    """A moment of the machine. governor: of all cores, joined by + where they differ. frequency_mhz: the fastest core's.

    highest_mhz: what it may reach. load: the mean of runnable processes over the last minute.
    """

    governor: str | None
    frequency_mhz: float | None
    highest_mhz: float | None
    temperature_c: float | None
    load: float | None
    throttling: Throttling


def read_state(root: Path = Path("/")) -> State:
    """Read it now; takes a few milliseconds where there is a vcgencmd."""
    cores = found(root, "sys/devices/system/cpu/cpu[0-9]*/cpufreq")
    governors = sorted({g for c in cores if (g := first_line(c / "scaling_governor"))})
    return State(
        governor="+".join(governors) or None,
        frequency_mhz=_mhz(cores, "scaling_cur_freq") or _told_mhz(root),
        highest_mhz=_mhz(cores, "cpuinfo_max_freq"),
        temperature_c=temperature_c(root),
        load=_load(root),
        throttling=read_throttling(root),
    )


def temperature_c(root: Path = Path("/")) -> float | None:
    """Degrees Celsius of the processor; of the hottest sensor where none is called the processor's."""
    zones = [(first_line(z / "type") or "", _degrees(z / "temp")) for z in found(root, "sys/class/thermal/thermal_zone*")]
    chips = [
        (name, _degrees(f)) for chip in found(root, "sys/class/hwmon/hwmon*") if (name := first_line(chip / "name") or "") in _CHIPS
        for f in found(chip, "temp*_input")
    ]  # fmt: skip
    own = [t for name, t in zones if any(word in name.lower() for word in _ZONES)] + [t for _, t in chips]
    for candidates in (own, [t for _, t in zones]):
        if known := [t for t in candidates if t is not None]:
            return max(known)
    return None


def _degrees(path: Path) -> float | None:
    millidegrees = number(path)
    # a sensor that is not there reads as absolute zero or as thousands
    return millidegrees / 1000 if millidegrees is not None and -60_000 < millidegrees < 200_000 else None


def _mhz(cores: list[Path], name: str) -> float | None:
    known = [khz for c in cores if (khz := number(c / name)) is not None]
    return max(known) / 1000 if known else None


def _told_mhz(root: Path) -> float | None:
    told = []
    for line in (read_text(root / "proc/cpuinfo") or "").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "cpu MHz":
            try:
                told.append(float(value))
            except ValueError:
                continue
    return max(told, default=None)


def _load(root: Path) -> float | None:
    try:
        return float((first_line(root / "proc/loadavg") or "").split()[0])
    except (IndexError, ValueError):
        return None
