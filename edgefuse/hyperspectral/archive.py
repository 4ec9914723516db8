"""One job of an archive: a file in, a verified file out, and a record of it for the manifest. What `batch` and `watch` have in common."""

from __future__ import annotations

import contextlib
import datetime
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import edgefuse
from edgefuse.errors import EdgeFuseError, OutputError
from edgefuse.hyperspectral import compress
from edgefuse.hyperspectral.formats import FORMATS, detect
from edgefuse.hyperspectral.formats.envi import header_of
from edgefuse.hyperspectral.manifest import described
from edgefuse.settings.cubes import Quality

Verb = Literal["compress", "decompress"]
EFZ = ".efz"
_PASSED = (".hdr", ".json", ".xml", ".part", ".tmp", ".filepart", ".crdownload", ".jsonl", ".toml", ".md", ".txt", EFZ)


@dataclass(frozen=True, slots=True)
class Job:
    """verb: what to do. name: the source's path in its folder, which the manifest knows it by. source, target: files; the folder that
    the manifest is in is `folder`. quality: of compressing. form: of decompressing, a name in `FORMATS`, None for the suffix's."""

    verb: Verb
    name: str
    source: Path
    target: Path
    folder: Path
    quality: Quality
    form: str | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """What the manifest says that was asked for."""
        return {"verb": self.verb, **(self.quality.as_json() if self.verb == "compress" else {"format": self.form})}


def is_cube(path: Path) -> bool:
    """Whether a file is to be taken for a cube: by its suffix, or by the ENVI header beside it."""
    suffix = path.suffix.lower()
    if path.name.startswith(".") or suffix in _PASSED or not path.is_file():
        return False
    known = {s for form, (suffixes, *_) in FORMATS.items() if form != "envi" for s in suffixes}
    return suffix in known or header_of(path) is not None


def source_files(path: Path) -> list[Path]:
    """What a cube's file is made of, known without opening it: with its ENVI header, or what lies beside it."""
    with contextlib.suppress(EdgeFuseError):
        if detect(path) == "envi" and (header := header_of(path)):
            return [path, header]
    from edgefuse.hyperspectral.formats.enmap import metadata_of

    beside = path.with_name(path.name + ".json"), metadata_of(path)
    return [path, *(p for p in beside if p is not None and p.is_file())]


def run(job: Job, beat: Callable[[int, int], None] | None = None) -> dict[str, Any]:
    """Do it. The record's `state`: done; bad: the source can't be used, `message` says why; full: no room for the target, try again later;
    changed: the source became another while it was read. Raises only what is a fault of ours.

    beat: called with bytes done and in all, from time to time.
    """
    began = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    who = {"at": began, "by": f"{socket.gethostname()}:{os.getpid()}", "edgefuse": edgefuse.__version__}
    record: dict[str, Any] = {"name": job.name, "state": "bad", **who, "settings": job.settings}
    try:
        files = source_files(job.source)
        before = [described(f) for f in files]
        record["source"] = before
        job.target.parent.mkdir(parents=True, exist_ok=True)
        if job.verb == "compress":
            figures = compress.compress_file(job.source, job.target, job.quality, beat=beat)
        else:
            figures = compress.decompress_file(job.source, job.target, job.form, beat=beat)
        if source_files(job.source) != files or [described(f, digest=False) for f in files] != [_plain(f) for f in before]:
            with contextlib.suppress(OSError):
                job.target.unlink()
            return record | {"state": "changed", "message": f"{job.source} changed while it was read"}
        made = described(job.target)
    except OutputError as e:
        return record | {"state": "full" if e.full else "bad", "message": str(e)}
    except EdgeFuseError as e:
        return record | {"message": str(e)}
    except OSError as e:
        return record | {"message": f"cannot read {job.source}: {e.strerror}"}
    target = {"file": str(job.target.relative_to(job.folder)), "bytes": made["bytes"], "sha256": made["sha256"]}
    return record | {"state": "done", "target": target, "figures": figures}


def _plain(facts: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in facts.items() if k != "sha256"}
