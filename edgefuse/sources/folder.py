"""`folder:DIR` (visible/ and infrared/ inside) or `folder:VISIBLE,INFRARED`: image files, paired by stem.

Only image files count, in natural order (frame2 before frame10). A frame without a partner, or with two, is a FrameError in
its place, so that it is named and counted while the others go on.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Self

from edgefuse.errors import FrameError, SourceError
from edgefuse.frames import Frame, FramePair, Modality
from edgefuse.sources.base import Source, SourceInfo
from edgefuse.util import images
from edgefuse.util.uri import Uri, real

DEFAULT_FPS = 25.0


def natural(text: str) -> list[tuple[int, int, str]]:
    """A sort key: digits by value, the rest by letter."""
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in re.split(r"([0-9]+)", text) if p]


def listing(folder: Path) -> dict[str, list[Path]]:
    """The folder's image files by stem. Raises SourceError where the folder can't be listed."""
    found: dict[str, list[Path]] = {}
    try:
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() in images.EXTENSIONS and not path.name.startswith(".") and path.is_file():
                found.setdefault(path.stem, []).append(path)
    except OSError as e:
        raise SourceError(f"cannot list {folder}: {e.strerror}; give an existing folder of images") from None
    return found


class FolderSource(Source):
    """Pairs of image files. Each file is read whole or not at all (`edgefuse.util.images`)."""

    OPTIONS = ("fps",)

    def __init__(self, visible: Path, infrared: Path, uri: str, fps: float = DEFAULT_FPS) -> None:
        """Lists both folders. Raises SourceError where there is not one pair."""
        self._files = {"visible": listing(visible), "infrared": listing(infrared)}
        self._folders = {"visible": visible, "infrared": infrared}
        if not self._files["visible"].keys() & self._files["infrared"].keys():
            counts = " and ".join(f"{len(f)} images in {self._folders[m]}" for m, f in self._files.items())
            raise SourceError(f"no pairs: {counts}, but no two of the same name (extensions aside); name both frames of a pair alike")
        self._names = sorted(self._files["visible"].keys() | self._files["infrared"].keys(), key=lambda name: (natural(name), name))
        self._next = 0
        self.info = SourceInfo(uri, len(self._names), fps, (visible, infrared), sequence=False)

    @classmethod
    def from_uri(cls, uri: Uri) -> Self:
        paths = uri.paths(1, 2)
        if len(paths) == 1:
            root = paths[0]
            # os.path answers False where Path.is_dir raises: a name too long, a folder that can't be entered
            if not os.path.isdir(root):  # noqa: PTH112
                raise SourceError(f"{root}: no such folder; give one with visible/ and infrared/ inside")
            paths = (root / "visible", root / "infrared")
            if missing := [p.name for p in paths if not os.path.isdir(p)]:  # noqa: PTH112
                raise SourceError(f"{root}: no {'/ and '.join(missing)}/ inside; make it, or give folder:VISIBLE_DIR,INFRARED_DIR")
        return cls(paths[0], paths[1], uri.text, uri.option("fps", DEFAULT_FPS, real(0.01, 1000)))

    def read(self) -> FramePair | None:
        if self._next >= len(self._names):
            return None
        index, name = self._next, self._names[self._next]
        self._next += 1
        time_ns = round(index * 1e9 / self.info.fps)
        return FramePair(self._frame(name, "visible", time_ns), self._frame(name, "infrared", time_ns), index)

    def _frame(self, name: str, modality: Modality, time_ns: int) -> Frame:
        files = self._files[modality].get(name, [])
        if not files:
            raise FrameError(name, "unpaired", f"{name} has no {modality} frame in {self._folders[modality]}")
        if len(files) > 1:
            raise FrameError(name, "ambiguous", f"{name} has {len(files)} {modality} frames ({', '.join(f.name for f in files)})")
        try:
            return Frame(images.read(files[0]), modality, time_ns, name)
        except ValueError as e:
            raise FrameError(name, "unreadable", f"{files[0]} {e}") from None
