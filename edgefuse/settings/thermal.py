"""[thermal]: conversion of the infrared camera's counts to degrees, and their unit (docs/reference/thermal.md)."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgefuse.errors import SettingsError
from edgefuse.thermal.emission import LEAST_TRANSMITTANCE, Conditions, transmittance
from edgefuse.thermal.units import DegreeUnit


@dataclass(frozen=True, slots=True, kw_only=True)
class ThermalSettings:
    """Settings of the infrared camera's temperatures. Field names are the settings file's keys."""

    unit: DegreeUnit = field(
        default="celsius",
        metadata={"help": "unit of the temperatures shown: celsius or fahrenheit; each alarm states its own", "option": "unit"},
    )
    emissivity: float = field(
        default=1.0,
        metadata={
            "help": "emissivity of what is looked at, from 8 to 14 micrometres; 1 shows apparent temperatures",
            "min": 0.1,
            "max": 1.0,
            "option": "emissivity",
            "metavar": "SHARE",
        },
    )
    reflected_celsius: float = field(
        default=20.0,
        metadata={
            "help": "temperature in degrees Celsius of what is mirrored: the room, or a clear sky at about -40",
            "min": -100.0,
            "max": 1000.0,
            "option": "reflected-celsius",
            "metavar": "DEGREES",
        },
    )
    distance_m: float = field(
        default=0.0,
        metadata={
            "help": "metres of air before what is looked at; 0 for none",
            "min": 0,
            "max": 500.0,
            "option": "distance-m",
            "metavar": "METRES",
        },
    )
    air_celsius: float = field(default=20.0, metadata={"help": "temperature of that air in degrees Celsius", "min": -40.0, "max": 60.0})
    humidity_percent: float = field(default=50.0, metadata={"help": "relative humidity of that air in percent", "min": 0, "max": 100.0})

    def __post_init__(self) -> None:
        passing = transmittance(self.distance_m, self.air_celsius, self.humidity_percent)
        if passing < LEAST_TRANSMITTANCE:
            raise SettingsError(
                f"{self.distance_m:g} m of air at {self.air_celsius:g} degrees Celsius and {self.humidity_percent:g} % humidity pass "
                f"{max(passing, 0):.0%} of the radiation, for which there is no model; give a smaller distance_m, or 0"
            )

    @property
    def conditions(self) -> Conditions | None:
        """Return the correction that is asked for; None where apparent temperatures are."""
        if self.emissivity == 1 and self.distance_m == 0:
            return None
        return Conditions(self.emissivity, self.reflected_celsius, self.distance_m, self.air_celsius, self.humidity_percent)
