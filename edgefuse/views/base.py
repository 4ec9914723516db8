"""Interface of a view: draws the picture that is shown, recorded and streamed from a pair that was fused."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefuse.frames import FramePair
from edgefuse.thermal import palettes
from edgefuse.thermal.levels import Levels
from edgefuse.views.marks import Mark

Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Scene:
    """A fused pair as a view needs it. Views must not modify its arrays.

    pair: as captured. fused, visible: uint8, (H, W) or BGR (H, W, 3). infrared: uint8 (H, W), warm bright, on the visible frame's grid;
    None while the infrared camera is missing. While the visible camera is missing, visible is the infrared picture.
    levels: the temperatures of the infrared levels, None where unknown.
    targets: float32 in [0, 1], a `target_scale`-th of the size, as in `FusedFrame.decided_targets`; None for a model without targets.
    register: puts a uint8 plane of the infrared frame's own size on the visible frame's grid.
    """

    pair: FramePair
    fused: Picture
    visible: Picture
    infrared: Picture | None
    levels: Levels | None
    targets: NDArray[np.float32] | None
    target_scale: int
    register: Callable[[Picture], Picture]


@dataclass(frozen=True, slots=True)
class ViewOptions:
    """palette: of infrared, one of `palettes.NAMES`. isotherm: degrees Celsius from which `highlight` tints; None: chosen by the frame."""

    palette: str = "ironbow"
    isotherm: float | None = None


class View(ABC):
    """Draws one stream's pictures, one thread at a time. Register it under `edgefuse.views`."""

    SCALE_ON_LEFT = False  # the overlay's scale bar is at the left edge instead of the right one

    def __init__(self, options: ViewOptions) -> None:
        """Raises SettingsError for an unknown palette."""
        self.options = options
        self._table: Picture = palettes.table(options.palette)

    @abstractmethod
    def draw(self, scene: Scene) -> Picture:
        """Return uint8, (H, W) or BGR (H, W, 3), of any size. It may be one of the scene's arrays."""

    @property
    def colours(self) -> Picture | None:
        """The colour of each infrared level for the scale bar, uint8 (256, 3) BGR; None where colours do not show temperatures."""
        return self._table

    def place(self, mark: Mark) -> Mark:
        """Return a mark of the visible frame where this view draws it."""
        return mark

    def thermal(self, infrared: Picture) -> Picture:
        """Colour infrared levels with the palette: uint8 (H, W) -> BGR (H, W, 3)."""
        return cv2.applyColorMap(infrared, self._table.reshape(256, 1, 3))


def colour(picture: Picture) -> Picture:
    """Return a grey picture as BGR; a picture in colour as it is."""
    return cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR) if picture.ndim == 2 else picture
