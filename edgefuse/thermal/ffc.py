"""Detects a thermal camera that repeats its picture: about a second of flat-field correction, or a frozen camera.

A camera closes its shutter every few minutes to measure its own non-uniformity. Meanwhile it repeats one frame (Lepton, TC001) or
sends none. That is a state, not a fault. A Lepton reports it in its telemetry; other cameras are recognised by identical frames,
because noise makes any two frames of a working sensor differ. That holds for a sensor's own counts alone: a video decoder repeats a
picture exactly while nothing moves, and so does a camera whose noise reduction or black level leaves no noise.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefuse.frames import Frame, SensorState
from edgefuse.thermal import supported_cameras

STILL_S = 0.4  # shorter than any correction, longer than the repeats of a 9 Hz sensor read at 30 Hz
FROZEN_S = 4.0  # longer than any correction


def can_stall(frame: Frame) -> bool:
    """Return whether identical frames like this one mean a closed shutter: counts of a sensor that has one."""
    law = frame.radiometry
    return law is not None and frame.data.dtype == np.uint16 and supported_cameras.has_shutter(law.sensor)


class StallWatch:
    """State of one camera, derived from its frames. Keeps a reference to the last one."""

    def __init__(self, still_s: float = STILL_S, frozen_s: float = FROZEN_S) -> None:
        """still_s: time without a new picture that counts as a stall (at least three frame intervals). frozen_s: time that exceeds a
        correction."""
        self._still_ns, self._frozen_ns = still_s * 1e9, frozen_s * 1e9
        self._last: NDArray[Any] | None = None
        self._fresh_ns = 0

    def update(self, data: NDArray[Any], time_ns: int, reported: SensorState = "normal") -> SensorState:
        """Return the state with this frame (uint8 or uint16, any shape), captured at `time_ns`. reported: the sensor's own state."""
        if self._last is None or self._last.shape != data.shape or not np.array_equal(self._last, data):
            self._last, self._fresh_ns = data, time_ns
        state = self.at(time_ns)
        return reported if state == "normal" else state

    def at(self, time_ns: int) -> SensorState:
        """Return the state at `time_ns` if no frame has come since the last `update`."""
        still = time_ns - self._fresh_ns if self._last is not None else 0
        return "frozen" if still >= self._frozen_ns else "calibrating" if still >= self._still_ns else "normal"
