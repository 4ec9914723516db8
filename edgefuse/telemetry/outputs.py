"""Finds the outputs of a run that are wanted and have not worked for 30 seconds: a recording, the stream, MQTT, the page, a sink."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edgefuse.events import OutputState
from edgefuse.telemetry.report_types import OutputReport

__all__ = ["FAILING_S", "OutputState", "OutputWatch"]

FAILING_S = 30.0


@dataclass(slots=True)
class _Known:
    state: OutputState
    worked_at: float
    failing: bool = False


class OutputWatch:
    """Follows the outputs' states. `update` is for one thread; `failing` and `report` for any."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """clock: monotonic seconds."""
        self._clock = clock
        self._known: dict[str, _Known] = {}
        self._frames, self._looked_at = -1, clock()

    def update(self, states: Mapping[str, OutputState], frames: int) -> list[tuple[str, bool]]:
        """Take the states of all outputs. frames: the run's frames so far; while there are none, no output can make progress.

        Returns (name, whether it fails now) of the outputs that began to fail or work again.
        """
        now = self._clock()
        known: dict[str, _Known] = {}
        changes = []
        for name, state in states.items():
            one = self._known.get(name) or _Known(state, now)
            if not state.wanted or self._worked(one, state):
                one.worked_at = now
            elif state.works is None and frames == self._frames:
                # the time without frames doesn't count against it
                one.worked_at = min(now, one.worked_at + now - self._looked_at)
            one.state, known[name] = state, one
            if (fails := now - one.worked_at >= FAILING_S) != one.failing:
                one.failing = fails
                changes.append((name, fails))
        self._known, self._frames, self._looked_at = known, frames, now
        return changes

    @staticmethod
    def _worked(one: _Known, state: OutputState) -> bool:
        return state.done != one.state.done if state.works is None else state.works

    @property
    def failing(self) -> dict[str, str]:
        """The outputs that fail -> a text with their cause."""
        now = self._clock()
        texts = {}
        for name, one in self._known.items():
            if one.failing:
                cause = f": {one.state.why}" if one.state.why else ""
                texts[name] = f"{name} has not worked for {now - one.worked_at:.0f} s{cause}"
        return texts

    def report(self) -> dict[str, OutputReport]:
        """Return, for each output: wanted, failing, and the number of unexpected errors."""
        return {name: {"wanted": one.state.wanted, "failing": one.failing, "faults": one.state.faults} for name, one in self._known.items()}
