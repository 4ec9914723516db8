"""Joins the detections of successive frames to tracks, each with a number that stays.

A track predicts its box from its speed. Detections and tracks are matched greedily, the largest overlap first, then the nearest. A track is
reported once it was seen in `_CONFIRMED` looks and its score is high enough: the mean of its detections' scores, plus a bonus for motion,
because a lamp or a window never moves. It ends after `_MISSED` looks without a detection.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from edgefuse.detection.base import Detection

_CONFIRMED, _MISSED = 3, 3  # looks
_LEAST_OVERLAP = 0.15
_REACH = 0.75  # largest distance of a match without overlap, in heights of the box
_FOLLOW, _FOLLOW_SPEED = 0.6, 0.4  # share by which box and speed follow a new detection
_MOTION = 0.25  # largest bonus for motion
_MOVED = 0.75  # heights of the box: the way that earns all of it
_LONGEST_S = 2.0  # a gap after which nothing is matched
_AHEAD_S = 0.5  # longest time for which a box is predicted


@dataclass(frozen=True, slots=True)
class Track:
    """A person over time.

    number: from 1, never used again in a run. box: newest, smoothed; score: with the bonus for motion. speed: shares of the frame a
    second, (x, y). time_ns: of the newest look. seconds: since the first. moved: farthest from the first place, in heights of the box.
    """

    number: int
    box: Detection
    speed: tuple[float, float]
    time_ns: int
    seconds: float
    moved: float

    def at(self, time_ns: int) -> Detection:
        """Return the box at a time near the newest look."""
        ahead = min(max(0.0, (time_ns - self.time_ns) / 1e9), _AHEAD_S)
        return _shifted(self.box, self.speed[0] * ahead, self.speed[1] * ahead)


@dataclass(slots=True)
class _Open:
    box: Detection
    seen_ns: int
    began_ns: int
    origin: tuple[float, float]
    mean_score: float
    number: int = 0
    looks: int = 1
    missed: int = 0
    moved: float = 0.0
    speed: tuple[float, float] = field(default=(0.0, 0.0))

    @property
    def score(self) -> float:
        return min(1.0, self.mean_score + _MOTION * min(1.0, self.moved / _MOVED))

    def predicted(self, time_ns: int) -> Detection:
        ahead = max(0.0, (time_ns - self.seen_ns) / 1e9)
        return _shifted(self.box, self.speed[0] * ahead, self.speed[1] * ahead)

    def follow(self, detection: Detection, time_ns: int, aspect: float) -> None:
        before, seconds = self.predicted(time_ns), max(1e-3, (time_ns - self.seen_ns) / 1e9)
        (x, y), (old_x, old_y) = detection.centre, self.box.centre
        gain = 1.0 if self.looks == 1 else _FOLLOW_SPEED
        now = (x - old_x) / seconds, (y - old_y) / seconds
        self.speed = tuple((1 - gain) * v + gain * n for v, n in zip(self.speed, now, strict=True))  # type: ignore[assignment]
        self.box = _mixed(before, detection, _FOLLOW)
        self.looks, self.missed, self.seen_ns = self.looks + 1, 0, time_ns
        self.mean_score += (detection.score - self.mean_score) / min(self.looks, 8)
        height = max(1e-6, detection.bottom - detection.top)
        self.moved = max(self.moved, math.hypot((x - self.origin[0]) * aspect, y - self.origin[1]) / height)


class Tracker:
    """Tracks of one stream."""

    def __init__(self, score: float) -> None:
        """score: least score of a track that is reported, 0..1."""
        self._least = score
        self._open: list[_Open] = []
        self._aspect, self._last_ns = 1.0, 0
        self.confirmed = 0  # tracks reported so far

    def update(self, detections: Sequence[Detection], time_ns: int, aspect: float = 1.0) -> list[Track]:
        """Take the detections of a look and return the tracks, oldest first. time_ns: of the frame, rising. aspect: width / height of the
        frame, because boxes are in shares of both."""
        self._aspect = aspect
        if time_ns - self._last_ns > _LONGEST_S * 1e9 or time_ns < self._last_ns:
            self._open = []
        self._last_ns = time_ns
        left = dict(enumerate(detections))
        waiting = {n: track.predicted(time_ns) for n, track in enumerate(self._open)}
        for _, n, k in sorted(self._pairs(waiting, left), reverse=True):
            if n in waiting and k in left:
                self._open[n].follow(left.pop(k), time_ns, aspect)
                del waiting[n]
        for n in waiting:
            self._open[n].missed += 1
        self._open = [t for t in self._open if t.missed <= (_MISSED if t.number else 0)]
        self._open += [_Open(one, time_ns, time_ns, one.centre, one.score) for one in left.values()]
        return [self._reported(t) for t in self._open if self._is_person(t)]

    def _pairs(self, waiting: dict[int, Detection], detections: dict[int, Detection]) -> list[tuple[float, int, int]]:
        """Return (likeness, track, detection) of all that may belong together."""
        pairs = []
        for n, box in waiting.items():
            height = max(1e-6, box.bottom - box.top)
            for k, one in detections.items():
                if (overlap := box.overlap(one)) >= _LEAST_OVERLAP:
                    pairs.append((1 + overlap, n, k))
                    continue
                (x, y), (other_x, other_y) = box.centre, one.centre
                away = math.hypot((x - other_x) * self._aspect, y - other_y) / height
                if away <= _REACH and 0.5 <= (one.bottom - one.top) / height <= 2:
                    pairs.append((1 - away, n, k))
        return pairs

    def _is_person(self, track: _Open) -> bool:
        if track.number:
            return True
        if track.looks < _CONFIRMED or track.score < self._least:
            return False
        self.confirmed += 1
        track.number = self.confirmed
        return True

    @staticmethod
    def _reported(track: _Open) -> Track:
        box = replace(track.box, score=track.score)
        return Track(track.number, box, track.speed, track.seen_ns, (track.seen_ns - track.began_ns) / 1e9, track.moved)


def _shifted(box: Detection, x: float, y: float) -> Detection:
    return Detection(box.left + x, box.top + y, box.right + x, box.bottom + y, box.score)


def _mixed(old: Detection, new: Detection, share: float) -> Detection:
    def between(before: float, after: float) -> float:
        return (1 - share) * before + share * after

    left, top = between(old.left, new.left), between(old.top, new.top)
    return Detection(left, top, between(old.right, new.right), between(old.bottom, new.bottom), new.score)
