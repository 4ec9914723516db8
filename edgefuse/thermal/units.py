"""Units in which an infrared camera's values are shown: degrees Celsius or Fahrenheit, or counts where the conversion is unknown."""

from __future__ import annotations

from typing import Literal

DegreeUnit = Literal["celsius", "fahrenheit"]
Unit = Literal["celsius", "fahrenheit", "counts"]
SIGNS: dict[str, str] = {"celsius": "°C", "fahrenheit": "°F"}


def shown(celsius: float, unit: Unit) -> float:
    """Return a temperature in degrees Celsius in another unit of degrees."""
    return celsius * 1.8 + 32 if unit == "fahrenheit" else celsius


def celsius_of(value: float, unit: Unit | Literal[""]) -> float:
    """Return degrees Celsius of a temperature in a unit of degrees: the inverse of `shown`."""
    return (value - 32) / 1.8 if unit == "fahrenheit" else value


def text(value: float, unit: str) -> str:
    """Return a value of a unit for a line of text."""
    return f"{value:.1f} {unit[0].upper()}" if unit in SIGNS else f"{value:.0f} counts"
