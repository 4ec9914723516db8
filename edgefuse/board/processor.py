"""The processor: its name, its cores, and the instruction set extensions that decide a network's speed."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from edgefuse.board.limits import usable_cores
from edgefuse.board.text_files import read_text

# the extensions by which the runtimes choose their kernels
FEATURES = (
    "neon", "asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2",
    "sse4_1", "sse4_2", "avx", "f16c", "fma", "avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_int8",
)  # fmt: skip
# four byte products summed in one instruction: without it, int8 may be slower than fp32
DOT_PRODUCT = frozenset({"asimddp", "i8mm", "avx512_vnni", "avx_vnni", "amx_int8"})
# (implementer, part) in /proc/cpuinfo, which has no model name on ARM
_ARM = {
    ("0x41", "0xb76"): "ARM1176",
    ("0x41", "0xc07"): "Cortex-A7",
    ("0x41", "0xd03"): "Cortex-A53",
    ("0x41", "0xd04"): "Cortex-A35",
    ("0x41", "0xd05"): "Cortex-A55",
    ("0x41", "0xd07"): "Cortex-A57",
    ("0x41", "0xd08"): "Cortex-A72",
    ("0x41", "0xd09"): "Cortex-A73",
    ("0x41", "0xd0a"): "Cortex-A75",
    ("0x41", "0xd0b"): "Cortex-A76",
    ("0x41", "0xd0c"): "Neoverse-N1",
    ("0x41", "0xd40"): "Neoverse-V1",
    ("0x41", "0xd49"): "Neoverse-N2",
    ("0x41", "0xd4f"): "Neoverse-V2",
}


@dataclass(frozen=True, slots=True)
class Processor:
    """Name, core counts and instruction set extensions of the processor.

    name: for example "Cortex-A53", a PC's model name, or else the machine type. cores: in the machine; usable: by this process.
    features: the FEATURES that the processor has; None where they cannot be read.
    """

    name: str
    machine: str
    cores: int | None
    usable: int
    features: tuple[str, ...] | None

    @property
    def dot_product(self) -> bool | None:
        """Whether one instruction sums byte products; None where the features cannot be read."""
        return None if self.features is None else bool(DOT_PRODUCT & set(self.features))


def read_processor(root: Path = Path("/")) -> Processor:
    """Read the processor's properties."""
    fields: dict[str, list[str]] = {}
    for line in (read_text(root / "proc/cpuinfo") or "").splitlines():
        key, colon, value = line.partition(":")
        if colon:
            fields.setdefault(key.strip(), []).append(value.strip())
    listed = [set(line.split()) for key in ("flags", "Features") for line in fields.get(key, ())]
    # a feature of only some cores does not count, because a thread may run on any core
    features = tuple(f for f in FEATURES if f in set.intersection(*listed)) if listed else None
    machine = platform.machine()
    return Processor(_name(fields) or machine, machine, len(fields.get("processor", ())) or os.cpu_count(), usable_cores(root), features)


def _name(fields: dict[str, list[str]]) -> str | None:
    pairs = dict.fromkeys(zip(fields.get("CPU implementer", ()), fields.get("CPU part", ()), strict=False))
    if pairs:
        return " + ".join(_ARM.get(pair, f"ARM implementer {pair[0]} part {pair[1]}") for pair in pairs)
    return next(iter(fields.get("model name", ())), None) or None
