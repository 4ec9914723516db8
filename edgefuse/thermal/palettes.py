"""Colour palettes for displaying infrared. Each is a table uint8 (256, 3) BGR, interpolated from a few control points."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import SettingsError

Palette = Literal["white-hot", "black-hot", "ironbow", "rainbow"]
# level 0..255 and its red, green, blue; linear in between
_POINTS: dict[Palette, tuple[tuple[int, int, int, int], ...]] = {
    "white-hot": ((0, 0, 0, 0), (255, 255, 255, 255)),
    "black-hot": ((0, 255, 255, 255), (255, 0, 0, 0)),
    # black, indigo, purple, red, orange, yellow, white: brightness increases monotonically
    "ironbow": (
        (0, 0, 0, 8), (32, 26, 0, 96), (72, 92, 0, 152), (112, 168, 10, 140), (148, 212, 52, 62),
        (184, 240, 116, 8), (218, 252, 188, 28), (240, 255, 236, 128), (255, 255, 255, 246),
    ),
    # blue, cyan, green, yellow, red: distinguishes levels, but brightness is not monotonic
    "rainbow": ((0, 20, 0, 110), (40, 0, 40, 255), (92, 0, 210, 235), (132, 20, 220, 60), (176, 250, 235, 0), (216, 255, 110, 0),
                (255, 190, 0, 30)),
}  # fmt: skip
NAMES: tuple[Palette, ...] = get_args(Palette)


@lru_cache
def table(name: str) -> NDArray[np.uint8]:
    """Return the palette `name` (one of NAMES), uint8 (256, 3) BGR, read-only. Raises SettingsError for another name."""
    palette_name = next((palette for palette in NAMES if palette == name), None)
    if palette_name is None:
        raise SettingsError(f"unknown palette '{name}'; choose from {', '.join(NAMES)}")
    points = np.array(_POINTS[palette_name], np.float64)
    levels = np.arange(256)
    colours = [np.interp(levels, points[:, 0], points[:, channel]) for channel in (3, 2, 1)]
    made = np.rint(np.stack(colours, axis=1)).astype(np.uint8)
    made.flags.writeable = False
    return made


def colourise(infrared: NDArray[np.uint8], palette: str = "white-hot") -> NDArray[np.uint8]:
    """Colour an infrared picture: uint8 (H, W) -> uint8 (H, W, 3) BGR."""
    import cv2

    colours = table(palette)
    return cv2.applyColorMap(infrared, colours.reshape(256, 1, 3))
