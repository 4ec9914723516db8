"""What a run saw in its raw infrared frames: the hottest and the coldest spot, and the camera's state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from edgefuse.frames import Frame, SensorState
from edgefuse.thermal.ffc import StallWatch

if TYPE_CHECKING:
    from edgefuse.thermal.spots import Spot


class ThermalLog:
    """Told each pair's infrared frame; frames that are not raw (uint16 (H, W)) are left alone. Memory use is constant."""

    def __init__(self) -> None:
        self.state: SensorState = "normal"
        self.latest: tuple[Spot, Spot] | None = None  # (coldest, hottest)
        self._unit = ""
        self._sensor: str | None = None
        self._extremes: dict[str, tuple[Spot, str]] = {}
        self._frames: dict[str, int] = {"normal": 0, "calibrating": 0, "frozen": 0}
        self._stalls: dict[str, int] = {"calibrating": 0, "frozen": 0}
        self._watch = StallWatch()
        self._time_ns: int | None = None

    def add(self, frame: Frame) -> None:
        if frame.data.dtype != np.uint16 or frame.colour or frame.time_ns == self._time_ns:
            # no counts, or held over for another visible frame
            return
        self._time_ns = frame.time_ns
        law = frame.radiometry
        if law is not None:
            self._sensor = law.sensor
        # pictures of which nothing is known may well be alike
        state = self._watch.see(frame.data, frame.time_ns, law.state) if law else "normal"
        self._frames[state] += 1
        if state not in ("normal", self.state):
            self._stalls[state] += 1
        self.state = state
        if state == "normal":
            self._spots(frame, law is not None and law.scale is not None)

    def _spots(self, frame: Frame, degrees: bool) -> None:
        unit = "celsius" if degrees else "counts"
        if unit != self._unit:
            if self._unit == "celsius":
                # counts can't be compared with what was seen in degrees
                return
            self._unit, self._extremes = unit, {}
        # OpenCV is not to be loaded by who only wants a report
        from edgefuse.thermal.spots import spots

        self.latest = spots(frame)
        if self.latest is None:
            return
        for key, spot, sign in (("coldest", self.latest[0], -1), ("hottest", self.latest[1], 1)):
            if key not in self._extremes or sign * spot.value > sign * self._extremes[key][0].value:
                self._extremes[key] = (spot, frame.name)

    @property
    def note(self) -> str:
        """The newest frame in a few words, for a progress line; empty where there was no raw one."""
        if self.state != "normal":
            return f"infrared {self.state}"
        return f"hottest {_figure(asdict(self.latest[1]), self._unit)}" if self.latest else ""

    def report(self) -> dict[str, Any] | None:
        """None where there was no raw frame. Values in degrees Celsius (`unit` "celsius") or counts; pixels from the upper left."""
        if self._time_ns is None:
            return None
        latest = {k: asdict(s) for k, s in zip(("coldest", "hottest"), self.latest, strict=True)} if self.latest else None
        return {
            "sensor": self._sensor,
            "unit": self._unit,
            "coldest": self._extreme("coldest"),
            "hottest": self._extreme("hottest"),
            "latest": latest,
            "state": self.state,
            "frames_by_state": dict(self._frames),
            "stalls": dict(self._stalls),
        }

    def _extreme(self, key: str) -> dict[str, Any] | None:
        if key not in self._extremes:
            return None
        spot, name = self._extremes[key]
        return asdict(spot) | {"frame": name}


def thermal_text(report: Mapping[str, Any]) -> list[str]:
    """A report's lines for people."""
    unit, lines = report["unit"], []
    stalls = ", ".join(f"{n} x {state}" for state, n in report["stalls"].items() if n)
    if report["hottest"]:
        ends = (
            f"{_figure(report[k], unit)} at ({report[k]['x']}, {report[k]['y']}) of {report[k]['frame']}" for k in ("hottest", "coldest")
        )
        lines = [("hottest    ", "coldest    ")[k] + text for k, text in enumerate(ends)]
    if stalls or report["state"] != "normal":
        lines.append(f"infrared   stood still: {stalls}; now {report['state']}")
    return lines


def _figure(spot: Mapping[str, Any], unit: str) -> str:
    return f"{spot['value']:.1f} C" if unit == "celsius" else f"{spot['value']:.0f} counts"
