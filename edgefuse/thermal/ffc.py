"""A thermal camera that stands still: about a second of flat-field correction, or a camera that hangs.

A camera closes its shutter every few minutes to measure its own non-uniformity. Meanwhile it repeats one frame (Lepton, TC001) or gives
none. That is a state, not a fault. A Lepton's telemetry tells it; of others it is seen by the picture: noise makes two frames of a
working sensor differ, always.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefuse.frames import SensorState

STILL_S = 0.4  # shorter than any correction, longer than the repeats of a 9 Hz sensor read at 30 Hz
FROZEN_S = 4.0  # longer than any correction


class StallWatch:
    """The state of one camera, from its frames as they come. Keeps a reference to the last one."""

    def __init__(self, still_s: float = STILL_S, frozen_s: float = FROZEN_S) -> None:
        """still_s: no new picture for so long is a stall (at least three frame intervals); frozen_s: for so long, no mere correction."""
        self._still_ns, self._frozen_ns = still_s * 1e9, frozen_s * 1e9
        self._last: NDArray[Any] | None = None
        self._fresh_ns = 0

    def see(self, data: NDArray[Any], time_ns: int, reported: SensorState = "normal") -> SensorState:
        """The state with this frame (uint8 or uint16, any shape), captured at `time_ns`; `reported`: what the sensor says itself."""
        if self._last is None or self._last.shape != data.shape or not np.array_equal(self._last, data):
            self._last, self._fresh_ns = data, time_ns
        state = self.at(time_ns)
        return reported if state == "normal" else state

    def at(self, time_ns: int) -> SensorState:
        """The state at `time_ns`, where nothing has come since the last `see`."""
        still = time_ns - self._fresh_ns if self._last is not None else 0
        return "frozen" if still >= self._frozen_ns else "calibrating" if still >= self._still_ns else "normal"
