"""Detection of complete cubes in a folder: their files no longer change and have the size that their headers promise."""

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

FileStates = tuple[tuple[str, int, int, int], ...]  # per file: name, bytes, modification time (ns), inode


@dataclass(slots=True)
class _CubeState:
    state: FileStates
    since: float
    closed: set[str]  # names of its files for which a close or move event arrived
    problem: str = ""  # why the cube can't be opened in this state
    dismissed: bool = False


@dataclass(slots=True)
class IncomingCubes:
    """Tracks the cubes in a folder (without subfolders).

    settle_s: a cube counts as complete after this time without a change, unless a close or move event says so earlier.
    patience_s: a cube that can't be opened is given up after this time without a change.
    """

    folder: Path
    settle_s: float = SETTLE_S
    patience_s: float = PATIENCE_S
    _seen: dict[Path, _CubeState] = field(default_factory=dict)
    _closed: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _names: frozenset[str] = frozenset()
    _files: dict[Path, list[Path]] = field(default_factory=dict)

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
        cubes = self._list_cubes()
        self._seen = {path: seen for path, seen in self._seen.items() if path in cubes}
        for path, state in cubes.items():
            seen = self._seen.get(path)
            if seen is None or seen.state != state:
                same = set(state) & set(seen.state) if seen else set()
                seen = self._seen[path] = _CubeState(state, now, {name for name, *_ in same if seen and name in seen.closed})
            seen.closed |= {name for name, *_ in state if name in closed}
            settled = now - seen.since >= self.settle_s or len(seen.closed) == len(state)
            if seen.dismissed or not (settled or seen.problem):
                continue
            # a truncated header may parse as a valid one, so open only cubes that no longer change
            seen.problem = seen.problem or _problem_of(path)
            if not seen.problem:
                complete.append(path)
            elif now - seen.since >= self.patience_s:
                given_up.append((path, seen.problem))
        return complete, given_up

    def _list_cubes(self) -> dict[Path, FileStates]:
        """Return the folder's cubes with their files' states. Files are grouped into cubes again only if the listing changed."""
        try:
            names = frozenset(os.listdir(self.folder))  # noqa: PTH208
        except OSError as e:
            raise CubeError(f"cannot list {self.folder}: {e.strerror}; give an existing folder of cubes") from None
        if names != self._names:
            paths = (self.folder / name for name in sorted(names))
            self._files = {path: job.source_files(path) for path in paths if job.is_cube(path)}
            self._names = names
        return {path: state for path, files in self._files.items() if (state := _state(files))}

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


def _state(files: list[Path]) -> FileStates:
    with contextlib.suppress(OSError):
        return tuple((f.name, s.st_size, s.st_mtime_ns, s.st_ino) for f in files for s in (f.stat(),))
    # deleted meanwhile, at least in part
    return ()


def _problem_of(path: Path) -> str:
    """Return why a cube can't be opened, or an empty string."""
    try:
        open_cube(path).close()
    except EdgeFuseError as e:
        return str(e)
    return ""
