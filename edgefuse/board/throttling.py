"""Throttling by heat or a weak power supply, as reported by the kernel and by vcgencmd, which may disagree.

A Raspberry Pi's firmware keeps bits: under-voltage, frequency capped, throttled, soft temperature limit (0 to 3: now; 16 to 19: since
boot). sysfs may show the bits that a driver read last, vcgencmd reads them now. Intel's kernel driver counts events instead.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from edgefuse.board.text_files import glob_sorted, number

BITS = {0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "soft temperature limit"}
_NOW, _SINCE_BOOT = 0xF, 0xF0000
_TIMEOUT_S = 3.0


@dataclass(frozen=True, slots=True)
class Throttling:
    """Reported throttling. sysfs, vcgencmd: the firmware's bits, None where that source gives none. events: an x86 kernel's count."""

    sysfs: int | None = None
    vcgencmd: int | None = None
    events: int | None = None

    @property
    def known(self) -> bool:
        """Whether any source gives a value."""
        return any(v is not None for v in (self.sysfs, self.vcgencmd, self.events))

    @property
    def disagree(self) -> bool:
        """Whether sysfs and vcgencmd give different bits."""
        return self.sysfs is not None and self.vcgencmd is not None and self.sysfs != self.vcgencmd

    @property
    def bits(self) -> int:
        """Bits that are set in either source."""
        return (self.sysfs or 0) | (self.vcgencmd or 0)

    @property
    def now(self) -> tuple[str, ...]:
        """Names of the throttling causes that are active now."""
        return tuple(word for bit, word in BITS.items() if self.bits & 1 << bit)

    @property
    def since_boot(self) -> tuple[str, ...]:
        """Names of the throttling causes since boot."""
        return tuple(word for bit, word in BITS.items() if self.bits & 1 << bit + 16)

    def __str__(self) -> str:
        if not self.known:
            return "unknown (neither sysfs nor vcgencmd reports it)"
        if self.sysfs is None and self.vcgencmd is None:
            return f"{self.events} throttling events since boot"
        sources = {"sysfs": self.sysfs, "vcgencmd": self.vcgencmd}
        values = ", ".join(f"{name} 0x{bits:x}" for name, bits in sources.items() if bits is not None)
        causes = "; ".join(
            f"{when}: {', '.join(words)}" for when, words in (("now", self.now), ("since boot", self.since_boot)) if words
        )  # fmt: skip
        return f"{causes or 'none'} ({values}{'; THEY DISAGREE' if self.disagree else ''})"


def between(before: Throttling, after: Throttling) -> tuple[str, ...]:
    """Return the throttling causes at either moment and, as far as the counters show, between them."""
    bits = (before.bits | after.bits) & _NOW | (after.bits & ~before.bits & _SINCE_BOOT) >> 16
    slowed = [word for bit, word in BITS.items() if bits & 1 << bit]
    if before.events is not None and after.events is not None and after.events > before.events:
        slowed.append(f"{after.events - before.events} thermal throttling events")
    return tuple(slowed)


def read_throttling(root: Path = Path("/")) -> Throttling:
    """Read the throttling state from sysfs and vcgencmd."""
    files = glob_sorted(root, "sys/devices/platform/soc*/*firmware*/get_throttled") + glob_sorted(
        root, "sys/devices/platform/*firmware*/get_throttled"
    )
    sysfs = next((bits for f in files if (bits := number(f, 16)) is not None), None)
    counts = [
        n
        for f in glob_sorted(root, "sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/core_throttle_count")
        if (n := number(f)) is not None
    ]
    return Throttling(sysfs, _vcgencmd(root), sum(counts) if counts else None)


def _vcgencmd(root: Path) -> int | None:
    program = shutil.which("vcgencmd", path=f"{root}/usr/bin:{root}/opt/vc/bin")
    if program is None:
        return None
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run([program, "get_throttled"], capture_output=True, timeout=_TIMEOUT_S, check=False, stdin=subprocess.DEVNULL)
        # without permission for /dev/vcio it prints an error message
        if match := re.match(rb"throttled=0x([0-9a-fA-F]+)\s*\Z", done.stdout):
            return int(match[1], 16)
    return None
