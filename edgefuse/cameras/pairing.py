"""Pairs visible and infrared frames by capture time alone, without clocks, threads or cameras.

There are two modes. Held (the default): the faster camera leads, and each of its frames is paired with the nearest frame of the other,
which is reused until it is too old. Fresh: each frame is used once, and only frames that are each other's nearest are paired.
"""

from __future__ import annotations

import statistics
from collections import deque
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from edgefuse.frames import Modality

_OTHER: dict[Modality, Modality] = {"visible": "infrared", "infrared": "visible"}
DEFAULT_SKEW_MS = 150.0  # longer than the 115 ms between two frames of an 8.7 Hz camera
_INTERVALS = 15  # intervals whose median is a camera's rate
_FASTER = 0.8  # the other camera takes the lead where its interval is below this fraction of the leading one's


class Holdable(Protocol):
    """A reference-counted frame. The pairing is a holder from `add` on, and the receiver of a match once per match."""

    def hold(self) -> None: ...

    def settle(self, cause: str | None) -> None:
        """Release a holder. cause: why the frame was not used, "" to leave that to the other holders."""


T = TypeVar("T", bound=Holdable)


@dataclass(frozen=True, slots=True)
class Match(Generic[T]):
    """Frames of one moment; one is None where its camera is absent.

    skew_ns: visible time minus infrared time. held: the camera whose frame was in an earlier match; None where both are new.
    """

    visible: T | None
    infrared: T | None
    skew_ns: int = 0
    held: Modality | None = None


@dataclass(slots=True)
class _Side(Generic[T]):
    """One camera: `waiting` frames (time, frame), oldest first, and the `held` one, used last."""

    waiting: deque[tuple[int, T]] = field(default_factory=deque)
    held: tuple[int, T] | None = None
    last_ns: int | None = None
    intervals: deque[int] = field(default_factory=lambda: deque(maxlen=_INTERVALS))
    used: bool = False

    @property
    def interval_ns(self) -> float | None:
        return statistics.median(self.intervals) if self.intervals else None

    def release(self) -> None:
        """Release the held frame."""
        if self.held is not None:
            self.held[1].settle("" if self.used else "outrun")
            self.held, self.used = None, False


class Pairing(Generic[T]):
    """Pairs frames: call `add`, then `take` until None. At most `keep` frames per camera wait; older ones are dropped.

    Causes with which frames are settled: "late" (not newer than its camera's last), "unmatched" (none within `max_skew_ns`), "outrun"
    (a nearer frame was used), and the argument of `clear`.
    """

    def __init__(self, max_skew_ns: int, fresh: bool = False, keep: int = 8) -> None:
        self._max_skew, self._fresh, self._keep = max_skew_ns, fresh, keep
        self._sides: dict[Modality, _Side[T]] = {"visible": _Side(), "infrared": _Side()}
        self._leader: Modality = "visible"
        self._absent: Modality | None = None

    def add(self, side: Modality, time_ns: int, item: T) -> None:
        """Add a frame captured at `time_ns`; the pairing takes over its holder."""
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

    def set_absent(self, side: Modality | None) -> None:
        """Match the other camera's frames alone from now on; None ends that."""
        self._absent = side

    def forget(self, side: Modality) -> None:
        """Forget a camera's frames, rate and clock after it went away."""
        self._drop_all(self._sides[side], "unmatched")
        self._sides[side] = _Side()

    def clear(self, cause: str) -> None:
        """Settle all waiting frames with `cause`."""
        for side in self._sides.values():
            self._drop_all(side, cause)

    def take(self) -> Match[T] | None:
        """Return the next match, oldest first; None where more frames are needed."""
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
        """Make a match of camera `one`'s frame and the other's; `again`: the second was used before."""
        first[1].hold()
        second[1].hold()
        other = _OTHER[one]
        visible, infrared = (first, second) if one == "visible" else (second, first)
        return Match(visible[1], infrared[1], visible[0] - infrared[0], other if again else None)

    def _take_held(self) -> Match[T] | None:
        self._choose_leader()
        leader, other = self._sides[self._leader], self._sides[_OTHER[self._leader]]
        # held while this camera was not leading
        leader.release()
        while leader.waiting:
            time_ns, item = leader.waiting[0]
            while other.waiting and (other.held is None or abs(other.waiting[0][0] - time_ns) <= abs(other.held[0] - time_ns)):
                other.release()
                other.held = other.waiting.popleft()
            if self._should_wait(leader, other, time_ns):
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

    def _should_wait(self, leader: _Side[T], other: _Side[T], time_ns: int) -> bool:
        """Whether to wait for a nearer frame of the other camera; at most until the leading camera's next frame."""
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
        """Whether a camera's next frame will be nearer than the one `skew_ns` before. False where it is long overdue."""
        if interval_ns is None:
            return skew_ns > 0
        return skew_ns > interval_ns / 2 and passed_ns < 2 * interval_ns
