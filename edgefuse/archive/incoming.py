"""Which cubes of a folder are whole: nothing about them changes any more, and their files hold what their headers promise."""

from __future__ import annotations

import contextlib
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path

from edgefuse.archive import job
from edgefuse.errors import CubeError, EdgeFuseError
from edgefuse.hyperspectral.formats import open_cube

SETTLE_S, PATIENCE_S = 2.0, 60.0

State = tuple[tuple[str, int, int, int], ...]  # of each file: name, bytes, time of change, inode


@dataclass(slots=True)
class _Seen:
    state: State
    since: float
    told: set[str]  # of its files, those that the system says were closed by who wrote them, or moved here whole
    wrong: str = ""  # why it could not be used as it is
    dismissed: bool = False


@dataclass(slots=True)
class IncomingCubes:
    """Looks at a folder, not below it. settle_s: how long a cube is to stay as it is to be taken for whole, where the system does not tell
    that it was closed or moved here. patience_s: how long one that can't be used may stay as it is before it is given up."""

    folder: Path
    settle_s: float = SETTLE_S
    patience_s: float = PATIENCE_S
    _seen: dict[Path, _Seen] = field(default_factory=dict)
    _told: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _names: frozenset[str] = frozenset()
    _files: dict[Path, list[Path]] = field(default_factory=dict)

    def tell(self, name: str) -> None:
        """From any thread: the file `name` was closed by who wrote it, or moved here."""
        with self._lock:
            self._told.add(name)

    def look(self, now: float) -> tuple[list[Path], list[tuple[Path, str]]]:
        """Cubes that are whole, and those given up with the reason; by name. now: a monotonic clock, seconds. Raises CubeError."""
        with self._lock:
            told, self._told = self._told, set()
        whole: list[Path] = []
        given_up: list[tuple[Path, str]] = []
        found = self._listed()
        self._seen = {path: seen for path, seen in self._seen.items() if path in found}
        for path, state in found.items():
            seen = self._seen.get(path)
            if seen is None or seen.state != state:
                same = set(state) & set(seen.state) if seen else set()
                seen = self._seen[path] = _Seen(state, now, {name for name, *_ in same if seen and name in seen.told})
            seen.told |= {name for name, *_ in state if name in told}
            settled = now - seen.since >= self.settle_s or len(seen.told) == len(state)
            if seen.dismissed or not (settled or seen.wrong):
                continue
            # a part of a header may be a header: only what is settled is opened
            seen.wrong = seen.wrong or _wrong(path)
            if not seen.wrong:
                whole.append(path)
            elif now - seen.since >= self.patience_s:
                given_up.append((path, seen.wrong))
        return whole, given_up

    def _listed(self) -> dict[Path, State]:
        """The cubes that are there. Which files belong together is found out anew only where there are others than last time."""
        try:
            names = frozenset(os.listdir(self.folder))  # noqa: PTH208
        except OSError as e:
            raise CubeError(f"cannot list {self.folder}: {e.strerror}; give an existing folder of cubes") from None
        if names != self._names:
            paths = (self.folder / name for name in sorted(names))
            self._files = {path: job.source_files(path) for path in paths if job.is_cube(path)}
            self._names = names
        return {path: state for path, files in self._files.items() if (state := _state(files))}

    def spoil(self, path: Path, why: str) -> None:
        """A cube that was whole and can't be used all the same: not whole again before it changes."""
        if path in self._seen:
            self._seen[path].wrong = why

    def dismiss(self, path: Path) -> None:
        """Nothing is left to do about a cube before it changes."""
        if path in self._seen:
            self._seen[path].dismissed = True

    def recall(self, path: Path) -> None:
        """Something is left to do, after all."""
        if path in self._seen:
            self._seen[path].dismissed = False

    @property
    def waiting(self) -> int:
        """Cubes about which something is left to do."""
        return sum(not seen.dismissed for seen in self._seen.values())


def _state(files: list[Path]) -> State:
    with contextlib.suppress(OSError):
        return tuple((f.name, s.st_size, s.st_mtime_ns, s.st_ino) for f in files for s in (f.stat(),))
    # gone again, or half of it
    return ()


def _wrong(path: Path) -> str:
    """Why a cube can't be opened; empty where it can."""
    try:
        open_cube(path).close()
    except EdgeFuseError as e:
        return str(e)
    return ""
