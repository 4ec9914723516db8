"""One job of an archive: files in, a file out, and a record of it for the manifest. What `batch` and `watch` have in common."""

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
_PASSED = (".hdr", ".json", ".xml", ".part", ".tmp", ".filepart", ".crdownload", ".jsonl", ".toml", ".md", ".txt", EFZ)


class Job(Protocol):
    """What is to be done; pickled, and done in any process that sees the files."""

    @property
    def name(self) -> str:
        """What the manifest knows it by: a path in the folder that is read."""

    @property
    def source(self) -> Path:
        """The cube."""

    @property
    def targets(self) -> tuple[Path, ...]:
        """What is written; the cube or .efz file first."""

    @property
    def folder(self) -> Path:
        """Where the manifest is."""

    @property
    def settings(self) -> dict[str, Any]:
        """What the manifest says that was asked for."""

    def files(self) -> list[Path]:
        """All that is read, known without opening it."""

    def make(self, beat: Callable[[int, int], None] | None) -> dict[str, Any]:
        """Write the targets; the figures for the manifest. Raises EdgeFuseError."""


def is_cube(path: Path) -> bool:
    """Whether a file is to be taken for a cube: by its suffix, or by the ENVI header beside it."""
    suffix = path.suffix.lower()
    if path.name.startswith(".") or suffix in _PASSED or not path.is_file():
        return False
    known = {s for form, suffixes in FORMATS.items() if form != "envi" for s in suffixes}
    return suffix in known or header_of(path) is not None


def source_files(path: Path) -> list[Path]:
    """What a cube's file is made of, known without opening it: with its ENVI header, or what lies beside it."""
    with contextlib.suppress(EdgeFuseError):
        if detect(path) == "envi" and (header := header_of(path)):
            return [path, header]
    from edgefuse.hyperspectral.formats.enmap import metadata_of

    beside = path.with_name(path.name + ".json"), metadata_of(path)
    return [path, *(p for p in beside if p is not None and p.is_file())]


def below(folder: Path, *without: Path) -> Iterator[tuple[str, Path]]:
    """Each file below `folder`, hidden folders and those of `without` left out: its path in it, and its path. Raises CubeError."""
    others = {path.resolve() for path in without}
    try:
        for at, names, files in os.walk(folder, onerror=_tell):
            names[:] = sorted(n for n in names if not n.startswith(".") and (Path(at) / n).resolve() not in others)
            for file in sorted(files):
                path = Path(at, file)
                yield str(path.relative_to(folder)), path
    except OSError as e:
        raise CubeError(f"cannot list {e.filename}: {e.strerror}; give an existing folder of cubes") from None


def _tell(error: OSError) -> None:
    raise error


def renamed(name: str, form: str | None) -> str:
    """A cube's name, with a suffix of `form` where its own is of another one; None: as it is."""
    if form is None or by_name(name) == form:
        return name
    return name + (".img" if form == "envi" else FORMATS[form][0])


def run(job: Job, beat: Callable[[int, int], None] | None = None) -> dict[str, Any]:
    """Do it. The record's `state`: done; bad: the source can't be used, `message` says why; full: no room for the target, try again later;
    changed: the source became another while it was read. Raises only what is a fault of ours.

    beat: called with what is done and what there is in all, from time to time.
    """
    began = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    who = {"at": began, "by": f"{socket.gethostname()}:{os.getpid()}", "edgefuse": edgefuse.__version__}
    record: dict[str, Any] = {"name": job.name, "state": "bad", **who, "settings": job.settings}
    try:
        files = job.files()
        before = [described(f) for f in files]
        record["source"] = before
        for target in job.targets:
            target.parent.mkdir(parents=True, exist_ok=True)
        figures = job.make(beat)
        if job.files() != files or [described(f, digest=False) for f in files] != [_plain(f) for f in before]:
            for target in job.targets:
                with contextlib.suppress(OSError):
                    target.unlink()
            return record | {"state": "changed", "message": f"{job.source} changed while it was read"}
        first, *others = (_made(target, job.folder) for target in job.targets)
    except OutputError as e:
        return record | {"state": "full" if e.full else "bad", "message": str(e)}
    except EdgeFuseError as e:
        return record | {"message": str(e)}
    except OSError as e:
        return record | {"message": f"cannot read {job.source}: {e.strerror}"}
    return record | {"state": "done", "target": first, **({"beside": others} if others else {}), "figures": figures}


def _made(target: Path, folder: Path) -> dict[str, Any]:
    found = described(target)
    return {"file": str(target.relative_to(folder)), "bytes": found["bytes"], "sha256": found["sha256"]}


def _plain(facts: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in facts.items() if k != "sha256"}
