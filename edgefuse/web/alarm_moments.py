"""Alarms for the page: their state now, and the last ones that were raised, each with a picture of that moment."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, replace

import cv2
import numpy as np

from edgefuse.events import Event, Facts
from edgefuse.frames import FusedFrame
from edgefuse.telemetry import vitals
from edgefuse.telemetry.live import Live
from edgefuse.telemetry.report_types import Report
from edgefuse.telemetry.vitals import unavailable_alarms
from edgefuse.util import images
from edgefuse.web.views import ViewRenderer

_KEPT = 8  # moments
_WAITING = 4  # frames that wait to be drawn, for up to a second
_WIDTH, _QUALITY = 640, 80  # of the pictures, which stay in memory: about 50 kB each
_UNITS = ("celsius", "fahrenheit", "counts", "people")


@dataclass(frozen=True, slots=True)
class Moment:
    """One raise of an alarm. begin_s, end_s: seconds since the epoch; end_s is None while it is raised.

    facts: `unit`, `above`, `below` or `at_least`, `measure`, `value`, and once it has ended `extreme`. jpeg: the fused picture; None until
    it is drawn, and where there was none. mark: the place of the pixel that raised it, as shares of the picture's width and height.
    """

    number: int
    name: str
    begin_s: float
    facts: Facts
    pixel: tuple[int, int] | None
    end_s: float | None = None
    jpeg: bytes | None = None
    mark: tuple[float, float] | None = None


class Moments:
    """The last raised alarms of a run, without those before its construction. Safe from any thread, but for `draw`."""

    def __init__(self, live: Live) -> None:
        self._live, self._lock = live, threading.Lock()
        self._kept: deque[Moment] = deque(maxlen=_KEPT)
        self._frames: deque[tuple[int, FusedFrame]] = deque(maxlen=_WAITING)
        self._number = 0
        self._end = live.listen(self._on_event)

    def close(self) -> None:
        self._end()

    def _on_event(self, event: Event) -> None:
        if event.kind != "alarm":
            return
        state = event.facts.get("state")
        if state == "raised":
            # the run emits it while it writes the frame, so the newest frame is the one that raised the alarm
            newest = self._live.newest
            with self._lock:
                self._number += 1
                self._kept.append(Moment(self._number, event.name, event.time_s, _facts(event.facts), _pixel(event.facts)))
                if newest is not None:
                    self._frames.append((self._number, newest[1]))
        elif state in ("cleared", "ended"):
            with self._lock:
                self._change(event.name, event)

    def _change(self, name: str, event: Event) -> None:
        """Note that the newest moment of an alarm has ended."""
        for k in reversed(range(len(self._kept))):
            one = self._kept[k]
            if one.name == name and one.end_s is None:
                unit = one.facts["unit"]
                self._kept[k] = replace(one, end_s=event.time_s, facts={**one.facts, "extreme": event.facts.get(f"extreme_{unit}")})
                return

    @property
    def waiting(self) -> bool:
        """Whether there is a frame to `draw`."""
        return bool(self._frames)

    def draw(self, renderer: ViewRenderer, calibration: str | None) -> None:
        """Encode the frames that wait; in the renderer's thread. calibration: the run's file, which places the mark."""
        renderer.calibrate(calibration)
        while self._frames:
            number, fused = self._frames.popleft()
            jpeg = _jpeg(fused)
            with self._lock:
                for k, one in enumerate(self._kept):
                    if one.number == number:
                        mark = renderer.place(*one.pixel, fused.pair.infrared.size) if one.pixel else None
                        self._kept[k] = replace(one, jpeg=jpeg, mark=mark)

    def jpeg(self, number: int) -> bytes | None:
        """Return the picture of a moment; None where it is not kept."""
        with self._lock:
            return next((one.jpeg for one in self._kept if one.number == number), None)

    def now(self) -> list[dict[str, object]]:
        """Return the moments as JSON values, newest first."""
        with self._lock:
            kept = list(self._kept)
        return [
            {
                "id": one.number, "name": one.name, "begin_s": one.begin_s, "end_s": one.end_s, "picture": one.jpeg is not None,
                "mark": one.mark, **one.facts,
            }
            for one in reversed(kept)
        ]  # fmt: skip


def alarms(report: Report) -> list[dict[str, object]]:
    """Return the state of each alarm in a run's report as JSON values, with the unit apart from the keys, and why it can't work."""
    known, why = vitals.alarms(report), unavailable_alarms(report)
    return [
        {"name": name, "unavailable": why.get(name), **{key: one.get(key) for key in ("state", "pixels", "since_s")}, **_facts(one)}
        for name, one in known.items()
    ]


def _facts(facts: Facts) -> dict[str, object]:
    """Return unit, value, measure, and above, below or at_least (people), of an alarm's event or report."""
    unit = next((u for u in _UNITS if u in facts), "counts")
    limits = {side: facts[f"{side}_{unit}"] for side in ("above", "below", "at_least") if f"{side}_{unit}" in facts}
    return {"unit": unit, "value": facts.get(unit), "measure": facts.get("measure"), **limits}


def _pixel(facts: Facts) -> tuple[int, int] | None:
    x, y = facts.get("x"), facts.get("y")
    return (x, y) if isinstance(x, int) and isinstance(y, int) else None


def _jpeg(fused: FusedFrame) -> bytes:
    picture = fused.fused
    if picture.shape[1] > _WIDTH:
        size = _WIDTH, max(1, round(picture.shape[0] * _WIDTH / picture.shape[1]))
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    return bytes(images.encode(picture, ".jpg", _QUALITY))
