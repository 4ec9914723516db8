"""Other clocks to the monotonic one: a stream's timestamps, the time since boot."""

from __future__ import annotations

import time
from collections import deque

_WINDOW = 128  # frames
_SETTLED_NS = 1_000_000_000  # of stream: what was buffered while it was opened has been read by then
_DRIFT = 0.005  # more than this share is no clock but a counter
_JITTER_NS = 60_000_000
_GAPS = 64  # between arrivals, whose mean is the interval, to half of its hundredth part
_STRETCH = 1.01  # of the interval, so that a longer one is followed
_REGULAR = 1.6  # intervals: a longer gap is a frame left out
_ALIKE = 0.05  # share by which a window's halves may differ


class StreamClock:
    """Capture times from a stream's own timestamps and the times its frames arrived.

    A frame arrives late by what the network held it, never early: the least difference of the last frames ties the two clocks together,
    and the network's jitter falls out. What stays is the least latency, which no receiver can know. A stream whose timestamps are
    missing, go backwards or run at another speed than time does is timed by arrival, evened out: cameras are regular, networks are late.
    """

    def __init__(self) -> None:
        self._offsets: deque[tuple[int, int]] = deque(maxlen=_WINDOW)  # arrival, arrival - stream
        self._last: int | None = None
        self._first_arrival: int | None = None
        self._gaps: deque[int] = deque(maxlen=_GAPS)
        self._evened: int | None = None
        self.reliable = True

    @property
    def settled(self) -> bool:
        """Enough was seen for `capture_ns` to be one scale from now on."""
        return self._first_arrival is not None and self._elapsed >= _SETTLED_NS

    @property
    def _elapsed(self) -> int:
        return self._offsets[-1][0] - self._first_arrival if self._offsets and self._first_arrival is not None else 0

    def capture_ns(self, stream_ns: int | None, arrival_ns: int) -> int:
        """The capture time of the frame that arrived at `arrival_ns` (monotonic) with `stream_ns` on the stream's own clock."""
        if self._first_arrival is None:
            self._first_arrival = arrival_ns
        if stream_ns is None or (self._last is not None and stream_ns <= self._last):
            self.reliable = False
        self._last = stream_ns
        if self._offsets:
            self._gaps.append(arrival_ns - self._offsets[-1][0])
        self._offsets.append((arrival_ns, arrival_ns - (stream_ns or 0)))
        if self.reliable and self._drifts():
            self.reliable = False
        evened = self._even(arrival_ns)
        if not self.reliable or stream_ns is None:
            return evened
        return stream_ns + min(offset for _, offset in self._offsets)

    def _even(self, arrival_ns: int) -> int:
        """When the frame would have arrived, had it come an interval after the one before; half an interval earlier at most. A camera that
        left out a frame, or changed its rate, is not regular until a window later."""
        made = arrival_ns
        if self._evened is not None and len(self._gaps) == _GAPS:
            gaps = list(self._gaps)
            early, late = sum(gaps[: _GAPS // 2]), sum(gaps[_GAPS // 2 :])
            interval = (early + late) / _GAPS
            if max(gaps) < _REGULAR * interval and abs(late - early) < _ALIKE * early:
                made = min(arrival_ns, max(self._evened + round(_STRETCH * interval), arrival_ns - round(interval / 2)))
        self._evened = made
        return made

    def _drifts(self) -> bool:
        """Do the least differences of the window's halves part by more than jitter and a clock's error explain?"""
        half = len(self._offsets) // 2
        if half < 8:
            return False
        entries = list(self._offsets)
        early, late = entries[:half], entries[half:]
        apart = min(o for _, o in late) - min(o for _, o in early)
        # at first only lateness wears off, which is no drift
        if apart < 0 and not self.settled:
            return False
        return abs(apart) > _JITTER_NS + _DRIFT * (late[-1][0] - early[0][0])


def from_boottime(boottime_ns: int) -> int:
    """A time since boot (CLOCK_BOOTTIME, which runs on in suspend) on the monotonic clock, which does not."""
    before = time.monotonic_ns()
    boot = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    after = time.monotonic_ns()
    return boottime_ns - boot + (before + after) // 2
