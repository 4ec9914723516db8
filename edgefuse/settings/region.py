"""[region.NAME]: a point, line, rectangle or polygon of the infrared frame that is measured (docs/reference/thermal.md)."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgefuse.util import shape


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionSettings:
    """Settings of one region. Field names are the settings file's keys."""

    shape: str = field(
        metadata={
            "help": "X,Y for a point, two of them for a line, more for a polygon, WIDTHxHEIGHT+X+Y for a rectangle; in infrared pixels, "
            "or all in percent, such as 50%,50%"
        }
    )

    def __post_init__(self) -> None:
        shape.parse(self.shape)
