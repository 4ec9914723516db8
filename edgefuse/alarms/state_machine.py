"""State machine that raises and clears an alarm: minimum duration, hysteresis, cooldown, and pauses while the camera is frozen."""

from __future__ import annotations

from typing import Literal

Change = Literal["raised", "cleared"]
_MAX_STEP_S = 2.0  # longest time between two frames that counts toward the duration


class AlarmStateMachine:
    """State of one alarm. Takes the readings in order; times are seconds on any clock, which may jump."""

    def __init__(self, duration_s: float, cooldown_s: float) -> None:
        """duration_s: seconds beyond the threshold without a break before the alarm is raised. cooldown_s: from clearing to the next
        raise."""
        self._duration, self._cooldown = duration_s, cooldown_s
        self.raised = False
        self._beyond_s: float | None = None  # how long the value has been beyond the threshold; None where it is not
        self._cooling_s = 0.0
        self._last_s: float | None = None
        self._held = False

    @property
    def pending(self) -> bool:
        """Beyond the threshold, but not long enough yet."""
        return not self.raised and self._beyond_s is not None

    def update(self, time_s: float, beyond: bool, back: bool) -> Change | None:
        """Process a reading and return the change, if any. beyond: past the threshold. back: past it minus hysteresis. Never both."""
        passed = self._elapsed(time_s)
        counted, self._held = 0.0 if self._held else min(passed, _MAX_STEP_S), False
        if self.raised:
            if back:
                self.raised, self._beyond_s, self._cooling_s = False, None, self._cooldown
                return "cleared"
            return None
        if not beyond:
            self._beyond_s = None
            return None
        self._beyond_s = 0.0 if self._beyond_s is None else self._beyond_s + counted
        if self._beyond_s >= self._duration and self._cooling_s <= 0:
            self.raised = True
            return "raised"
        return None

    def hold(self, time_s: float) -> None:
        """Process a missing reading (shutter closed, camera frozen): nothing changes, and the time does not count."""
        self._elapsed(time_s)
        self._held = True

    def _elapsed(self, time_s: float) -> float:
        """Return seconds since the last call; 0 where the clock went back."""
        passed = 0.0 if self._last_s is None else max(0.0, time_s - self._last_s)
        self._last_s = time_s
        self._cooling_s -= passed
        return passed
