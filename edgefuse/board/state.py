"""The machine's changing state: clock, governor, temperature, load, throttling."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgefuse.board.text_files import first_line, glob_sorted, number, read_text
from edgefuse.board.throttling import Throttling, read_throttling

# names that kernels give to the processor's own sensors
_ZONES = ("cpu", "soc", "x86_pkg_temp", "package")
_CHIPS = ("coretemp", "k10temp", "cpu_thermal")


@dataclass(frozen=True, slots=True)
class State:
    """State of the machine at one moment.

    governor: of all cores, joined by + where they differ. frequency_mhz: the fastest core's. highest_mhz: the maximum frequency.
    load: mean number of runnable processes over the last minute.
    """

    governor: str | None
    frequency_mhz: float | None
    highest_mhz: float | None
    temperature_c: float | None
    load: float | None
    throttling: Throttling


def read_state(root: Path = Path("/")) -> State:
    """Read the state; takes a few milliseconds where vcgencmd is installed."""
    cores = glob_sorted(root, "sys/devices/system/cpu/cpu[0-9]*/cpufreq")
    governors = sorted({g for c in cores if (g := first_line(c / "scaling_governor"))})
    return State(
        governor="+".join(governors) or None,
        frequency_mhz=_mhz(cores, "scaling_cur_freq") or _cpuinfo_mhz(root),
        highest_mhz=_mhz(cores, "cpuinfo_max_freq"),
        temperature_c=temperature_c(root),
        load=_load(root),
        throttling=read_throttling(root),
    )


def temperature_c(root: Path = Path("/")) -> float | None:
    """Return the processor's temperature in degrees Celsius, or the hottest sensor's where none belongs to the processor."""
    zones = [(first_line(z / "type") or "", _degrees(z / "temp")) for z in glob_sorted(root, "sys/class/thermal/thermal_zone*")]
    chips = [
        (name, _degrees(f)) for chip in glob_sorted(root, "sys/class/hwmon/hwmon*") if (name := first_line(chip / "name") or "") in _CHIPS
        for f in glob_sorted(chip, "temp*_input")
    ]  # fmt: skip
    own = [t for name, t in zones if any(word in name.lower() for word in _ZONES)] + [t for _, t in chips]
    for candidates in (own, [t for _, t in zones]):
        if known := [t for t in candidates if t is not None]:
            return max(known)
    return None


def _degrees(path: Path) -> float | None:
    millidegrees = number(path)
    # an absent sensor reads as absolute zero or as thousands of degrees
    return millidegrees / 1000 if millidegrees is not None and -60_000 < millidegrees < 200_000 else None


def _mhz(cores: list[Path], name: str) -> float | None:
    known = [khz for c in cores if (khz := number(c / name)) is not None]
    return max(known) / 1000 if known else None


def _cpuinfo_mhz(root: Path) -> float | None:
    clocks = []
    for line in (read_text(root / "proc/cpuinfo") or "").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "cpu MHz":
            try:
                clocks.append(float(value))
            except ValueError:
                continue
    return max(clocks, default=None)


def _load(root: Path) -> float | None:
    try:
        return float((first_line(root / "proc/loadavg") or "").split()[0])
    except (IndexError, ValueError):
        return None
