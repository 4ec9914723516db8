"""Conversion of other clocks to the monotonic one: a stream's timestamps, and the time since boot."""

from __future__ import annotations

import time
from collections import deque

_WINDOW = 128  # frames
_SETTLED_NS = 1_000_000_000  # of stream time; what was buffered during opening has been read by then
_DRIFT = 0.005  # relative to time; beyond it the timestamps are a frame counter, not a clock
_JITTER_NS = 60_000_000
_GAPS = 64  # number of arrivals averaged for the interval, accurate to 0.5 %
_GROWTH = 1.01  # factor per frame, so that a longer interval is followed
_REGULAR = 1.6  # in intervals; a longer gap means a skipped frame
_TOLERANCE = 0.05  # relative difference allowed between a window's halves
_RECOVERY_NS = 60_000_000_000  # without a sign of a wrong clock, until the timestamps are used again
_MOST_BAD, _BAD_SHARE = 2, 0.1  # timestamps of a window that may be missing or not later than the one before


class StreamClock:
    """Derives capture times from a stream's timestamps and its frames' arrival times.

    A frame arrives late by the network's delay, never early, so the smallest difference over the last frames relates the two clocks and
    removes jitter. The smallest latency remains, because no receiver can measure it. A frame without a timestamp, or with one that isn't
    later than the one before (packets were lost, the camera restarted its clock), comes one interval after the one before. A stream in
    which that is common, or whose timestamps run at another speed, is timed by smoothed arrival times until a minute after the last sign
    of it: cameras are regular, networks delay.
    """

    def __init__(self) -> None:
        self._offsets: deque[tuple[int, int]] = deque(maxlen=_WINDOW)  # arrival, arrival - stream
        self._bad: deque[bool] = deque(maxlen=_WINDOW)  # whether a frame had no usable timestamp
        self._last: int | None = None  # stream time
        self._step = 0  # between the last two stream times
        self._captured: int | None = None
        self._first_arrival: int | None = None
        self._arrival = 0
        self._doubted: int | None = None  # last arrival with a sign of a wrong clock
        self._gaps: deque[int] = deque(maxlen=_GAPS)
        self._evened: int | None = None
        self.reliable = True

    @property
    def settled(self) -> bool:
        """Whether enough frames were seen for `capture_ns` to be consistent from now on."""
        return self._first_arrival is not None and self._arrival - self._first_arrival >= _SETTLED_NS

    def capture_ns(self, stream_ns: int | None, arrival_ns: int) -> int:
        """Return the capture time of a frame with stream time `stream_ns` that arrived at `arrival_ns` (monotonic)."""
        if self._first_arrival is None:
            self._first_arrival = arrival_ns
        else:
            self._gaps.append(arrival_ns - self._arrival)
        self._arrival = arrival_ns
        known = self._accept(stream_ns, arrival_ns)
        bad = sum(self._bad)
        if (bad > _MOST_BAD and bad > _BAD_SHARE * len(self._bad)) or self._drifts():
            self._doubted = arrival_ns
        self.reliable = self._doubted is None or arrival_ns - self._doubted > _RECOVERY_NS
        evened = self._even(arrival_ns)
        if not self.reliable:
            made = evened
        elif known and stream_ns is not None:
            made = stream_ns + min(offset for _, offset in self._offsets)
        else:
            made = min(arrival_ns, self._captured + self._step) if self._captured is not None and self._step else evened
        self._captured = made
        return made

    def _accept(self, stream_ns: int | None, arrival_ns: int) -> bool:
        """Remember a timestamp. Returns whether it tells this frame's time."""
        later = stream_ns is not None and (self._last is None or stream_ns > self._last)
        self._bad.append(not later)
        if stream_ns is None or stream_ns == self._last:
            return False
        if not later:
            # the camera's clock began anew: what came before says nothing about it
            self._offsets.clear()
        elif self._last is not None:
            self._step = stream_ns - self._last
        self._last = stream_ns
        self._offsets.append((arrival_ns, arrival_ns - stream_ns))
        return later

    def _even(self, arrival_ns: int) -> int:
        """Return the smoothed arrival time: one interval after the previous one, at most half an interval before the actual arrival.

        A camera that skipped a frame or changed its rate is regular again only after a window.
        """
        made = arrival_ns
        if self._evened is not None and len(self._gaps) == _GAPS:
            gaps = list(self._gaps)
            early, late = sum(gaps[: _GAPS // 2]), sum(gaps[_GAPS // 2 :])
            interval = (early + late) / _GAPS
            if max(gaps) < _REGULAR * interval and abs(late - early) < _TOLERANCE * early:
                made = min(arrival_ns, max(self._evened + round(_GROWTH * interval), arrival_ns - round(interval / 2)))
        self._evened = made
        return made

    def _drifts(self) -> bool:
        """Whether the smallest differences in the window's thirds go steadily one way, by more than jitter and clock error explain.

        One step of the latency (another route, a receiver that had no processor time) is not drift. Nor is a latency that only decreases
        in the first second, when buffered frames arrive faster than they were sent.
        """
        entries = list(self._offsets)
        change = _steady_change(entries)
        if change < 0 and self._first_arrival is not None:
            begin = self._first_arrival + _SETTLED_NS
            change = _steady_change([entry for entry in entries if entry[0] >= begin])
        return change != 0


def _steady_change(entries: list[tuple[int, int]]) -> int:
    """Return the drift of the smallest differences over three parts of `entries` (arrival, arrival - stream); 0 if it is not steady."""
    part = len(entries) // 3
    if part < 6:
        return 0
    early, middle, late = (min(offset for _, offset in some) for some in (entries[:part], entries[part:-part], entries[-part:]))
    first, second = middle - early, late - middle
    if first * second <= 0 or min(abs(first), abs(second)) < max(abs(first), abs(second)) / 4:
        return 0
    change = first + second
    return change if abs(change) > _JITTER_NS + _DRIFT * (entries[-1][0] - entries[0][0]) else 0


def from_boottime(boottime_ns: int) -> int:
    """Convert a time since boot (CLOCK_BOOTTIME, which runs during suspend) to the monotonic clock, which does not."""
    before = time.monotonic_ns()
    boot = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    after = time.monotonic_ns()
    return boottime_ns - boot + (before + after) // 2
