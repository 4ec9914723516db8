"""Sharpening jobs: pairs hyperspectral cubes with multispectral images below a folder (docs/how-to/sharpening.md).

A word in the path marks a cube (hsi or hs) or an image (msi or ms). A cube and an image are a pair if their paths differ only in that
word and the suffix: a/scene_hsi.img and a/scene_msi.tif, hsi/scene.img and msi/scene.tif, scene/HSI.img and scene/MSI.img.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from edgefuse.archive import grouping, job
from edgefuse.errors import CubeError
from edgefuse.hyperspectral.formats.envi import SAMPLES
from edgefuse.hyperspectral.part import ALL, Choice
from edgefuse.sharpening.files import Files, sharpen_file

JOB_BYTES = 500_000_000
"""Upper bound of the memory that a job needs."""
_WORD = re.compile(r"(?:^|[-_. ])(hsi?|msi?)(?=$|[-_. ])", re.IGNORECASE)
_UNCERTAINTY_SUFFIX = ".uncertainty"


@dataclass(frozen=True, slots=True)
class SharpeningJob:
    """`Job` that sharpens a cube.

    target: cube to write. how: keywords of `sharpen_file`, JSON-serialisable. uncertain: also write the uncertainty beside the target.
    fault: why the cube has no image; `make` then raises CubeError with this message. choices: what of the cube's and the image's file is
    meant.
    """

    name: str
    source: Path
    image: Path
    target: Path
    folder: Path
    how: Mapping[str, Any]
    uncertain: bool = False
    threads: int = 1
    fault: str = ""
    choices: tuple[Choice, Choice] = (ALL, ALL)

    @property
    def targets(self) -> tuple[Path, ...]:
        beside = self.target.with_name(f"{self.target.stem}{_UNCERTAINTY_SUFFIX}{self.target.suffix}")
        return (self.target, beside) if self.uncertain else (self.target,)

    @property
    def settings(self) -> dict[str, Any]:
        how = {("model" if k == "name" else k): v for k, v in self.how.items()}
        chosen = {name: choice.as_json() for name, choice in zip(("cube", "image"), self.choices, strict=True) if choice.given}
        return {"verb": "sharpen", **how, "uncertainty": self.uncertain, **({"choices": chosen} if chosen else {})}

    def files(self) -> list[Path]:
        return [] if self.fault else [*grouping.files_of(self.source), *grouping.files_of(self.image)]

    def make(self, beat: Callable[[int, int], None] | None) -> dict[str, Any]:
        if self.fault:
            raise CubeError(self.fault)
        files = Files(self.source, self.image, *self.targets)
        report = sharpen_file(files, **self.how, choices=self.choices, threads=self.threads, beat=beat)
        return {k: v for k, v in report.items() if k not in ("cube", "image", "out")}


class Plan(NamedTuple):
    """jobs: one per cube. passed_over: paths of images without a cube, and of files that are neither."""

    jobs: list[SharpeningJob]
    passed_over: list[str]


def plan(
    folder: Path, images: Path | None, out: Path, how: Mapping[str, Any], uncertain: bool = False, threads: int = 1,
    form: str | None = None, choices: tuple[Choice, Choice] = (ALL, ALL),
) -> Plan:  # fmt: skip
    """Return a job for each cube below `folder`, with the same tree below `out`. Raises CubeError if there is no pair.

    images: folder of the images; every cube file in `folder` is then a cube and every one in `images` an image, whatever its name.
    form: format of the targets; None: the format of each cube's suffix.
    """
    cubes_by_key: dict[str, list[tuple[str, Path]]] = {}
    images_by_key: dict[str, list[Path]] = {}
    passed_over: list[str] = []
    for name, path in _cubes_below(folder, passed_over, out, *([images] if images else [])):
        kind, key = ("h", kind_and_key(name)[1]) if images is not None else kind_and_key(name)
        if kind == "h":
            cubes_by_key.setdefault(key, []).append((name, path))
        elif kind == "m":
            images_by_key.setdefault(key, []).append(path)
        else:
            passed_over.append(str(path))
    for name, path in _cubes_below(images, passed_over, out) if images is not None else ():
        images_by_key.setdefault(kind_and_key(name)[1], []).append(path)
    if not cubes_by_key.keys() & images_by_key.keys():
        raise CubeError(
            f"{folder} holds no pairs to sharpen: NAME_hsi.* and NAME_msi.*, hsi/NAME.* and msi/NAME.*"
            if images is None else f"no cube in {folder} has the name of an image in {images}"
        )  # fmt: skip
    jobs = []
    for key, cubes in cubes_by_key.items():
        candidates = images_by_key.pop(key, [])
        for name, path in cubes:
            fault = ""
            if len(cubes) > 1:
                fault = f"{path}: {len(cubes)} cubes for one image ({', '.join(n for n, _ in cubes)}); leave one"
            elif len(candidates) != 1:
                names = ", ".join(map(str, candidates))
                several = f"{path}: {len(candidates)} images for this cube ({names}); leave one"
                fault = several if candidates else f"{path} has no image beside it"
            image = candidates[0] if candidates else path
            jobs.append(SharpeningJob(name, path, image, out / job.renamed(name, form), out, how, uncertain, threads, fault, choices))
    passed_over += [str(p) for unpaired in images_by_key.values() for p in unpaired]
    return Plan(jobs, sorted(passed_over))


def _cubes_below(folder: Path, passed_over: list[str], *without: Path) -> Iterator[tuple[str, Path]]:
    """Yield (relative path, path) of the cubes below `folder`, and collect the paths of files that look like cubes but are not."""
    for _, paths in grouping.below(folder, *without):
        listing = grouping.group(paths)
        passed_over += [str(path) for path in listing.passed_over if path.suffix.lower() in SAMPLES and path.suffix]
        yield from ((str(path.relative_to(folder)), path) for path in listing.cubes)


def kind_and_key(name: str) -> tuple[str, str]:
    """Return a path's kind by the last word in it ("h": cube, "m": image, "": neither), and its key: the path without words and suffix."""
    path = PurePath(name)
    # .hsi is also a suffix of ENVI files
    parts = path.parts if _WORD.search(path.suffix) else path.with_suffix("").parts
    words = [m.group(1) for part in parts for m in _WORD.finditer(part)]
    remaining = (_WORD.sub("", part).strip("-_. ") for part in parts)
    return (words[-1][0].lower() if words else ""), "/".join(part for part in remaining if part)
