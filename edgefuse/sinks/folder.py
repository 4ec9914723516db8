"""`folder:DIR?format=png|jpg&quality=95`: one image file per fused frame under the frame's name, written atomically."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

from edgefuse.errors import OutputError
from edgefuse.frames import FusedFrame
from edgefuse.sinks.base import Sink
from edgefuse.util import files, images
from edgefuse.util.uri import Uri, choice, whole


class FolderSink(Sink):
    """Writes DIR/NAME.png (lossless, the default) or DIR/NAME.jpg, replacing existing files."""

    OPTIONS = ("format", "quality")

    def __init__(self, folder: Path, extension: str = ".png", quality: int = 95) -> None:
        """Creates the folder. Raises OutputError where it is not writable."""
        files.check_folder(folder)
        self._folder, self._extension, self._quality = folder, extension, quality

    @classmethod
    def from_uri(cls, uri: Uri, fps: float) -> Self:
        extension = "." + uri.option("format", "png", choice("png", "jpg"))
        return cls(uri.paths(1)[0], extension, uri.option("quality", 95, whole(1, 100)))

    def write(self, fused: FusedFrame) -> None:
        # a string instead of Path: see write_atomic
        path = os.path.join(self._folder, fused.name + self._extension)  # noqa: PTH118
        if os.sep in fused.name or not fused.name or fused.name.startswith("."):
            raise OutputError(f"frame name {fused.name!r} is not a file name; the source must give plain names")
        try:
            data = images.encode(fused.data, self._extension, self._quality)
        except ValueError as e:
            raise OutputError(f"cannot write {path}: the picture {e}; use --save-format png") from None
        self.bytes_written += files.write_atomic(path, data)

    def resume(self) -> None:
        files.check_folder(self._folder)
