"""Report of a run's raw infrared frames: the hottest and the coldest spot, and the camera's state."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal, TypedDict

import numpy as np
from numpy.typing import NDArray

from edgefuse.frames import Correction, Frame, SensorState
from edgefuse.thermal import units
from edgefuse.thermal.emission import Conditions
from edgefuse.thermal.ffc import StallWatch, can_stall
from edgefuse.thermal.units import DegreeUnit, Unit

if TYPE_CHECKING:
    from edgefuse.thermal.spots import Spot


class SpotFacts(TypedDict):
    """A pixel of the infrared frame and its value."""

    value: float
    x: int
    y: int


class Extreme(SpotFacts):
    """frame: the name of the frame."""

    frame: str


class ThermalReport(TypedDict):
    """What `ThermalLog.report` says. unit: of the values; "" before the first one. latest: coldest and hottest of the newest frame."""

    sensor: str | None
    unit: Unit | Literal[""]
    correction: dict[str, float] | None
    coldest: Extreme | None
    hottest: Extreme | None
    latest: dict[str, SpotFacts] | None
    invalid_pixels: int
    state: SensorState
    frames_by_state: dict[str, int]
    stalls: dict[str, int]


class ThermalLog:
    """Collects statistics of raw infrared frames (uint16 (H, W)), in constant memory; ignores other frames.

    unit: of the temperatures in the report; may be changed at any time.
    """

    def __init__(self, unit: DegreeUnit = "celsius") -> None:
        self.unit = unit
        self.state: SensorState = "normal"
        self.latest: tuple[Spot, Spot] | None = None  # (coldest, hottest)
        self._degrees: bool | None = None  # whether values are degrees Celsius; None before the first
        self._correction: Correction | None = None
        self._invalid = 0
        self._sensor: str | None = None
        self._extremes: dict[str, tuple[Spot, str]] = {}
        self._frames: dict[str, int] = {"normal": 0, "calibrating": 0, "frozen": 0}
        self._stalls: dict[str, int] = {"calibrating": 0, "frozen": 0}
        self._watch = StallWatch()
        self._time_ns: int | None = None

    def add(self, frame: Frame) -> None:
        if frame.data.dtype != np.uint16 or frame.colour or frame.time_ns == self._time_ns:
            # not raw, or reused for another visible frame
            return
        self._time_ns = frame.time_ns
        # imported here, so that making a report does not load OpenCV
        from edgefuse.thermal import invalid

        counts: NDArray[Any] = frame.data
        dead = invalid.mask(counts)
        self._invalid = 0 if dead is None else int(np.count_nonzero(dead))
        law = frame.radiometry
        if law is not None:
            self._sensor = law.sensor
        reported: SensorState = law.state if law is not None else "normal"
        state = self._watch.update(frame.data, frame.time_ns, reported) if can_stall(frame) else reported
        self._frames[state] += 1
        if state not in ("normal", self.state):
            self._stalls[state] += 1
        self.state = state
        if state == "normal":
            self._spots(frame, law is not None and law.scale is not None)

    def _spots(self, frame: Frame, degrees: bool) -> None:
        correction = frame.radiometry.correction if frame.radiometry else None
        if degrees != self._degrees:
            if self._degrees:
                # counts cannot be compared with earlier temperatures
                return
            self._degrees, self._extremes = degrees, {}
        if correction != self._correction:
            # neither can temperatures of another emissivity
            self._correction, self._extremes = correction, {}
        # imported here, so that making a report does not load OpenCV
        from edgefuse.thermal.spots import spots

        self.latest = spots(frame)
        if self.latest is None:
            return
        for key, spot, sign in (("coldest", self.latest[0], -1), ("hottest", self.latest[1], 1)):
            if key not in self._extremes or sign * spot.value > sign * self._extremes[key][0].value:
                self._extremes[key] = (spot, frame.name)

    @property
    def note(self) -> str:
        """Short text about the newest frame for a progress line; empty without a raw frame."""
        if self.state != "normal":
            return f"infrared {self.state}"
        return f"hottest {units.text(self._told(self.latest[1])['value'], self._unit())}" if self.latest else ""

    def _unit(self) -> Unit:
        return self.unit if self._degrees else "counts"

    def _told(self, spot: Spot) -> SpotFacts:
        """Return a spot in the report's unit."""
        return {"value": round(units.shown(spot.value, self._unit()), 2), "x": spot.x, "y": spot.y}

    def report(self) -> ThermalReport | None:
        """Return the report, or None without a raw frame. Values in `unit`; pixels from the upper left.

        correction: emissivity and surroundings that the degrees are corrected for; None for apparent temperatures.
        """
        if self._time_ns is None:
            return None
        latest = {k: self._told(s) for k, s in zip(("coldest", "hottest"), self.latest, strict=True)} if self.latest else None
        return {
            "sensor": self._sensor,
            "unit": "" if self._degrees is None else self._unit(),
            "correction": asdict(self._correction) if isinstance(self._correction, Conditions) else None,
            "coldest": self._extreme("coldest"),
            "hottest": self._extreme("hottest"),
            "latest": latest,
            "invalid_pixels": self._invalid,
            "state": self.state,
            "frames_by_state": dict(self._frames),
            "stalls": dict(self._stalls),
        }

    def _extreme(self, key: str) -> Extreme | None:
        if key not in self._extremes:
            return None
        spot, name = self._extremes[key]
        return {**self._told(spot), "frame": name}


def thermal_text(report: ThermalReport) -> list[str]:
    """Return a report's lines of text."""
    unit, lines = report["unit"], []
    stalls = ", ".join(f"{n} x {state}" for state, n in report["stalls"].items() if n)
    if report["hottest"]:
        ends = (
            f"{units.text(one['value'], unit)} at ({one['x']}, {one['y']}) of {one['frame']}"
            for one in (report["hottest"], report["coldest"])
            if one
        )
        lines = [("hottest    ", "coldest    ")[k] + text for k, text in enumerate(ends)]
    if (c := report.get("correction")) is not None:
        air = f", {c['distance_m']:g} m of air at {c['air_celsius']:g} C, {c['humidity_percent']:g} % humidity" if c["distance_m"] else ""
        lines.append(f"infrared   degrees of emissivity {c['emissivity']:g}, reflecting {c['reflected_celsius']:g} C{air}")
    if report.get("invalid_pixels"):
        lines.append(f"infrared   {report['invalid_pixels']} pixels without a measurement in the latest frame")
    if stalls or report["state"] != "normal":
        lines.append(f"infrared   stalled: {stalls}; now {report['state']}")
    return lines
