"""The machine that EdgeFuse runs on: its processor, its state (clock, temperature, load, throttling) and library versions.

Everything is read from /proc and /sys and nothing here raises: a value hidden by a container, another system or missing permission
is None. `root` is the folder that holds /proc, /sys, /etc and /usr, so that tests and mounted SD cards can be read too.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgefuse.board.libraries import Libraries, read_libraries
from edgefuse.board.processor import Processor, read_processor
from edgefuse.board.state import State, read_state
from edgefuse.board.text_files import first_line, read_text
from edgefuse.board.throttling import Throttling, read_throttling

__all__ = [
    "Board", "Libraries", "Processor", "State", "Throttling",
    "read_board", "read_libraries", "read_memory", "read_processor", "read_state", "read_throttling",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Board:
    """Properties that do not change while the machine is on. model: the name that a Raspberry Pi reports. memory_bytes: total RAM."""

    model: str | None
    processor: Processor
    kernel: str | None
    system: str | None
    memory_bytes: int | None

    @property
    def name(self) -> str:
        """The board's reported name, or else its processor's."""
        return self.model or self.processor.name


def read_board(root: Path = Path("/")) -> Board:
    """Read the board's properties."""
    return Board(
        _model(root), read_processor(root), first_line(root / "proc/sys/kernel/osrelease"), _system(root), read_memory(root).get("MemTotal")
    )


def read_memory(root: Path = Path("/")) -> dict[str, int]:
    """Return bytes by the names in /proc/meminfo (MemTotal, MemAvailable, SwapTotal, ...); empty where it cannot be read."""
    sizes = {}
    for line in (read_text(root / "proc/meminfo") or "").splitlines():
        name, _, value = line.partition(":")
        number = value.split()[:1]
        if number and number[0].isdigit():
            sizes[name] = int(number[0]) * 1024
    return sizes


def _model(root: Path) -> str | None:
    # device-tree strings end with a NUL
    model = (read_text(root / "proc/device-tree/model") or "").strip("\0\n ")
    return model or first_line(root / "sys/firmware/devicetree/base/model")


def _system(root: Path) -> str | None:
    for line in (read_text(root / "etc/os-release") or "").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip().strip("\"'") or None
    return None
