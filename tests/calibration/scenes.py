"""Frame pairs misregistered by a known homography, and targets as two cameras see them."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

import edgefuse
from edgefuse.frames import Frame, FramePair


@lru_cache
def street(seed: int, scene: str = "day", size: str = "320x240") -> FramePair:
    with edgefuse.open_source(f"demo?scene={scene}&seed={seed}&frames=1&size={size}") as source:
        pair = source.read()
    assert pair is not None
    return pair


def similarity(size: tuple[int, int], degrees: float, scale: float, right: float, down: float) -> np.ndarray:
    c, s = np.cos(np.deg2rad(degrees)) * scale, np.sin(np.deg2rad(degrees)) * scale
    x, y = (size[0] - 1) / 2, (size[1] - 1) / 2
    return np.array([[c, -s, x - c * x + s * y + right], [s, c, y - s * x - c * y + down], [0, 0, 1]])


def displaced(pair: FramePair, warp: np.ndarray) -> FramePair:
    """Warp the infrared frame by `warp`; the inverse registers it again."""
    moved = cv2.warpPerspective(pair.infrared.data, warp, pair.infrared.size)
    return FramePair(pair.visible, Frame(moved, "infrared", 0, pair.name), pair.index)


def shrunk(pair: FramePair, size: tuple[int, int]) -> FramePair:
    """Reduce the infrared frame to a camera of fewer pixels."""
    return FramePair(
        pair.visible, Frame(cv2.resize(pair.infrared.data, size, interpolation=cv2.INTER_AREA), "infrared", 0, pair.name), pair.index
    )


def board(kind: str, columns: int, rows: int, square: int = 24) -> np.ndarray:
    """Draw a checkerboard of columns x rows inner corners or a grid of dots, dark on light, uint8."""
    if kind == "checkerboard":
        y, x = np.mgrid[: (rows + 1) * square, : (columns + 1) * square]
        sheet = np.where((y // square + x // square) % 2, 230, 30).astype(np.uint8)
    else:
        sheet = np.full(((rows + 1) * square, (columns + 1) * square), 230, np.uint8)
        for j in range(rows):
            for i in range(columns):
                cv2.circle(sheet, ((i + 1) * square, (j + 1) * square), square // 4, 30, -1, cv2.LINE_AA)
    return cv2.copyMakeBorder(sheet, square, square, square, square, cv2.BORDER_CONSTANT, value=230)


def board_pair(kind: str, columns: int, rows: int, to_infrared: np.ndarray, infrared_size: tuple[int, int]) -> FramePair:
    """Draw the board in a visible frame of 400 x 320 and an infrared one, in which its black parts are hot."""
    sheet = board(kind, columns, rows)
    place = np.array([[1.0, 0.06, 30], [-0.04, 1.0, 40], [0, 0, 1]])
    visible = cv2.warpPerspective(sheet, place, (400, 320), borderValue=120)
    infrared = cv2.warpPerspective(255 - sheet, to_infrared @ place, infrared_size, flags=cv2.INTER_AREA, borderValue=60)
    infrared = cv2.GaussianBlur(infrared, (0, 0), 0.8)
    return FramePair(Frame(visible, "visible", 0, "board"), Frame(infrared, "infrared", 0, "board"), 0)
