"""What EdgeFuse runs on: the processor, its state (clock, heat, load, throttling) and the libraries, read from /proc and /sys.

Nothing here fails: what a container, another system or a lack of permission hides is None, unknown. `root` is where /proc, /sys, /etc
and /usr lie, so that a test, or a card mounted from a Pi, can be read as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgefuse.board.libraries import Libraries, read_libraries
from edgefuse.board.processor import Processor, read_processor
from edgefuse.board.state import State, read_state
from edgefuse.board.text import first_line, read_text
from edgefuse.board.throttling import Throttling, read_throttling

__all__ = [
    "Board", "Libraries", "Processor", "State", "Throttling",
    "read_board", "read_libraries", "read_memory", "read_processor", "read_state", "read_throttling",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Board:
    """What does not change while the machine is on. model: a Pi's own name for itself. memory_bytes: of the whole machine."""

    model: str | None
    processor: Processor
    kernel: str | None
    system: str | None
    memory_bytes: int | None

    @property
    def name(self) -> str:
        """The board where it says what it is, else its processor."""
        return self.model or self.processor.name


def read_board(root: Path = Path("/")) -> Board:
    """Read it now."""
    return Board(
        _model(root), read_processor(root), first_line(root / "proc/sys/kernel/osrelease"), _system(root), read_memory(root).get("MemTotal")
    )


def read_memory(root: Path = Path("/")) -> dict[str, int]:
    """Bytes by the names of /proc/meminfo (MemTotal, MemAvailable, SwapTotal, ...); empty where it is hidden."""
    found = {}
    for line in (read_text(root / "proc/meminfo") or "").splitlines():
        name, _, value = line.partition(":")
        number = value.split()[:1]
        if number and number[0].isdigit():
            found[name] = int(number[0]) * 1024
    return found


def _model(root: Path) -> str | None:
    # a device tree's texts end in a NUL
    told = (read_text(root / "proc/device-tree/model") or "").strip("\0\n ")
    return told or first_line(root / "sys/firmware/devicetree/base/model")


def _system(root: Path) -> str | None:
    for line in (read_text(root / "etc/os-release") or "").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip().strip("\"'") or None
    return None
