"""One archive job: source files in, target files out, and a record for the manifest. Shared by `batch` and `watch`."""

from __future__ import annotations

import contextlib
import datetime
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import edgefuse
from edgefuse.archive.manifest import Beat, described
from edgefuse.errors import EdgeFuseError, OutputError
from edgefuse.hyperspectral.formats import FORMATS, by_name
from edgefuse.util.files import make_folder


class Job(Protocol):
    """Unit of work; picklable, and runnable in any process that can access the files."""

    @property
    def name(self) -> str:
        """Key in the manifest: the source's path relative to the input folder."""

    @property
    def source(self) -> Path:
        """Path of the cube or .efz file to read."""

    @property
    def targets(self) -> tuple[Path, ...]:
        """Files to write; the cube or .efz file comes first."""

    @property
    def folder(self) -> Path:
        """Folder of the manifest."""

    @property
    def settings(self) -> dict[str, Any]:
        """Requested settings, as recorded in the manifest."""

    def files(self) -> list[Path]:
        """Return all files to read, without opening them."""

    def make(self, beat: Callable[[int, int], None] | None) -> dict[str, Any]:
        """Write the targets and return the figures for the manifest. Raises EdgeFuseError."""


def renamed(name: str, form: str | None) -> str:
    """Return a cube's name with a suffix of format `form`, unless its own suffix fits or `form` is None."""
    if form is None or by_name(name) == form:
        return name
    return name + (".img" if form == "envi" else FORMATS[form][0])


def run(job: Job, beat: Beat | None = None) -> dict[str, Any]:
    """Run a job and return its record. Raises only for bugs in EdgeFuse.

    The record's `state` is "done", "bad" (the source is unusable, or with `place` nothing can be written; `message` says why), "full" (no
    disk space for the target; try again later) or "changed" (the source changed while it was read).

    beat: progress callback with the bytes done and the total bytes.
    """
    began = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    origin = {"at": began, "by": f"{socket.gethostname()}:{os.getpid()}", "edgefuse": edgefuse.__version__}
    record: dict[str, Any] = {"name": job.name, "state": "bad", **origin, "settings": job.settings}
    try:
        files = job.files()
        states = _states(files)
        record["source"] = [described(f, beat=beat) for f in files]
        for target in job.targets:
            make_folder(target.parent)
        figures = job.make(beat)
        if job.files() != files or _states(files) != states:
            for target in job.targets:
                with contextlib.suppress(OSError):
                    target.unlink()
            return record | {"state": "changed", "message": f"{job.source} changed while it was read"}
        primary, *secondary = (_target_facts(target, job.folder, beat) for target in job.targets)
    except OutputError as e:
        return record | {"state": "full" if e.full else "bad", "message": str(e), **({"place": True} if e.place else {})}
    except EdgeFuseError as e:
        return record | {"message": str(e)}
    except OSError as e:
        return record | {"message": f"cannot read {job.source}: {e.strerror}"}
    return record | {"state": "done", "target": primary, **({"beside": secondary} if secondary else {}), "figures": figures}


def _target_facts(target: Path, folder: Path, beat: Beat | None) -> dict[str, Any]:
    facts = described(target, beat=beat)
    return {"file": str(target.relative_to(folder)), "bytes": facts["bytes"], "sha256": facts["sha256"]}


def _states(files: list[Path]) -> list[tuple[int, ...]]:
    """Return a fingerprint of a file that changes when it is written to or replaced."""
    return [(s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns) for f in files for s in (f.stat(),)]
