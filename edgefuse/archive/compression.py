"""Compression and decompression jobs: one for each cube or .efz file below a folder."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edgefuse.archive import grouping, job
from edgefuse.archive.grouping import EFZ, PassedOver
from edgefuse.archive.manifest import Beat
from edgefuse.errors import CubeError
from edgefuse.hyperspectral import compress
from edgefuse.hyperspectral.formats.base import CubeSource, ReportingSource
from edgefuse.hyperspectral.labels import labels_of
from edgefuse.hyperspectral.part import ALL, Choice
from edgefuse.hyperspectral.quality import Quality

Verb = Literal["compress", "decompress"]
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CompressionJob:
    """`Job` that compresses a cube or decompresses an .efz file.

    target: file to write. quality: compression target. form: format to decompress into, a name in `FORMATS`; None: by the suffix.
    choice: what of the cube's file is compressed.
    """

    verb: Verb
    name: str
    source: Path
    target: Path
    folder: Path
    quality: Quality
    form: str | None = None
    choice: Choice = ALL

    @property
    def targets(self) -> tuple[Path, ...]:
        return (self.target,)

    @property
    def settings(self) -> dict[str, Any]:
        chosen = {"choice": self.choice.as_json()} if self.choice.given else {}
        return {"verb": self.verb, **(self.quality.as_json() if self.verb == "compress" else {"format": self.form}), **chosen}

    def files(self) -> list[Path]:
        return list(grouping.files_of(self.source)) if self.verb == "compress" else [self.source]

    def make(self, beat: Beat | None) -> dict[str, Any]:
        if self.verb == "decompress":
            return compress.decompress_file(self.source, self.target, self.form, beat=beat)
        with self.choice.of(self.choice.opened(self.source), owned=True) as source:
            quality = _kept_exactly(source, self.quality)
            reporting = ReportingSource(source, lambda: beat(0, source.nbytes)) if beat else source
            return compress.compress_cube(reporting, self.target, quality, beat=beat)


def _kept_exactly(source: CubeSource, quality: Quality) -> Quality:
    """Return `quality`, or lossless for a class map, because a setting for many files was not meant for its codes."""
    if quality.bound == 0 or not (why := labels_of(source)):
        return quality
    _logger.warning("%s is compressed without loss: %s, as a map of classes has", source.path, why)
    return Quality(max_error=0)


def plan(
    verb: Verb,
    folder: Path,
    out: Path,
    quality: Quality,
    form: str | None = None,
    passed_over: Callable[[str, str], None] | None = None,
    choice: Choice | None = None,
) -> list[CompressionJob]:
    """Return a job for each cube (or .efz file) below `folder`, with the same tree below `out`. Raises CubeError if there are none.

    choice: what of each cube's file is compressed. passed_over: called with the name of each other file, and why it is none.
    """
    jobs = []
    for _, paths in grouping.below(folder, out):
        listing = grouping.group(paths)
        for path in paths:
            name = str(path.relative_to(folder))
            if verb == "compress" and path in listing.cubes:
                # keep the suffix: a.img and a.npy are two cubes
                jobs.append(CompressionJob(verb, name, path, out / (name + EFZ), out, quality, form, choice or ALL))
            elif verb == "decompress" and path.suffix.lower() == EFZ and not path.name.startswith("."):
                jobs.append(CompressionJob(verb, name, path, out / job.renamed(name[: -len(EFZ)], form), out, quality, form))
            elif verb == "compress" and passed_over is not None and path in listing.passed_over:
                passed_over(name, listing.passed_over[path])
    if not jobs:
        raise CubeError(_none(verb, folder))
    return jobs


def _none(verb: Verb, folder: Path) -> str:
    what = ".efz files" if verb == "decompress" else "cubes"
    passed = PassedOver()
    if verb == "compress":
        for _, paths in grouping.below(folder):
            for path, why in grouping.group(paths).passed_over.items():
                passed.add(str(path.relative_to(folder)), why)
    first = f"; {passed.named[0][0]} {passed.named[0][1]}" if passed.count else ""
    return f"{folder} holds no {what} to {verb}{first}"
