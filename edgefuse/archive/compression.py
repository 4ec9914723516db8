"""Compression and decompression jobs: one for each cube or .efz file below a folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edgefuse.archive import job
from edgefuse.archive.job import EFZ
from edgefuse.errors import CubeError
from edgefuse.hyperspectral import compress
from edgefuse.hyperspectral.quality import Quality

Verb = Literal["compress", "decompress"]


@dataclass(frozen=True, slots=True)
class CompressionJob:
    """`Job` that compresses a cube or decompresses an .efz file.

    target: file to write. quality: compression target. form: format to decompress into, a name in `FORMATS`; None: by the suffix.
    """

    verb: Verb
    name: str
    source: Path
    target: Path
    folder: Path
    quality: Quality
    form: str | None = None

    @property
    def targets(self) -> tuple[Path, ...]:
        return (self.target,)

    @property
    def settings(self) -> dict[str, Any]:
        return {"verb": self.verb, **(self.quality.as_json() if self.verb == "compress" else {"format": self.form})}

    def files(self) -> list[Path]:
        return job.source_files(self.source)

    def make(self, beat: Callable[[int, int], None] | None) -> dict[str, Any]:
        if self.verb == "compress":
            return compress.compress_file(self.source, self.target, self.quality, beat=beat)
        return compress.decompress_file(self.source, self.target, self.form, beat=beat)


def plan(verb: Verb, folder: Path, out: Path, quality: Quality, form: str | None = None) -> list[CompressionJob]:
    """Return a job for each cube (or .efz file) below `folder`, with the same tree below `out`. Raises CubeError if there are none."""
    jobs = []
    for name, source in job.below(folder, out):
        if source.suffix.lower() == EFZ if verb == "decompress" else job.is_cube(source):
            # keep the suffix: a.img and a.npy are two cubes
            target = name + EFZ if verb == "compress" else job.renamed(name[: -len(EFZ)], form)
            jobs.append(CompressionJob(verb, name, source, out / target, out, quality, form))
    if not jobs:
        raise CubeError(f"{folder} holds no {'.efz files' if verb == 'decompress' else 'cubes'} to {verb}")
    return jobs
