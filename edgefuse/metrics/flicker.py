"""Flicker: how much the fused picture changes from frame to frame where neither camera's picture did."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import InputError
from edgefuse.metrics.planes import Image, check, luma

DEFAULT_THRESHOLD = 4


@dataclass(frozen=True, slots=True)
class Figures:
    """Mean absolute change from frame to frame of the luma where nothing moved, levels of 255; NaN where no pixel was ever still.

    fused: the flicker. visible, infrared: the same of the inputs, whose noise the fused picture has a right to.
    still: the share of pixels that the figures are of, 0..1.
    """

    fused: float
    visible: float
    infrared: float
    still: float


class Flicker:
    """Fed frame after frame; keeps one of each picture and sums, whatever the recording's length.

    A pixel counts as changed where the luma of either input differs by more than `threshold` levels of 255 from the frame before. The
    figures of the inputs can't pass the threshold, so it is to be above both cameras' noise (three times the standard deviation of a
    difference, 4.2 sigma) and below what a moving edge changes. Where one knows better what kept still, `add` takes a mask instead.
    """

    def __init__(self, threshold: int = DEFAULT_THRESHOLD) -> None:
        """threshold: levels of 255, 0 to 254. Raises InputError for another."""
        if not 0 <= threshold < 255:
            raise InputError(f"flicker threshold {threshold}: expected 0 to 254 levels of 255")
        self._threshold = threshold
        self._before: tuple[Image, ...] | None = None
        self._sums, self._still, self._pixels = np.zeros(3), 0, 0

    def add(self, visible: Image, infrared: Image, fused: Image, still: NDArray[np.bool_] | None = None) -> None:
        """The next frame: uint8 of one size, the size of all frames; (H, W), or (H, W, 3) BGR, which counts by its luma.

        still: bool (H, W), True where nothing moved since the frame before; without it the threshold decides. Raises InputError.
        """
        check(visible=visible, infrared=infrared, fused=fused)
        now = tuple(luma(image) for image in (visible, infrared, fused))
        before, self._before = self._before, now
        if still is not None and (still.dtype != np.bool_ or still.shape != now[0].shape):
            raise InputError(f"the mask of what is still is {still.dtype} {still.shape}; expected bool {now[0].shape}")
        if before is None:
            return
        if before[0].shape != now[0].shape:
            sizes = " after ".join(f"{image.shape[1]}x{image.shape[0]}" for image in (now[0], before[0]))
            raise InputError(f"a frame of {sizes}: flicker is measured on frames of one size")
        changes = [cv2.absdiff(a, b) for a, b in zip(now, before, strict=True)]
        if still is None:
            still = np.maximum(changes[0], changes[1]) <= self._threshold
        self._sums += [int(change[still].sum(dtype=np.int64)) for change in changes]
        self._still += int(still.sum())
        self._pixels += still.size

    def cut(self) -> None:
        """The next frame does not follow the last one (a pair was lost, another scene begins): no change is counted between them."""
        self._before = None

    @property
    def figures(self) -> Figures:
        if not self._still:
            return Figures(math.nan, math.nan, math.nan, 0.0)
        visible, infrared, fused = (float(s) / self._still for s in self._sums)
        return Figures(fused, visible, infrared, self._still / self._pixels)
