"""`folder:DIR`, `folder:VISIBLE,INFRARED` or `folder:DIR?visible=NAME&infrared=NAME`: image files, paired by name.

`folder:DIR` finds the two folders in DIR by the layouts of public datasets (`edgefuse.sources.dataset_layouts`). Only image files are used,
in natural order (frame2 before frame10). A frame without a partner, or with more than one, raises FrameError at its position, so that it
is reported and counted and the others are still read.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import FrameError, SettingsError, SourceError
from edgefuse.frames import Frame, FramePair, Modality, Radiometry
from edgefuse.sources import radiometric_jpeg
from edgefuse.sources.base import Source, SourceInfo
from edgefuse.sources.dataset_layouts import PairFiles, find, given
from edgefuse.util import images
from edgefuse.util.uri import Uri, real

_log = logging.getLogger(__name__)
DEFAULT_FPS = 25.0


def natural(text: str) -> list[tuple[int, int, str]]:
    """Return a sort key that compares digits by value and the rest as text."""
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in re.split(r"([0-9]+)", text) if p]


class FolderSource(Source):
    """Pairs of image files. Damaged files are rejected (`edgefuse.util.images`)."""

    OPTIONS = ("fps", "visible", "infrared")

    def __init__(self, visible: Path, infrared: Path, uri: str, fps: float = DEFAULT_FPS, files: PairFiles | None = None) -> None:
        """files: the files, if they are not all in these two folders. Raises SourceError if there is no pair."""
        files = files or given(visible, infrared)
        self._files = {"visible": files.visible, "infrared": files.infrared}
        self._folders = {"visible": visible, "infrared": infrared}
        if not files.visible.keys() & files.infrared.keys():
            counts = " and ".join(f"{len(f)} images in {self._folders[m]}" for m, f in self._files.items())
            raise SourceError(
                f"no pairs: {counts}, but no two of the same name (without extension); give both frames of a pair the same name"
            )
        self._names = sorted(files.visible.keys() | files.infrared.keys(), key=lambda name: (natural(name), name))
        self._next, self._warned = 0, False
        self.info = SourceInfo(
            uri, len(self._names), fps, files.paths, sequence=False, layout=files.layout, warning=files.warning
        )  # fmt: skip

    @classmethod
    def from_uri(cls, uri: Uri) -> Self:
        paths = uri.paths(1, 2)
        chosen = [uri.options[m] for m in ("visible", "infrared") if m in uri.options]
        if chosen and (len(paths) != 1 or len(chosen) != 2):
            raise SettingsError(f"{uri.text}: expected both names, as in folder:DIR?visible=NAME&infrared=NAME")
        if chosen:
            paths = (paths[0] / chosen[0], paths[0] / chosen[1])
        files = given(*paths) if len(paths) == 2 else find(paths[0])
        return cls(*files.folders, uri.text, uri.option("fps", DEFAULT_FPS, real(0.01, 1000)), files)

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
            if modality == "infrared" and (made := self._radiometric(files[0])) is not None:
                return Frame(made[0], modality, time_ns, name, made[1])
            return Frame(images.read(files[0]), modality, time_ns, name)
        except ValueError as e:
            raise FrameError(name, "unreadable", f"{files[0]} {e}") from None

    def _radiometric(self, path: Path) -> tuple[NDArray[np.uint16], Radiometry] | None:
        """Return the counts in a radiometric JPEG; None for another file. Raises as `radiometric_jpeg.flir`."""
        if path.suffix.lower() not in (".jpg", ".jpeg"):
            return None
        try:
            data = path.read_bytes()
        except OSError:
            return None  # `images.read` tells why
        kind = radiometric_jpeg.maker(data)
        if kind == "DJI" and not self._warned:
            self._warned = True
            _log.warning("%s holds a DJI camera's counts, which only DJI's own software reads; its coloured picture is fused", path)
        return radiometric_jpeg.flir(data) if kind == "FLIR" else None
