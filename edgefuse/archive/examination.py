"""Opens cubes to see whether they can be used, in processes that may crash or hang, several at a time."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from edgefuse.archive.incoming import problem_of
from edgefuse.archive.processes import LimitedPool, Limits, TaskError
from edgefuse.errors import EdgeFuseError
from edgefuse.hyperspectral.formats import detect
from edgefuse.hyperspectral.part import ALL, Choice

_BYTES_PER_S = 5_000_000  # a file that is read whole when it is opened gets more time
_WALL_S, _CPU_S = 30.0, 5.0
_LIBRARIES = {"tiff": "rasterio", "hdf5": "h5py", "netcdf": "h5py"}


def examine(path: Path, choice: Choice, beat: Callable[..., None]) -> dict[str, Any]:
    """Return under "problem" why what is chosen of a cube can't be opened, or an empty string."""
    try:
        library = _LIBRARIES.get(detect(path) or "")
        if library:
            # which takes seconds on a small computer, and says nothing about the file
            importlib.import_module(library)
            beat()
    except (ImportError, EdgeFuseError):
        pass
    return {"problem": problem_of(path, choice)}


class Examiner:
    """Examines cubes in a pool.

    Called with a path, returns why it can't be opened, an empty string if it can, None if that is not known yet.
    """

    def __init__(self, pool: LimitedPool, memory_bytes: int, choice: Choice = ALL) -> None:
        """choice: what is read of the cubes."""
        self._pool, self._memory_bytes, self._choice = pool, memory_bytes, choice
        self._running: dict[Path, Future[dict[str, Any]]] = {}
        self._again: set[Path] = set()
        self._began: dict[Path, float] = {}

    @property
    def busy(self) -> bool:
        """Whether cubes are being examined."""
        return bool(self._running)

    def __call__(self, path: Path) -> str | None:
        future = self._running.get(path)
        if future is None:
            self._running[path] = self._pool.submit(examine, path, self._choice, limits=self._limits(path))
            return None
        if future.running() or future.done():
            self._began.setdefault(path, time.monotonic())
        if not future.done():
            return None
        del self._running[path]
        try:
            return str(future.result()["problem"])
        except TaskError as e:
            if e.again and path not in self._again:
                self._again.add(path)
                return None
            self._again.discard(path)
            return f"{path} can't be opened: {e}"

    def since_taken_up(self, path: Path) -> float | None:
        """Return the seconds since a process began to open a cube, and forget when that was; None if none did."""
        began = self._began.pop(path, None)
        return None if began is None else time.monotonic() - began

    def _limits(self, path: Path) -> Limits:
        try:
            more = path.stat().st_size / _BYTES_PER_S
        except OSError:
            more = 0.0
        return Limits(self._memory_bytes, _WALL_S + more, _WALL_S + 2 * more, _CPU_S + more)
