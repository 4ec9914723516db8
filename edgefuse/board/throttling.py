"""Was the board slowed down, by heat or a weak supply? Asked of the kernel and of vcgencmd, which may disagree.

A Raspberry Pi's firmware keeps bits: under-voltage, frequency capped, throttled, soft temperature limit (0 to 3: now; 16 to 19: since
boot). sysfs may show what it was when a driver last asked, vcgencmd asks now. Intel's kernel counts events instead.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from edgefuse.board.text import found, number

BITS = {0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "soft temperature limit"}
_NOW, _SINCE_BOOT = 0xF, 0xF0000
_PATIENCE_S = 3.0


@dataclass(frozen=True, slots=True)
class Throttling:
    """sysfs, vcgencmd: the firmware's bits, None where that source is not there or does not answer. events: an x86 kernel's count."""

    sysfs: int | None = None
    vcgencmd: int | None = None
    events: int | None = None

    @property
    def known(self) -> bool:
        return any(v is not None for v in (self.sysfs, self.vcgencmd, self.events))

    @property
    def disagree(self) -> bool:
        return self.sysfs is not None and self.vcgencmd is not None and self.sysfs != self.vcgencmd

    @property
    def bits(self) -> int:
        """What either source says."""
        return (self.sysfs or 0) | (self.vcgencmd or 0)

    @property
    def now(self) -> tuple[str, ...]:
        """What slows the board down at this moment, in words."""
        return tuple(word for bit, word in BITS.items() if self.bits & 1 << bit)

    @property
    def since_boot(self) -> tuple[str, ...]:
        return tuple(word for bit, word in BITS.items() if self.bits & 1 << bit + 16)

    def __str__(self) -> str:
        if not self.known:
            return "unknown (neither sysfs nor vcgencmd tells)"
        if self.sysfs is None and self.vcgencmd is None:
            return f"{self.events} throttling events since boot"
        sources = {"sysfs": self.sysfs, "vcgencmd": self.vcgencmd}
        told = ", ".join(f"{name} 0x{bits:x}" for name, bits in sources.items() if bits is not None)
        said = "; ".join(
            f"{when}: {', '.join(words)}" for when, words in (("now", self.now), ("since boot", self.since_boot)) if words
        )  # fmt: skip
        return f"{said or 'none'} ({told}{'; THEY DISAGREE' if self.disagree else ''})"


def between(before: Throttling, after: Throttling) -> tuple[str, ...]:
    """What slowed the board down at either moment or, as far as is on record, between them."""
    bits = (before.bits | after.bits) & _NOW | (after.bits & ~before.bits & _SINCE_BOOT) >> 16
    slowed = [word for bit, word in BITS.items() if bits & 1 << bit]
    if before.events is not None and after.events is not None and after.events > before.events:
        slowed.append(f"{after.events - before.events} thermal throttling events")
    return tuple(slowed)


def read_throttling(root: Path = Path("/")) -> Throttling:
    files = found(root, "sys/devices/platform/soc*/*firmware*/get_throttled") + found(root, "sys/devices/platform/*firmware*/get_throttled")
    sysfs = next((bits for f in files if (bits := number(f, 16)) is not None), None)
    counts = [
        n for f in found(root, "sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/core_throttle_count") if (n := number(f)) is not None
    ]
    return Throttling(sysfs, _vcgencmd(root), sum(counts) if counts else None)


def _vcgencmd(root: Path) -> int | None:
    program = shutil.which("vcgencmd", path=f"{root}/usr/bin:{root}/opt/vc/bin")
    if program is None:
        return None
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run([program, "get_throttled"], capture_output=True, timeout=_PATIENCE_S, check=False, stdin=subprocess.DEVNULL)
        # without permission for /dev/vcio it says so in words
        if match := re.match(rb"throttled=0x([0-9a-fA-F]+)\s*\Z", done.stdout):
            return int(match[1], 16)
    return None
