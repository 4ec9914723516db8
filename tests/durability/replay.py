"""File systems as a power cut leaves them, from the shim's log of what was done to a folder.

Two kinds of file system are modelled, each more careless than the ones that it stands for:

- `ordered`, as ext4: changes of names become durable in their order, and any fsync makes all earlier ones so;
- `careless`, as POSIX promises and no more: changes of names become durable in any order, and for sure only by an fsync of their folder.

In both, what was written to a file is durable for sure only by an fsync of that file; until then each write may be there, missing or torn.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Step:
    """A record of the log. inode: of the file that a write, truncation or fsync is of, or that was created."""

    what: str
    path: str
    other: str = ""
    at: int = 0
    inode: int = 0
    data: bytes = b""


def parsed(log: bytes) -> list[Step]:
    """The records of a log."""
    steps, position = [], 0
    while position < len(log):
        end = log.index(b"\n", position)
        what, x, y, a, b = log[position:end].decode().split("\t")
        position = end + 1
        if what == "write":
            steps.append(Step("write", a, "", int(x), int(b), log[position : position + int(y)]))
            position += int(y)
        elif what == "truncate":
            steps.append(Step("truncate", a, "", int(x), int(y)))
        else:
            steps.append(Step(what, a, b, 0, int(x)))
    return steps


@dataclass
class Disk:
    """Durable content: of inodes, and the names that lead to them."""

    content: dict[int, bytearray] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)

    def change(self, step: Step, inode: int | None = None) -> None:
        """Do a step; inode: what a name led to when it was renamed or linked, as it may have another name on this disk."""
        if step.what == "create":
            self.names[step.path] = step.inode
            self.content.setdefault(step.inode, bytearray())
        elif step.what in ("rename", "link"):
            if step.what == "rename":
                self.names.pop(step.path, None)
            if inode is not None:
                self.names[step.other] = inode
        elif step.what == "unlink":
            self.names.pop(step.path, None)
        elif step.what == "write":
            data = self.content.setdefault(step.inode, bytearray())
            data.extend(bytes(max(0, step.at + len(step.data) - len(data))))
            data[step.at : step.at + len(step.data)] = step.data
        elif step.what == "truncate":
            data = self.content.setdefault(step.inode, bytearray())
            del data[step.at :]
            data.extend(bytes(max(0, step.at - len(data))))


_NAMES = ("create", "rename", "link", "unlink")
_CONTENT = ("write", "truncate")


def crashed(before: dict[str, bytes], steps: list[Step], end: int, careless: bool, rng: random.Random) -> dict[str, bytes]:
    """The files after a power cut that follows `end` steps. before: the files before the first."""
    disk, live = Disk(), {}
    for number, (path, data) in enumerate(before.items()):
        disk.names[path], disk.content[-1 - number] = -1 - number, bytearray(data)
        live[path] = -1 - number
    # inode numbers of files that were there before are learned when they are used
    real: dict[int, int] = {}
    pending: list[tuple[Step, int | None]] = []

    def settle(chosen: list[bool]) -> None:
        left = []
        for (step, inode), take in zip(pending, chosen, strict=True):
            if take:
                disk.change(step, inode)
            else:
                left.append((step, inode))
        pending[:] = left

    for step in steps[:end]:
        inode = real.get(step.inode, step.inode)
        if step.what in _CONTENT and step.path in live and live[step.path] < 0:
            real[step.inode] = inode = live[step.path]
        step = Step(step.what, step.path, step.other, step.at, inode, step.data)
        if step.what == "create":
            live[step.path] = step.inode
        elif step.what in ("rename", "link"):
            moved = live.get(step.path)
            if step.what == "rename":
                live.pop(step.path, None)
            if moved is not None:
                live[step.other] = moved
            pending.append((step, moved))
            continue
        elif step.what == "unlink":
            live.pop(step.path, None)
        if step.what in _NAMES or step.what in _CONTENT:
            pending.append((step, None))
        elif step.what == "fsync":
            settle([s.inode == step.inode if s.what in _CONTENT else not careless for s, _ in pending])
        elif step.what == "fsyncdir":
            settle([s.what in _NAMES and (not careless or _touches(s, step.path)) for s, _ in pending])
    # what may or may not have reached the disk; names in their order, if the file system keeps it
    names = sum(s.what in _NAMES for s, _ in pending)
    prefix, chosen, seen = rng.randint(0, names), [], 0
    for position, (step, inode) in enumerate(pending):
        if step.what in _NAMES:
            seen += 1
            chosen.append(rng.random() < 0.5 if careless else seen <= prefix)
        else:
            chosen.append(rng.random() < 0.5)
            if step.what == "write" and chosen[-1] and rng.random() < 0.3:
                torn = step.data[: rng.randint(0, len(step.data))]
                pending[position] = Step("write", step.path, "", step.at, step.inode, torn), inode
    settle(chosen)
    return {path: bytes(disk.content.get(inode, b"")) for path, inode in disk.names.items()}


def _touches(step: Step, folder: str) -> bool:
    return any(str(Path(path).parent) == folder for path in (step.path, step.other) if path)
