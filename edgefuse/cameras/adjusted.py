"""A camera whose frames are cropped, rotated and flipped, and whose bad pixels become 0, "no measurement" (`edgefuse.thermal.invalid`)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefuse.cameras.base import Camera
from edgefuse.errors import CameraError, SettingsError
from edgefuse.frames import Frame, Modality
from edgefuse.util import zone
from edgefuse.util.uri import Uri, choice, expand
from edgefuse.util.zone import Zone

Flip = Literal["none", "horizontal", "vertical", "both"]
_TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
_FLIPS = {"horizontal": 1, "vertical": 0, "both": -1}


class AdjustedCamera(Camera):
    """Passes on another camera's frames: bad pixels are set to 0, then the frame is cropped, then rotated, then flipped.

    Places of bad pixels and of the crop count from the upper left of the frame that the camera gives.
    """

    def __init__(self, inner: Camera, crop: Zone | None, bad: tuple[tuple[int, int], ...], rotate: int = 0, flip: Flip = "none") -> None:
        """rotate: degrees clockwise, 0, 90, 180 or 270. flip: horizontal exchanges left and right."""
        self.inner, self.modality, self.label = inner, inner.modality, inner.label
        self._crop, self._bad, self._rotate, self._flip = crop, bad, rotate, flip

    @classmethod
    def from_uri(cls, uri: Uri, modality: Modality) -> Self:
        raise SettingsError(f"{uri.text}: this class only wraps another camera")

    @property
    def fps(self) -> float | None:  # type: ignore[override]
        return self.inner.fps

    @property
    def missed(self) -> int:  # type: ignore[override]
        return self.inner.missed

    @property
    def raw(self) -> bool:  # type: ignore[override]
        return self.inner.raw

    def identity(self) -> str:
        return self.inner.identity()

    def open(self) -> None:
        self.inner.open()

    def interrupt(self) -> None:
        self.inner.interrupt()

    def close(self) -> None:
        self.inner.close()

    def read(self, timeout_s: float) -> Frame | None:
        frame = self.inner.read(timeout_s)
        if frame is None:
            return None
        data: NDArray[Any] = frame.data
        if self._bad:
            if data.dtype != np.uint16:
                raise CameraError("format", f"{self.label} gives {data.dtype} pictures; bad_pixels= is for 16-bit counts")
            data = data.copy()
            for x, y in self._bad:
                if y >= data.shape[0] or x >= data.shape[1]:
                    raise CameraError("format", f"{self.label}: bad pixel {x} {y} lies outside its {frame.size[0]}x{frame.size[1]} pixels")
                data[y, x] = 0
        if self._crop is not None:
            where = self._crop.slices(data.shape)
            if where is None:
                raise CameraError("format", f"{self.label}: crop= lies outside its {frame.size[0]}x{frame.size[1]} pixels")
            data = np.ascontiguousarray(data[where])
        if self._rotate:
            data = cv2.rotate(data, _TURNS[self._rotate])
        if self._flip != "none":
            data = cv2.flip(data, _FLIPS[self._flip])
        return replace(frame, data=data)


def adjusted(camera: Camera, uri: Uri) -> Camera:
    """Return the camera with the adjustments of its URI: `crop=WIDTHxHEIGHT+X+Y`, `bad_pixels=FILE`, `rotate=90`, `flip=horizontal`.

    Raises SettingsError.
    """
    crop = zone.parse(uri.options["crop"]) if "crop" in uri.options else None
    bad = read_bad(expand(uri.options["bad_pixels"])) if "bad_pixels" in uri.options else ()
    rotate = int(uri.option("rotate", "0", choice("0", "90", "180", "270")))
    flip: Any = uri.option("flip", "none", choice("none", *_FLIPS))
    return camera if crop is None and not bad and not rotate and flip == "none" else AdjustedCamera(camera, crop, bad, rotate, flip)


def read_bad(path: Path) -> tuple[tuple[int, int], ...]:
    """Read a list of bad pixels: a line "x y" each, from the upper left; # begins a remark. Raises SettingsError."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as e:
        raise SettingsError(f"cannot read {path}: {getattr(e, 'strerror', None) or 'not UTF-8 text'}") from None
    pixels = []
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].split()
        if words and (len(words) != 2 or not all(w.isdecimal() and len(w) < 6 for w in words)):
            raise SettingsError(f"{path}:{number}: expected 'x y', two whole numbers from the upper left")
        if words:
            pixels.append((int(words[0]), int(words[1])))
    return tuple(pixels)
