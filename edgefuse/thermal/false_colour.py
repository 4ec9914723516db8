"""Takes infrared pictures in false colours back to one axis, cold to hot, where their palette is known or rises in brightness."""

from __future__ import annotations

import logging
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefuse.thermal import palettes

_log = logging.getLogger(__name__)
_GREY = 12  # largest difference of a pixel's channels that JPEG's rounding makes
_SAMPLES = 600
_NEAR = 16.0  # distance in BGR from the palette, which JPEG's colour subsampling makes too
_BITS = 5  # of each channel in the look-up table
_AGAIN = 250  # frames after which an unknown palette is looked at again
_SPREAD = 24.0  # of colours of one brightness, above which brightness is no axis

_OPENCV = {
    "jet": cv2.COLORMAP_JET, "hot": cv2.COLORMAP_HOT, "inferno": cv2.COLORMAP_INFERNO, "magma": cv2.COLORMAP_MAGMA,
    "plasma": cv2.COLORMAP_PLASMA, "viridis": cv2.COLORMAP_VIRIDIS, "turbo": cv2.COLORMAP_TURBO, "opencv-rainbow": cv2.COLORMAP_RAINBOW,
    "hsv": cv2.COLORMAP_HSV, "cool": cv2.COLORMAP_COOL, "bone": cv2.COLORMAP_BONE, "ocean": cv2.COLORMAP_OCEAN,
}  # fmt: skip


@lru_cache
def known() -> dict[str, NDArray[np.uint8]]:
    """Return the known palettes, uint8 (256, 3) BGR, coldest first."""
    levels = np.arange(256, dtype=np.uint8).reshape(256, 1)
    made: dict[str, NDArray[np.uint8]] = {name: palettes.table(name) for name in palettes.NAMES if name not in ("white-hot", "black-hot")}
    made |= {name: np.asarray(cv2.applyColorMap(levels, code), np.uint8).reshape(256, 3) for name, code in _OPENCV.items()}
    # OpenCV's rainbow goes from red to violet
    made["opencv-rainbow"] = made["opencv-rainbow"][::-1]
    return made


def sample(picture: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Return some of a picture's colours, int32 (N, 3)."""
    step = max(1, int((picture.shape[0] * picture.shape[1] / _SAMPLES) ** 0.5))
    return picture[step // 2 :: step, step // 2 :: step].reshape(-1, 3).astype(np.int32)


def is_grey(colours: NDArray[np.int32]) -> bool:
    """Return whether almost all of the colours are grey; a few may be letters."""
    return float(np.percentile(colours.max(axis=1) - colours.min(axis=1), 97)) <= _GREY


def recognise(colours: NDArray[np.int32]) -> str | None:
    """Return the palette on which most of the colours lie, or None."""
    best, name = _NEAR, None
    for candidate, palette in known().items():
        distances = ((colours[:, None, :] - palette[None].astype(np.int32)) ** 2).sum(axis=2).min(axis=1)
        # a logo, letters and a scale may cover some of the picture
        off = float(np.percentile(distances, 80)) ** 0.5
        if off < best:
            best, name = off, candidate
    return name


def rises(colours: NDArray[np.int32]) -> bool:
    """Return whether colours of equal brightness are similar, so that brightness orders them."""
    luma = (colours @ np.array([29, 150, 77])) >> 8
    bins = luma // 8
    worst = [np.std(colours[bins == b], axis=0).max() for b in np.unique(bins) if np.count_nonzero(bins == b) >= 8]
    return bool(worst) and float(np.percentile(worst, 80)) < _SPREAD


@lru_cache
def _levels(name: str) -> NDArray[np.uint8]:
    """Return the level of each colour, uint8 (2^15), blue lowest: that of the palette's nearest one."""
    axis = np.arange(1 << _BITS, dtype=np.int32) * (1 << (8 - _BITS)) + (1 << (7 - _BITS))
    red, green, blue = np.meshgrid(axis, axis, axis, indexing="ij")
    cells = np.stack([blue.ravel(), green.ravel(), red.ravel()], axis=1)
    palette = known()[name].astype(np.float32)
    # |c - p|^2 without |c|^2, which is the same for all of the palette
    nearness = cells.astype(np.float32) @ palette.T - (palette**2).sum(axis=1) / 2
    return np.argmax(nearness, axis=1).astype(np.uint8)


class FalseColour:
    """One stream of colour infrared pictures. The palette is recognised once, and again now and then while it is unknown."""

    def __init__(self) -> None:
        self.palette: str | None = None
        self._unknown = False
        self._left, self._warning = 0, ""

    def __call__(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return a picture, BGR (H, W, 3), as grey (H, W), hot bright where the palette allows; warns once where it does not."""
        if self._left == 0 or self._changed(picture):
            self._look(picture)
        self._left -= 1
        if self.palette is None:
            return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8)
        small = picture >> (8 - _BITS)
        index = small[..., 2].astype(np.uint16)
        index <<= _BITS
        index |= small[..., 1]
        index <<= _BITS
        index |= small[..., 0]
        return np.take(_levels(self.palette), index)

    def _changed(self, picture: NDArray[np.uint8]) -> bool:
        """Return whether the picture does not lie on the palette that was recognised, or is no longer grey."""
        colours = sample(picture)
        if self.palette is None:
            return not self._unknown and not is_grey(colours)
        index = (colours[:, 2] >> 3) << 10 | (colours[:, 1] >> 3) << 5 | colours[:, 0] >> 3
        difference = colours - known()[self.palette][_levels(self.palette)[index]]
        return float(np.percentile((difference**2).sum(axis=1), 80)) ** 0.5 > _NEAR

    def _look(self, picture: NDArray[np.uint8]) -> None:
        self._left = _AGAIN
        colours = sample(picture)
        self.palette, self._unknown = None, False
        if is_grey(colours):
            return
        self.palette = recognise(colours)
        self._unknown = self.palette is None
        if self.palette is not None:
            warning = f"infrared frames are in the false colours of the palette {self.palette}, which is undone"
        elif rises(colours):
            warning = "infrared frames are in false colours of an unknown palette; their brightness is taken"
        else:
            warning = (
                "infrared frames are in false colours that do not rise in brightness, so warm things may be lost; "
                "set the camera to white-hot, or to ironbow"
            )
        if warning != self._warning:
            _log.warning("%s", warning)
        self._warning = warning
