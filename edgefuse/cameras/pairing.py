"""Which visible frame belongs to which infrared frame: by capture time alone. No clock, no thread and no camera in here.

Two ways. Held (the default): the camera of the higher rate leads, and each of its frames goes with the nearest frame of the other, which
is held and used again until it is too old. Fresh: a frame is used once, and only two frames that are each other's nearest make a pair.
"""

from __future__ import annotations

import statistics
from collections import deque
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from edgefuse.frames import Modality

_OTHER: dict[Modality, Modality] = {"visible": "infrared", "infrared": "visible"}
DEFAULT_SKEW_MS = 150.0  # longer than the 115 ms between two frames of an 8.7 Hz camera
_INTERVALS = 15  # the last ones, whose median is a camera's rate
_FASTER = 0.8  # another camera leads where its interval is below this share of the leading one's


class Holdable(Protocol):
    """What is paired. It counts who has hold of it: the pairing from `add`, and whoever takes a match, once a match."""

    def hold(self) -> None: ...

    def settle(self, cause: str | None) -> None:
        """A holder lets go. cause: why it made nothing of it, "" where it leaves that to others."""


T = TypeVar("T", bound=Holdable)


@dataclass(frozen=True, slots=True)
class Match(Generic[T]):
    """Frames of one moment; one of them None where its camera is absent. skew_ns: the visible one's time less the infrared one's.
    held: whose frame was in a match before; None where both are fresh."""

    visible: T | None
    infrared: T | None
    skew_ns: int = 0
    held: Modality | None = None


@dataclass(slots=True)
class _Side(Generic[T]):
    """One camera: `waiting` frames (time, frame), oldest first; the `held` one, last used."""

    waiting: deque[tuple[int, T]] = field(default_factory=deque)
    held: tuple[int, T] | None = None
    last_ns: int | None = None
    intervals: deque[int] = field(default_factory=lambda: deque(maxlen=_INTERVALS))
    used: bool = False

    @property
    def interval_ns(self) -> float | None:
        return statistics.median(self.intervals) if self.intervals else None

    def release(self) -> None:
        """Let go of the held frame."""
        if self.held is not None:
            self.held[1].settle("" if self.used else "outrun")
            self.held, self.used = None, False


