"""Telemetry rows of a FLIR Lepton.

From the Lepton engineering datasheet (500-0659-00-09), tables 2 and 3: rows A, B and C of 80 words each; 32-bit values have the low
word first. A 160-pixel Lepton puts A and B side by side in one row and C in the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Ffc = Literal["never", "imminent", "running", "complete"]
_FFC: tuple[Ffc, ...] = ("never", "imminent", "running", "complete")  # status bits 4 and 5
_ROW_C = 160
_NEWEST = 64  # larger than any revision


@dataclass(frozen=True, slots=True)
class LeptonTelemetry:
    """Telemetry of one frame.

    revision: (major, minor). time_ms: since the sensor started. frame: frame counter at 27 Hz (exported sensors repeat frames between new
    ones). ffc: state of the flat-field correction. fpa_celsius: the sensor's own temperature. agc: the counts are 8-bit, from the
    sensor's gain control. tlinear: kelvin per count; None where counts are not temperatures.
    """

    revision: tuple[int, int]
    time_ms: int
    frame: int
    ffc: Ffc
    fpa_celsius: float
    agc: bool
    tlinear: float | None

    @property
    def calibrating(self) -> bool:
        """Whether the shutter is closed."""
        return self.ffc == "running"


def parse(rows: NDArray[np.uint16]) -> LeptonTelemetry | None:
    """Parse telemetry rows, uint16 (2, 160) or (3, 80). Returns None where they cannot be telemetry."""
    words: NDArray[Any] = rows.reshape(-1)
    fpa_celsius = round(int(words[24]) / 100 - 273.15, 2)
    # the sensor is specified from -40 to 80 degrees C; far outside, the rows are picture or garbage
    if words[0] == 0 or not -60 <= fpa_celsius <= 130:
        return None
    # picture rows can pass for a temperature; flags that are 0 or 1 and a revision of two small numbers tell telemetry
    if words[_ROW_C + 48] > 1 or words[_ROW_C + 49] > 1 or words[0] >> 8 > _NEWEST or words[0] & 255 > _NEWEST:
        return None
    status = _long(words, 3)
    agc = bool(status >> 12 & 1)
    linear = not agc and words[_ROW_C + 48] == 1 and words[_ROW_C + 49] <= 1
    return LeptonTelemetry(
        revision=(int(words[0]) >> 8, int(words[0]) & 255),
        time_ms=_long(words, 1),
        frame=_long(words, 20),
        ffc=_FFC[status >> 4 & 3],
        fpa_celsius=fpa_celsius,
        agc=agc,
        tlinear=(0.01 if words[_ROW_C + 49] else 0.1) if linear else None,
    )


def _long(words: NDArray[Any], at: int) -> int:
    return int(words[at]) | int(words[at + 1]) << 16
