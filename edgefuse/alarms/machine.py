"""When an alarm is raised and cleared: a minimum duration, hysteresis, a cooldown, and patience with a camera that stands still."""

from __future__ import annotations

from typing import Literal

Change = Literal["raised", "cleared"]
_STEP_S = 2.0  # no two frames vouch for more of the time between them


class Machine:
    """One alarm's memory. Told every reading in turn; times in seconds on any clock, which may jump."""

    def __init__(self, duration_s: float, cooldown_s: float) -> None:
        """duration_s: beyond the threshold without a break before it is raised. cooldown_s: from clearing to the next raise."""
        self._duration, self._cooldown = duration_s, cooldown_s
        self.raised = False
        self._beyond_s: float | None = None  # how long it has been beyond; None where it is not
        self._cooling_s = 0.0
        self._last_s: float | None = None
        self._held = False

    @property
    def pending(self) -> bool:
        """Beyond, but not for long enough yet."""
        return not self.raised and self._beyond_s is not None

    def see(self, time_s: float, beyond: bool, back: bool) -> Change | None:
        """A reading. beyond: past the threshold. back: past it by the hysteresis the other way; never both. Returns what changed."""
        passed = self._pass(time_s)
        vouched, self._held = 0.0 if self._held else min(passed, _STEP_S), False
        if self.raised:
            if back:
                self.raised, self._beyond_s, self._cooling_s = False, None, self._cooldown
                return "cleared"
            return None
        if not beyond:
            self._beyond_s = None
            return None
        self._beyond_s = 0.0 if self._beyond_s is None else self._beyond_s + vouched
        if self._beyond_s >= self._duration and self._cooling_s <= 0:
            self.raised = True
            return "raised"
        return None

    def hold(self, time_s: float) -> None:
        """There is no reading worth having (the shutter is closed, the camera hangs): nothing changes, and the time does not count."""
        self._pass(time_s)
        self._held = True

    def _pass(self, time_s: float) -> float:
        """Seconds since the last call; 0 where the clock went back."""
        passed = 0.0 if self._last_s is None else max(0.0, time_s - self._last_s)
        self._last_s = time_s
        self._cooling_s -= passed
        return passed
