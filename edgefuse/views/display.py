"""A run's picture: the view that its settings name, with the overlay drawn into it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from edgefuse import registry
from edgefuse.calibration.registration import Calibration
from edgefuse.frames import FramePair
from edgefuse.thermal.units import DegreeUnit
from edgefuse.util.shape import Shape
from edgefuse.views.base import Picture, Scene, View, ViewOptions
from edgefuse.views.marks import MarkSource, on_visible, region_marks, spot_marks
from edgefuse.views.options import DEFAULT_VIEW, OverlayPart
from edgefuse.views.overlay import Overlay


class Display:
    """Draws one stream's pictures, one thread at a time."""

    def __init__(
        self, view: View, parts: Sequence[OverlayPart] = (), name: str = "", live: bool = False, calibration: Calibration | None = None,
        marks: Sequence[MarkSource] = (), unit: DegreeUnit = "celsius",
    ) -> None:  # fmt: skip
        """parts: of the overlay. name: for the part "name". live: capture times are of this machine's monotonic clock, so their date is
        known. calibration: of the infrared frames, for the marks. marks: make further marks of each pair, beside the part "spots".
        unit: of the temperatures."""
        self._view, self._parts, self._name, self._live, self._calibration = view, frozenset(parts), name, live, calibration
        self._marks: list[MarkSource] = [*([partial(spot_marks, unit=unit)] if "spots" in self._parts else []), *marks]
        self._unit = unit

    def draw(self, scene: Scene) -> Picture:
        """Return the picture to show: uint8, (H, W) or BGR (H, W, 3). It is one of the scene's arrays where nothing is drawn."""
        picture = self._view.draw(scene)
        if not self._parts and not self._marks:
            return picture
        if any(np.may_share_memory(picture, other) for other in (scene.fused, scene.visible, scene.infrared) if other is not None):
            picture = picture.copy()
        self._overlay(picture, scene)
        return picture

    def _overlay(self, picture: Picture, scene: Scene) -> None:
        overlay, colours = Overlay(picture), self._view.colours
        if "name" in self._parts:
            overlay.name(self._name)
        if "time" in self._parts:
            overlay.time(_time(scene.pair, self._live))
        if "scale" in self._parts and colours is not None and picture.ndim == 3 and scene.infrared is not None:
            overlay.scale(colours, scene.levels, self._view.SCALE_ON_LEFT, self._unit)
        for source in self._marks:
            for mark in source(scene.pair):
                overlay.mark(self._view.place(on_visible(mark, self._calibration)))


def make(
    view: str, options: ViewOptions, parts: Sequence[OverlayPart], name: str, live: bool, calibration: Calibration | None,
    regions: Mapping[str, Shape] | None = None, unit: DegreeUnit = "celsius", people: MarkSource | None = None,
) -> Display | None:  # fmt: skip
    """Return the display for settings; None where the fused picture is shown as it is. people: makes the marks of the part "people".
    Raises SettingsError for an unknown view."""
    made: View = registry.get("edgefuse.views", view)(options)
    marks: list[MarkSource] = [partial(region_marks, places=regions, unit=unit)] if regions and "regions" in parts else []
    marks += [people] if people is not None and "people" in parts else []
    return Display(made, parts, name, live, calibration, marks, unit) if view != DEFAULT_VIEW or parts else None


def _time(pair: FramePair, live: bool) -> str:
    """Return a pair's capture time: the local date and time, or for recordings the time since their start."""
    time_ns = max(f.time_ns for f in (pair.visible, pair.infrared) if f.modality != pair.missing)
    if live:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time.time() - (time.monotonic_ns() - time_ns) / 1e9))
    tenths = time_ns // 100_000_000
    return f"{tenths // 36000}:{tenths // 600 % 60:02}:{tenths // 10 % 60:02}.{tenths % 10}"
