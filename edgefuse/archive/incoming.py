"""Detection of complete cubes in a folder: their files no longer change, can be opened, and have the size that their headers promise."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from edgefuse.archive import grouping
from edgefuse.archive.grouping import Cube, Listing
from edgefuse.archive.open_files import open_for_writing
from edgefuse.errors import CubeError, EdgeFuseError
from edgefuse.hyperspectral.part import ALL, Choice

SETTLE_S, PATIENCE_S, PARTS_S, CLOSED_S = 2.0, 60.0, 600.0, 20.0

FileStates = tuple[tuple[str, int, int, int], ...]  # per file: name, bytes, modification time (ns), inode


def problem_of(path: Path, choice: Choice = ALL) -> str:
    """Return why what is chosen of a cube can't be opened, or an empty string."""
    try:
        choice.of(choice.opened(path), owned=True).close()
    except EdgeFuseError as e:
        return str(e)
    return ""


@dataclass(slots=True)
class _CubeState:
    state: FileStates
    since: float
    closed: set[str]  # names of its files for which a close or move event arrived
    changed: bool  # since it was seen first
    problem: str | None = None  # why the cube can't be opened in this state; empty: it can; None: not known yet
    dismissed: bool = False


@dataclass(slots=True)
class IncomingCubes:
    """Tracks the cubes in a folder (without subfolders).

    settle_s: a cube counts as complete after this time without a change, unless a close or move event says so earlier.
    patience_s: a cube that can't be opened is given up after this time without a change.
    parts_s: a cube waits so long without a change for a file that usually comes with it, such as an EnMAP image's XML.
    closed_s: replaces patience_s for a cube that came in one piece: it never changed, and no program has a file of it open for writing.
    examine: returns why a cube can't be opened, an empty string if it can, None if that is not known yet.
    """

    folder: Path
    settle_s: float = SETTLE_S
    patience_s: float = PATIENCE_S
    parts_s: float = PARTS_S
    closed_s: float = PATIENCE_S
    examine: Callable[[Path], str | None] = problem_of
    _seen: dict[Path, _CubeState] = field(default_factory=dict)
    _closed: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _states: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    _listing: Listing = field(default_factory=Listing)

    def file_closed(self, name: str) -> None:
        """Report that the file `name` was closed by its writer or moved into the folder. Callable from any thread."""
        with self._lock:
            self._closed.add(name)

    def scan(self, now: float) -> tuple[list[Path], list[tuple[Path, str]]]:
        """Return complete cubes, and given-up cubes with the reason, sorted by name. now: monotonic clock, seconds. Raises CubeError."""
        with self._lock:
            closed, self._closed = self._closed, set()
        complete: list[Path] = []
        given_up: list[tuple[Path, str]] = []
        self._list_folder()
        cubes = self._listing.cubes
        self._seen = {path: seen for path, seen in self._seen.items() if path in cubes}
        for path, cube in cubes.items():
            seen = self._updated(cube, now, closed)
            wait_s = max(self.settle_s, self.parts_s) if cube.awaited else self.settle_s
            settled = now - seen.since >= wait_s or (len(seen.closed) == len(seen.state) and not cube.awaited)
            if seen.dismissed or not (settled or seen.problem):
                continue
            # a truncated header may parse as a valid one, so open only cubes that no longer change
            if seen.problem is None:
                seen.problem = self.examine(path)
            if seen.problem == "":
                complete.append(path)
            elif seen.problem and self._will_not_come(cube, seen, now - seen.since):
                given_up.append((path, seen.problem))
        return complete, given_up

    def _will_not_come(self, cube: Cube, seen: _CubeState, unchanged_s: float) -> bool:
        """Return whether what an unusable cube may lack has had its time to come."""
        if unchanged_s >= self.patience_s or seen.changed or unchanged_s < self.closed_s:
            return unchanged_s >= self.patience_s
        try:
            return all(open_for_writing(file) is False for file in cube.files)
        except OSError:
            return False

    def _updated(self, cube: Cube, now: float, closed: set[str]) -> _CubeState:
        """Return the state of a cube, begun anew if a file of it changed."""
        seen, state = self._seen.get(cube.path), self._state(cube)
        if seen is None or seen.state != state:
            same = set(state) & set(seen.state) if seen else set()
            closed_before = {name for name, *_ in same if seen and name in seen.closed}
            seen = self._seen[cube.path] = _CubeState(state, now, closed_before, changed=seen is not None)
        seen.closed |= {name for name, *_ in state if name in closed}
        return seen

    def _list_folder(self) -> None:
        """List the folder. Its files are grouped into cubes again only if one appeared, changed or went."""
        states: dict[str, tuple[int, int, int]] = {}
        try:
            with os.scandir(self.folder) as entries:
                for entry in entries:
                    # gone meanwhile, or a link that leads nowhere or in a circle
                    with contextlib.suppress(OSError):
                        status = entry.stat()
                        states[entry.name] = status.st_size, status.st_mtime_ns, status.st_ino
        except OSError as e:
            raise CubeError(f"cannot list {self.folder}: {e.strerror}; give an existing folder of cubes") from None
        if states != self._states:
            self._listing = grouping.group(self.folder / name for name in sorted(states))
            self._states = states

    def _state(self, cube: Cube) -> FileStates:
        return tuple((f.name, *self._states.get(f.name, (0, 0, 0))) for f in cube.files)

    def unchanged(self, path: Path) -> bool:
        """Return whether a cube's files are still those of the last `scan`."""
        seen = self._seen.get(path)
        if seen is None:
            return False
        with contextlib.suppress(OSError):
            states = [(f.name, s.st_size, s.st_mtime_ns, s.st_ino) for f in grouping.files_of(path) for s in (f.stat(),)]
            return tuple(states) == seen.state
        return False

    def unchanged_s(self, path: Path, now: float) -> float:
        """Return for how many seconds a cube has not changed. now: monotonic clock, seconds."""
        return now - self._seen[path].since if path in self._seen else 0.0

    def cube(self, path: Path) -> Cube:
        """Return the cube `path` as it was at the last `scan`."""
        return self._listing.cubes.get(path) or Cube(path, grouping.files_of(path))

    def needed_by_others(self, path: Path) -> set[Path]:
        """Return the files that other cubes need, or samples that may still arrive: a header that several files of samples share."""
        # some went since the last scan, with this header's other samples
        others = {file for other, cube in self._listing.cubes.items() if other != path and other.exists() for file in cube.files}
        return others | {file for passed in self._listing.passed_over if passed.exists() for file in grouping.shared_by(passed)}

    @property
    def passed_over(self) -> dict[Path, str]:
        """The files that are no part of a cube, and why."""
        return self._listing.passed_over

    def mark_unusable(self, path: Path, why: str) -> None:
        """Mark a complete cube as unusable until it changes."""
        if path in self._seen:
            self._seen[path].problem = why

    def dismiss(self, path: Path) -> None:
        """Ignore a cube until it changes."""
        if path in self._seen:
            self._seen[path].dismissed = True

    def undismiss(self, path: Path) -> None:
        """Undo `dismiss`."""
        if path in self._seen:
            self._seen[path].dismissed = False

    @property
    def waiting(self) -> int:
        """Number of cubes that are not dismissed."""
        return sum(not seen.dismissed for seen in self._seen.values())
