"""One archive job: source files in, target files out, and a record for the manifest. Shared by `batch` and `watch`."""

from __future__ import annotations

import contextlib
import datetime
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import edgefuse
from edgefuse.archive.manifest import described
from edgefuse.errors import CubeError, EdgeFuseError, OutputError
from edgefuse.hyperspectral.formats import FORMATS, by_name, detect
from edgefuse.hyperspectral.formats.envi import header_of

EFZ = ".efz"
_IGNORED_SUFFIXES = (".hdr", ".json", ".xml", ".part", ".tmp", ".filepart", ".crdownload", ".jsonl", ".toml", ".md", ".txt", EFZ)


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


def is_cube(path: Path) -> bool:
    """Return whether a file is a cube, by its suffix or by an ENVI header beside it."""
    suffix = path.suffix.lower()
    if path.name.startswith(".") or suffix in _IGNORED_SUFFIXES or not path.is_file():
        return False
    known = {s for form, suffixes in FORMATS.items() if form != "envi" for s in suffixes}
    return suffix in known or header_of(path) is not None


def source_files(path: Path) -> list[Path]:
    """Return a cube's files without opening them: the samples and the ENVI header or metadata file beside them."""
    with contextlib.suppress(EdgeFuseError):
        if detect(path) == "envi" and (header := header_of(path)):
            return [path, header]
    from edgefuse.hyperspectral.formats.enmap import metadata_of

    beside = path.with_name(path.name + ".json"), metadata_of(path)
    return [path, *(p for p in beside if p is not None and p.is_file())]


def below(folder: Path, *without: Path) -> Iterator[tuple[str, Path]]:
    """Yield (relative path, path) of each file below `folder`, except in hidden folders and those in `without`. Raises CubeError."""
    excluded = {path.resolve() for path in without}
    try:
        for parent, names, files in os.walk(folder, onerror=_raise):
            names[:] = sorted(n for n in names if not n.startswith(".") and (Path(parent) / n).resolve() not in excluded)
            for file in sorted(files):
                path = Path(parent, file)
                yield str(path.relative_to(folder)), path
    except OSError as e:
        raise CubeError(f"cannot list {e.filename}: {e.strerror}; give an existing folder of cubes") from None


def _raise(error: OSError) -> None:
    raise error


def renamed(name: str, form: str | None) -> str:
    """Return a cube's name with a suffix of format `form`, unless its own suffix fits or `form` is None."""
    if form is None or by_name(name) == form:
        return name
    return name + (".img" if form == "envi" else FORMATS[form][0])


def run(job: Job, beat: Callable[[int, int], None] | None = None) -> dict[str, Any]:
    """Run a job and return its record. Raises only for bugs in EdgeFuse.

    The record's `state` is "done", "bad" (the source is unusable; `message` says why), "full" (no disk space for the target; try again
    later) or "changed" (the source changed while it was read).

    beat: progress callback with the bytes done and the total bytes.
    """
    began = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    origin = {"at": began, "by": f"{socket.gethostname()}:{os.getpid()}", "edgefuse": edgefuse.__version__}
    record: dict[str, Any] = {"name": job.name, "state": "bad", **origin, "settings": job.settings}
    try:
        files = job.files()
        before = [described(f) for f in files]
        record["source"] = before
        for target in job.targets:
            target.parent.mkdir(parents=True, exist_ok=True)
        figures = job.make(beat)
        if job.files() != files or [described(f, digest=False) for f in files] != [_without_digest(f) for f in before]:
            for target in job.targets:
                with contextlib.suppress(OSError):
                    target.unlink()
            return record | {"state": "changed", "message": f"{job.source} changed while it was read"}
        primary, *secondary = (_target_facts(target, job.folder) for target in job.targets)
    except OutputError as e:
        return record | {"state": "full" if e.full else "bad", "message": str(e)}
    except EdgeFuseError as e:
        return record | {"message": str(e)}
    except OSError as e:
        return record | {"message": f"cannot read {job.source}: {e.strerror}"}
    return record | {"state": "done", "target": primary, **({"beside": secondary} if secondary else {}), "figures": figures}


def _target_facts(target: Path, folder: Path) -> dict[str, Any]:
    facts = described(target)
    return {"file": str(target.relative_to(folder)), "bytes": facts["bytes"], "sha256": facts["sha256"]}


def _without_digest(facts: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in facts.items() if k != "sha256"}
