"""Converts one stream's infrared frames to 8-bit grey in which warm is bright: gain control, dead pixels, false colours, polarity."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefuse.thermal import agc, invalid
from edgefuse.thermal.agc import AgcKind, Polarity
from edgefuse.thermal.false_colour import FalseColour


class ToGrey:
    """Keeps state between frames, so use one for each stream."""

    def __init__(self, kind: AgcKind = "percentile", polarity: Polarity = "auto") -> None:
        """kind: gain control of 16-bit frames. polarity: "black-hot" where the camera shows warm things dark; "auto" takes grey frames as
        white-hot."""
        self._agc, self._colours, self._inverted = agc.make(kind), FalseColour(), polarity == "black-hot"
        self._fill = invalid.Fill()
        self._counts = False  # the last frame had counts

    @property
    def limits(self) -> tuple[float, float] | None:
        """Counts shown as levels 0 and 255 in the last frame; None where levels have no counts (8-bit frames, colours, clahe)."""
        limits = agc.limits(self._agc) if self._counts else None
        return limits[::-1] if limits is not None and self._inverted else limits

    def __call__(self, data: NDArray[np.uint8] | NDArray[np.uint16]) -> NDArray[np.uint8]:
        """Convert a frame's data, uint8 or uint16, (H, W) or BGR (H, W, 3), to uint8 (H, W)."""
        picture: NDArray[Any] = data
        self._counts = data.dtype == np.uint16 and data.ndim == 2
        if picture.ndim == 3:
            deep = picture.dtype == np.uint16
            picture = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY) if deep else self._colours(picture)
        if picture.dtype == np.uint16:
            dead = invalid.mask(picture)
            picture = self._agc(picture if dead is None else self._fill(picture, dead))
        return np.asarray(cv2.bitwise_not(picture), np.uint8) if self._inverted else picture
