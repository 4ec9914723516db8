"""Flicker and step: how much the fused picture changes from frame to frame where neither camera's picture did.

flicker: the mean absolute change of the fused luma from one frame to the next, over the pixels where neither input's luma changed by more
    than a threshold. It measures noise and shimmer.
step: the largest change of local brightness. Local brightness is the mean luma of a cell of 16 x 16 pixels (from the top left;
    incomplete cells at the right and bottom are ignored). A cell is still from one frame to the next where neither input's local
    brightness changed by more than 15 levels; step = max |change of the fused picture's local brightness| over all still cells of all
    frames. It measures surroundings that change brightness when something moves past, which a mean over all pixels hides. For the
    average of the two inputs it is 16 at most.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import InputError
from edgefuse.metrics.planes import Image, check, luma

DEFAULT_THRESHOLD = 4
CELL = 16  # pixels
STILL_CELL = 15  # largest change of a still cell's mean, in levels


@dataclass(frozen=True, slots=True)
class Figures:
    """Changes from frame to frame where nothing moved, in levels of 255; NaN if no pixel (step: no cell) was ever still.

    fused: the flicker. visible, infrared: the same of the inputs, whose noise the fused picture inherits.
    still: share of still pixels, 0..1. step: the largest change of the fused picture's local brightness.
    """

    fused: float
    visible: float
    infrared: float
    still: float
    step: float = math.nan


class Flicker:
    """Measures flicker and step over a sequence of frames, in constant memory.

    A pixel counts as changed where the luma of either input differs by more than `threshold` levels of 255 from the previous frame. The
    inputs' own figures can't exceed the threshold, so set it above both cameras' noise (three standard deviations of a difference, 4.2
    sigma) and below the change at a moving edge. If the still pixels are known, pass `add` a mask instead.
    """

    def __init__(self, threshold: int = DEFAULT_THRESHOLD) -> None:
        """threshold: levels of 255, 0 to 254. Raises InputError for other values."""
        if not 0 <= threshold < 255:
            raise InputError(f"flicker threshold {threshold}: expected 0 to 254 levels of 255")
        self._threshold = threshold
        self._before: tuple[Image, ...] | None = None
        self._sums, self._still, self._pixels = np.zeros(3), 0, 0
        self._step = math.nan

    def add(self, visible: Image, infrared: Image, fused: Image, still: NDArray[np.bool_] | None = None) -> None:
        """Add the next frame: uint8 (H, W) or (H, W, 3) BGR, of which the luma is used; all frames have one size.

        still: bool (H, W), True where nothing moved since the previous frame; without it the thresholds decide. A cell is still if all of
        its pixels are. Raises InputError.
        """
        check(visible=visible, infrared=infrared, fused=fused)
        now = tuple(luma(image) for image in (visible, infrared, fused))
        before, self._before = self._before, now
        if still is not None and (still.dtype != np.bool_ or still.shape != now[0].shape):
            raise InputError(f"the mask of still pixels is {still.dtype} {still.shape}; expected bool {now[0].shape}")
        if before is None:
            return
        if before[0].shape != now[0].shape:
            sizes = " after ".join(f"{image.shape[1]}x{image.shape[0]}" for image in (now[0], before[0]))
            raise InputError(f"a frame of {sizes}: flicker is measured on frames of one size")
        mask = still
        changes = [cv2.absdiff(a, b) for a, b in zip(now, before, strict=True)]
        if still is None:
            still = np.maximum(changes[0], changes[1]) <= self._threshold
        self._sums += [int(change[still].sum(dtype=np.int64)) for change in changes]
        self._still += int(still.sum())
        self._pixels += still.size
        self._add_cells(before, now, mask)

    def _add_cells(self, before: tuple[Image, ...], now: tuple[Image, ...], still: NDArray[np.bool_] | None) -> None:
        changes = [np.abs(_cells(a) - _cells(b)) for a, b in zip(now, before, strict=True)]
        if still is None:
            chosen = np.maximum(changes[0], changes[1]) <= STILL_CELL * CELL * CELL
        else:
            chosen = _cells(still.view(np.uint8)) == CELL * CELL
        if chosen.any():
            # fmax ignores the initial NaN
            self._step = float(np.fmax(self._step, int(changes[2][chosen].max()) / (CELL * CELL)))

    def cut(self) -> None:
        """Start a new sequence: the next frame does not follow the last one (a pair was lost, or the scene changes)."""
        self._before = None

    @property
    def figures(self) -> Figures:
        if not self._still:
            return Figures(math.nan, math.nan, math.nan, 0.0, self._step)
        visible, infrared, fused = (float(s) / self._still for s in self._sums)
        return Figures(fused, visible, infrared, self._still / self._pixels, self._step)


def _cells(picture: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Sums over whole cells, int64 (H // 16, W // 16)."""
    rows, columns = picture.shape[0] // CELL, picture.shape[1] // CELL
    cells = picture[: rows * CELL, : columns * CELL].reshape(rows, CELL, columns, CELL)
    return cells.sum(axis=(1, 3), dtype=np.int64)
