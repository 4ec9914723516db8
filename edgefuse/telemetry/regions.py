"""[region.NAME]: mean, minimum and maximum of each region of the infrared frame, for telemetry (docs/reference/thermal.md)."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping

from edgefuse.errors import SettingsError
from edgefuse.events import Event
from edgefuse.frames import Frame, FusedFrame
from edgefuse.settings.region import RegionSettings
from edgefuse.telemetry.live import Info, Live
from edgefuse.telemetry.outputs import OutputState
from edgefuse.telemetry.report_types import RegionReport, RegionValue
from edgefuse.thermal import units
from edgefuse.thermal.regions import RegionValues, measure
from edgefuse.thermal.spots import Spot
from edgefuse.util import shape

_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")


class Regions:
    """All regions of a run, measured in the writer's thread in every new infrared frame whose picture is not repeated."""

    @staticmethod
    def check(tables: Mapping[str, RegionSettings]) -> None:
        """Raises SettingsError for an invalid name or shape."""
        for name, s in tables.items():
            if not _NAME.fullmatch(name):
                raise SettingsError(f"region.{name}: a region's name must be up to 40 letters, digits, _ and -, as a part of MQTT topics")
            shape.parse(s.shape)

    def __init__(self, tables: Mapping[str, RegionSettings], live: Live, info: Info) -> None:
        """Raises SettingsError for an invalid region."""
        self.check(tables)
        self._shapes = {name: shape.parse(s.shape) for name, s in tables.items()}
        self._texts = {name: s.shape for name, s in tables.items()}
        self._live, self._lock = live, threading.Lock()
        self._latest: dict[str, RegionValues | str] = {}
        self._reported: set[tuple[str, str]] = set()  # each fault is reported once
        self._time_ns, self._measured = -1, 0
        self._end = live.watch(self._on_frame)

    @property
    def latest(self) -> list[RegionValues]:
        """Return the newest values of the regions that have some, in degrees Celsius or counts."""
        with self._lock:
            return [values for values in self._latest.values() if isinstance(values, RegionValues)]

    def _on_frame(self, count: int, fused: FusedFrame) -> None:
        frame = fused.pair.infrared
        if fused.pair.missing != "infrared" and frame.time_ns != self._time_ns and not _repeated(frame):
            measured = {name: measure(frame, name, place) for name, place in self._shapes.items()}
            with self._lock:
                self._latest, self._time_ns = measured, frame.time_ns
            for name, values in measured.items():
                if isinstance(values, str) and (name, values) not in self._reported:
                    self._reported.add((name, values))
                    self._live.emit(Event("region", name, {"state": "fault", "fault": values}))
        self._measured += 1

    def report(self) -> dict[str, RegionReport]:
        """Return, for each region: shape, unit, its values, their pixels from the upper left, and why it has none."""
        with self._lock:
            latest = dict(self._latest)
        return {name: self._facts(self._texts[name], latest.get(name)) for name in self._shapes}

    def _facts(self, shape: str, values: RegionValues | str | None) -> RegionReport:
        if not isinstance(values, RegionValues):
            return {
                "shape": shape, "unit": None, "mean": None, "minimum": None, "maximum": None, "pixels": 0, "fault": values,
            }  # fmt: skip
        unit: units.Unit = self._live.unit if values.unit == "celsius" else "counts"

        def place(spot: Spot) -> RegionValue:
            return {"value": round(units.shown(spot.value, unit), 2), "x": spot.x, "y": spot.y}

        return {
            "shape": shape,
            "unit": unit,
            "mean": {"value": round(units.shown(values.mean, unit), 2)},
            "minimum": place(values.minimum),
            "maximum": place(values.maximum),
            "pixels": values.pixels,
            "fault": None,
        }

    def outputs(self) -> dict[str, OutputState]:
        """Return whether the regions are measured."""
        return {"regions": OutputState(True, None, self._measured, why="the frames are not measured")}

    def close(self) -> None:
        """End measuring."""
        self._end()


def _repeated(frame: Frame) -> bool:
    return frame.radiometry is not None and frame.radiometry.state != "normal"
