"""Archives' jobs of sharpening: which cube goes with which image below a folder, and what each job does. docs/how-to/sharpening.md

A file is told by a word in its path: hsi or hs a cube, msi or ms an image. Two whose paths are the same but for that word, and for the
suffix, are a pair: a/scene_hsi.img and a/scene_msi.tif, hsi/scene.img and msi/scene.tif, scene/HSI.img and scene/MSI.img.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from edgefuse.archive import job
from edgefuse.errors import CubeError
from edgefuse.sharpening.files import Files, sharpen_file

JOB_BYTES = 500_000_000
"""Memory that a job may take, and some more."""
_WORD = re.compile(r"(?:^|[-_. ])(hsi?|msi?)(?=$|[-_. ])", re.IGNORECASE)
_UNCERTAIN = ".uncertainty"


@dataclass(frozen=True, slots=True)
class SharpeningJob:
    """A `Job`. target: the cube to write. uncertain: write the uncertainty beside it. how: `sharpen_file`'s keywords, JSON as they are.
    fault: why there is nothing to do it with, which is what it then says."""

    name: str
    source: Path
    image: Path
    target: Path
    folder: Path
    how: Mapping[str, Any]
    uncertain: bool = False
    threads: int = 1
    fault: str = ""

    @property
    def targets(self) -> tuple[Path, ...]:
        beside = self.target.with_name(f"{self.target.stem}{_UNCERTAIN}{self.target.suffix}")
        return (self.target, beside) if self.uncertain else (self.target,)

    @property
    def settings(self) -> dict[str, Any]:
        how = {("model" if k == "name" else k): v for k, v in self.how.items()}
        return {"verb": "sharpen", **how, "uncertainty": self.uncertain}

    def files(self) -> list[Path]:
        return [] if self.fault else job.source_files(self.source) + job.source_files(self.image)

    def make(self, beat: Callable[[int, int], None] | None) -> dict[str, Any]:
        if self.fault:
            raise CubeError(self.fault)
        files = Files(self.source, self.image, *self.targets)
        report = sharpen_file(files, **self.how, threads=self.threads, beat=beat)
        return {k: v for k, v in report.items() if k not in ("cube", "image", "out")}


class Plan(NamedTuple):
    """jobs: one a cube. passed_over: paths of images without a cube, and of what is neither."""

    jobs: list[SharpeningJob]
    passed_over: list[str]


def plan(
    folder: Path, images: Path | None, out: Path, how: Mapping[str, Any], uncertain: bool = False, threads: int = 1, form: str | None = None
) -> Plan:
    """A job for each cube below `folder`; `out` is filled alike, in `form` or the one of each name. images: where images are, if not beside
    the cubes; then no word is needed, and those there are not looked at. Raises CubeError where there is no pair."""
    cubes: dict[str, list[tuple[str, Path]]] = {}
    partners: dict[str, list[Path]] = {}
    passed: list[str] = []
    for name, path in job.below(folder, out, *([images] if images else [])):
        if job.is_cube(path):
            kind, key = ("h", told(name)[1]) if images is not None else told(name)
            if kind == "h":
                cubes.setdefault(key, []).append((name, path))
            elif kind == "m":
                partners.setdefault(key, []).append(path)
            else:
                passed.append(str(path))
    for name, path in job.below(images, out) if images is not None else ():
        if job.is_cube(path):
            partners.setdefault(told(name)[1], []).append(path)
    if not cubes.keys() & partners.keys():
        raise CubeError(
            f"{folder} holds no pairs to sharpen: NAME_hsi.* and NAME_msi.*, hsi/NAME.* and msi/NAME.*"
            if images is None else f"no cube in {folder} has the name of an image in {images}"
        )  # fmt: skip
    jobs = []
    for key, found in cubes.items():
        others = partners.pop(key, [])
        for name, path in found:
            fault = ""
            if len(found) > 1:
                fault = f"{path}: {len(found)} cubes for one image ({', '.join(n for n, _ in found)}); leave one"
            elif len(others) != 1:
                names = ", ".join(map(str, others))
                fault = f"{path}: {len(others)} images for this cube ({names}); leave one" if others else f"{path} has no image beside it"
            image = others[0] if others else path
            jobs.append(SharpeningJob(name, path, image, out / job.renamed(name, form), out, how, uncertain, threads, fault))
    passed += [str(p) for left in partners.values() for p in left]
    return Plan(jobs, sorted(passed))


def told(name: str) -> tuple[str, str]:
    """Of a path: "h" a cube's, "m" an image's, "" neither's, by the last such word in it; and what is left without words and suffix."""
    path = PurePath(name)
    # scene.hsi is ENVI's, too
    plain = path.parts if _WORD.search(path.suffix) else path.with_suffix("").parts
    words = [m.group(1) for part in plain for m in _WORD.finditer(part)]
    left = (_WORD.sub("", part).strip("-_. ") for part in plain)
    return (words[-1][0].lower() if words else ""), "/".join(part for part in left if part)
