"""Views of a frame on the page: what the run shows, the fused picture, its two inputs and the blending map, as arrays, JPEG or PNG."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefuse.calibration import registration
from edgefuse.errors import CalibrationError, EdgeFuseError
from edgefuse.frames import FusedFrame
from edgefuse.fusion.prepare import infrared_8, visible_8
from edgefuse.thermal import palettes, units
from edgefuse.thermal.grey import ToGrey
from edgefuse.thermal.spots import Spot, spots
from edgefuse.thermal.units import DegreeUnit, Unit
from edgefuse.util import images
from edgefuse.util.arrays import UInt8Array
from edgefuse.util.uri import expand

log = logging.getLogger(__name__)

NAMES = ("fused", "visible", "infrared", "map", "shown")


@dataclass(frozen=True, slots=True)
class View:
    """A view to draw. name: one of NAMES. palette: for the infrared view, one of `thermal.palettes.NAMES`."""

    name: str
    palette: str = ""

    @classmethod
    def parse(cls, text: str) -> View:
        """Parse fused, shown, visible, map, infrared or infrared:PALETTE. Raises ValueError that lists the choices."""
        name, _, palette = text.partition(":")
        if name not in NAMES or (palette and (name != "infrared" or palette not in palettes.NAMES)):
            raise ValueError(f"no such view; choose from {', '.join(NAMES)}, and infrared:PALETTE with {', '.join(palettes.NAMES)}")
        return cls(name, palette or palettes.NAMES[0] if name == "infrared" else "")

    def __str__(self) -> str:
        return f"{self.name}:{self.palette}" if self.palette else self.name


class ViewRenderer:
    """Draws views of frames. Keeps state between frames (gain control, registration), so use it from one thread at a time."""

    def __init__(self) -> None:
        self.encoded = 0  # pictures encoded in total
        self._grey = ToGrey()
        self._calibration_path: str | None = None
        self._calibration: registration.Calibration | None = None
        self._registration: registration.Registration | None = None
        self._frame: FusedFrame | None = None
        self._pictures: dict[View, NDArray[np.uint8]] = {}

    def calibrate(self, path: str | None) -> None:
        """Register infrared frames with the run's calibration file, or None. A file that cannot be read is logged and ignored."""
        if path == self._calibration_path:
            return
        self._calibration_path, self._calibration, self._registration = path, None, None
        if path:
            try:
                self._calibration = registration.load(expand(path))
            except EdgeFuseError as e:
                log.warning("the web page shows unregistered infrared frames: %s", e)

    def picture(self, fused: FusedFrame, view: View) -> NDArray[np.uint8]:
        """Return a view: uint8, (H, W) or BGR (H, W, 3), of the fused frame's size. Cached for the current frame."""
        if fused is not self._frame:
            self._frame, self._pictures = fused, {}
        if view not in self._pictures:
            self._pictures[view] = self._draw(fused, view)
        return self._pictures[view]

    def forget(self) -> None:
        """Release the last frame, for when there are no viewers."""
        self._frame, self._pictures = None, {}

    def jpeg(self, fused: FusedFrame, view: View, quality: int) -> bytes:
        """Return a view as JPEG."""
        self.encoded += 1
        return bytes(images.encode(self.picture(fused, view), ".jpg", quality))

    def png(self, fused: FusedFrame, view: View, over: View | None = None, share: float = 0.0) -> bytes:
        """Return a view as PNG, with the view `over` blended over it at a weight of `share` (0 to 1)."""
        picture = self.picture(fused, view)
        if over is not None and share > 0:
            first, second = (cv2.cvtColor(p, cv2.COLOR_GRAY2BGR) if p.ndim == 2 else p for p in (picture, self.picture(fused, over)))
            if first.shape != second.shape:
                raise ValueError(f"{view} and {over} have different sizes, so they can't be blended")
            picture = np.asarray(cv2.addWeighted(first, 1 - share, second, share, 0), np.uint8)
        return bytes(images.encode(picture, ".png"))

    def _draw(self, fused: FusedFrame, view: View) -> NDArray[np.uint8]:
        if view.name == "fused":
            return fused.fused
        if view.name == "shown":
            return fused.data
        if view.name == "visible":
            return visible_8(fused.pair)
        if view.name == "map":
            shares = fused.blending_map
            return np.zeros(fused.fused.shape[:2], np.uint8) if shares is None else np.rint(shares * 255).astype(np.uint8)
        grey = View("infrared", palettes.NAMES[0])
        if view != grey:
            return palettes.colourise(self.picture(fused, grey), view.palette)
        return self._on_grid(fused, infrared_8(fused.pair, self._grey))

    def _on_grid(self, fused: FusedFrame, infrared: NDArray[np.uint8]) -> NDArray[np.uint8]:
        size = fused.fused.shape[1], fused.fused.shape[0]
        if self._calibration is not None:
            there = infrared.shape[1], infrared.shape[0]
            try:
                if self._registration is None or (self._registration.visible_size, self._registration.infrared_size) != (size, there):
                    self._registration = registration.Registration(self._calibration, size, there)
                return self._registration.apply(infrared).copy()
            except CalibrationError as e:
                log.warning("the web page shows unregistered infrared frames: %s", e)
                self._calibration = None
        resized: UInt8Array = infrared if infrared.shape == size[::-1] else cv2.resize(infrared, size, interpolation=cv2.INTER_LINEAR)
        return resized

    def spots(self, fused: FusedFrame, degrees: DegreeUnit = "celsius") -> dict[str, object]:
        """Return the coldest and the hottest spot of a raw infrared frame.

        value is in degrees of the unit `degrees`, or in counts (see `unit`); x and y are fractions of the fused frame's width and height.
        {} where the frame is not raw.
        """
        infrared = fused.pair.infrared
        extremes = spots(infrared) if fused.pair.missing != "infrared" else None
        if extremes is None:
            return {}
        law = infrared.radiometry
        unit: Unit = degrees if law is not None and law.scale is not None else "counts"
        return {"unit": unit} | {
            key: self._spot_facts(spot, infrared.size) | {"value": round(units.shown(spot.value, unit), 2)}
            for key, spot in zip(("coldest", "hottest"), extremes, strict=True)
        }

    def _spot_facts(self, spot: Spot, size: tuple[int, int]) -> dict[str, float]:
        x, y = self.place(spot.x, spot.y, size)
        return {"value": spot.value, "x": x, "y": y}

    def to_picture(self) -> NDArray[np.float64]:
        """Return the homography, float64 (3, 3), from shares of the infrared frame's width and height to those of the fused picture.

        Ignores lens distortion.
        """
        if self._calibration is None:
            return np.eye(3)
        (width, height), (across, down) = self._calibration.infrared_size, self._calibration.visible_size
        # pixel 0 has its middle at 0, and its left edge at -0.5
        pixels = np.array([[width, 0, -0.5], [0, height, -0.5], [0, 0, 1]], np.float64)
        shares = np.array([[1 / across, 0, 0.5 / across], [0, 1 / down, 0.5 / down], [0, 0, 1]], np.float64)
        return np.asarray(shares @ self._calibration.homography @ pixels, np.float64)

    def place(self, x: int, y: int, size: tuple[int, int]) -> tuple[float, float]:
        """Return where a pixel of an infrared frame of `size` is in the fused picture, as shares of its width and height.

        Ignores lens distortion, so it may be off by that amount.
        """
        if self._calibration is None:
            return round((x + 0.5) / size[0], 4), round((y + 0.5) / size[1], 4)
        there = registration.project(self._calibration.homography, np.array([[x, y]], np.float64))[0] + 0.5
        across, down = (float(v) for v in there / self._calibration.visible_size)
        return round(across, 4), round(down, 4)