class Pairing(Generic[T]):
    """Feed it with `add`, then `take` until None. At most `keep` frames of a camera wait; the oldest give way.

    Causes that frames are settled with: "late" (not newer than its camera's last), "unmatched" (nothing within `max_skew_ns`), "outrun"
    (the other camera is slower, and a nearer frame took the place), and what `clear` is told.
    """

    def __init__(self, max_skew_ns: int, fresh: bool = False, keep: int = 8) -> None:
        self._max_skew, self._fresh, self._keep = max_skew_ns, fresh, keep
        self._sides: dict[Modality, _Side[T]] = {"visible": _Side(), "infrared": _Side()}
        self._leader: Modality = "visible"
        self._absent: Modality | None = None

    def add(self, side: Modality, time_ns: int, item: T) -> None:
        """A frame was captured at `time_ns`. The pairing has hold of it now."""
        s = self._sides[side]
        if s.last_ns is not None:
            if time_ns <= s.last_ns:
                item.settle("late")
                return
            s.intervals.append(time_ns - s.last_ns)
        s.last_ns = time_ns
        s.waiting.append((time_ns, item))
        if len(s.waiting) > self._keep:
            s.waiting.popleft()[1].settle("unmatched")

    def absent(self, side: Modality | None) -> None:
        """Frames of the other camera now match alone; None: none do."""
        self._absent = side

    def forget(self, side: Modality) -> None:
        """A camera went away: its frames, its rate and its clock count no more."""
        self._drop_all(self._sides[side], "unmatched")
        self._sides[side] = _Side()

    def clear(self, cause: str) -> None:
        """Let go of everything that never made a pair, for `cause`."""
        for side in self._sides.values():
            self._drop_all(side, cause)

    def take(self) -> Match[T] | None:
        """The next match, oldest first; None where more frames are needed."""
        if self._absent is not None:
            return self._alone(_OTHER[self._absent])
        return self._take_fresh() if self._fresh else self._take_held()

    def _drop_all(self, side: _Side[T], cause: str) -> None:
        side.release()
        while side.waiting:
            side.waiting.popleft()[1].settle(cause)

    def _alone(self, side: Modality) -> Match[T] | None:
        s = self._sides[side]
        if not s.waiting:
            return None
        item = s.waiting.popleft()[1]
        item.hold()
        item.settle("")
        return Match(item, None) if side == "visible" else Match(None, item)

    def _match(self, one: Modality, first: tuple[int, T], second: tuple[int, T], again: bool) -> Match[T]:
        """Of `one`'s `first` and the other camera's `second`, which was used before where `again`."""
        first[1].hold()
        second[1].hold()
        other = _OTHER[one]
        visible, infrared = (first, second) if one == "visible" else (second, first)
        return Match(visible[1], infrared[1], visible[0] - infrared[0], other if again else None)

    def _take_held(self) -> Match[T] | None:
        self._choose_leader()
        leader, other = self._sides[self._leader], self._sides[_OTHER[self._leader]]
        # frames that the leader held when it was not leading
        leader.release()
        while leader.waiting:
            time_ns, item = leader.waiting[0]
            while other.waiting and (other.held is None or abs(other.waiting[0][0] - time_ns) <= abs(other.held[0] - time_ns)):
                other.release()
                other.held = other.waiting.popleft()
            if self._worth_waiting(leader, other, time_ns):
                return None
            leader.waiting.popleft()
            if other.held is None or abs(time_ns - other.held[0]) > self._max_skew:
                item.settle("unmatched")
                continue
            match = self._match(self._leader, (time_ns, item), other.held, other.used)
            other.used = True
            item.settle("")
            return match
        return None

    def _choose_leader(self) -> None:
        visible, infrared = (self._sides[m].interval_ns for m in ("visible", "infrared"))
        if visible and infrared:
            if infrared < _FASTER * visible:
                self._leader = "infrared"
            elif visible < _FASTER * infrared:
                self._leader = "visible"

    def _worth_waiting(self, leader: _Side[T], other: _Side[T], time_ns: int) -> bool:
        """Is a nearer frame of the other camera on its way? Waited for until the leading camera's next frame, no longer."""
        if other.waiting or len(leader.waiting) > 1:
            return False
        if other.held is None or abs(time_ns - other.held[0]) > self._max_skew:
            return True
        if other.interval_ns is None or leader.interval_ns is None:
            return False
        next_ns = other.held[0] + other.interval_ns
        return abs(next_ns - time_ns) < abs(time_ns - other.held[0]) and next_ns <= time_ns + leader.interval_ns / 2

    def _take_fresh(self) -> Match[T] | None:
        visible, infrared = self._sides["visible"], self._sides["infrared"]
        while visible.waiting and infrared.waiting:
            one: Modality = "visible" if visible.waiting[0][0] <= infrared.waiting[0][0] else "infrared"
            earlier, later = (visible, infrared) if one == "visible" else (infrared, visible)
            (time_ns, item), (later_ns, partner) = earlier.waiting[0], later.waiting[0]
            skew = later_ns - time_ns
            if skew > self._max_skew:
                earlier.waiting.popleft()
                item.settle("unmatched")
                continue
            if len(earlier.waiting) > 1:
                if abs(earlier.waiting[1][0] - later_ns) <= skew:
                    earlier.waiting.popleft()
                    item.settle("outrun")
                    continue
            elif self._next_is_nearer(earlier.interval_ns, skew, later.waiting[-1][0] - time_ns):
                return None
            earlier.waiting.popleft()
            later.waiting.popleft()
            match = self._match(one, (time_ns, item), (later_ns, partner), False)
            item.settle("")
            partner.settle("")
            return match
        return None

    @staticmethod
    def _next_is_nearer(interval_ns: float | None, skew_ns: int, passed_ns: int) -> bool:
        """Will a camera's next frame be nearer than the one at `skew_ns` before? Not where it should have come long ago."""
        if interval_ns is None:
            return skew_ns > 0
        return skew_ns > interval_ns / 2 and passed_ns < 2 * interval_ns
