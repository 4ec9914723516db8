"""[detect]: finds and tracks people in every N-th infrared frame, for telemetry, alarms and the overlay (docs/how-to/detection.md).

A thread looks at frames. Where the source is live, it takes the newest and skips what it has no time for; a recording waits for it, so that
its result does not depend on speed.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edgefuse import detection
from edgefuse.calibration.registration import Calibration, project
from edgefuse.detection import Detection, DetectorOptions, Look
from edgefuse.detection.tracker import Track, Tracker
from edgefuse.errors import EdgeFuseError
from edgefuse.events import Event
from edgefuse.frames import FramePair, FusedFrame
from edgefuse.settings.detect import DetectSettings
from edgefuse.telemetry.live import Info, Live, Sighting
from edgefuse.telemetry.outputs import OutputState
from edgefuse.telemetry.report_types import PeopleReport, TrackFacts
from edgefuse.thermal.grey import ToGrey
from edgefuse.util.arrays import Float64Array
from edgefuse.util.restarting_thread import FaultLog, Worker
from edgefuse.views.marks import Mark

log = logging.getLogger(__name__)

_LONGEST_LOOK_S = 30.0  # that a recording waits for one look
_LISTED = 50  # tracks in a report; all are counted


class People:
    """Detector, tracker and their thread."""

    @staticmethod
    def check(settings: DetectSettings) -> None:
        """Raises SettingsError, ModelError or MissingDependencyError where the detector can't be used."""
        detection.check(_options(settings))

    def __init__(self, settings: DetectSettings, live: Live, info: Info) -> None:
        """Raises as `check`, and ModelError for a model that can't be loaded."""
        self._s, self._live, self._wait = settings, live, not info.endless
        self._detector = detection.open_detector(_options(settings))
        self._tracker, self._polarity = Tracker(settings.score), live.polarity
        self._grey = ToGrey(polarity=self._polarity)
        self._new = threading.Condition()
        self._next: FusedFrame | None = None
        self._looking = self._closed = False
        self._frames = self._time_ns = -1
        self._looks = self._skipped = 0
        self._fault = ""
        self._newest: Sighting | None = None
        self._faults = FaultLog(log, "the detection of people")
        self._worker = Worker("edgefuse-people", self._run, self._faults)
        try:
            self._worker.start()
        except EdgeFuseError:
            self._detector.close()
            raise
        self._end = live.watch(self._on_frame)

    def _on_frame(self, count: int, fused: FusedFrame) -> None:
        frame = fused.pair.infrared
        if fused.pair.missing == "infrared" or frame.time_ns == self._time_ns:
            return
        self._time_ns = frame.time_ns
        if frame.radiometry is not None and frame.radiometry.state != "normal":
            return
        self._frames += 1
        if self._frames % self._s.every:
            return
        with self._new:
            self._skipped += self._next is not None
            self._next = fused
            self._new.notify_all()
            if self._wait:
                self._new.wait_for(lambda: self._closed or (self._next is None and not self._looking), _LONGEST_LOOK_S)

    def _run(self) -> None:
        while True:
            with self._new:
                self._looking = False
                self._new.notify_all()
                self._new.wait_for(lambda: self._closed or self._next is not None)
                if self._closed:
                    return
                fused, self._next, self._looking = self._next, None, True
            assert fused is not None
            try:
                self._look(fused)
            except Exception as e:
                # one bad frame must not end it
                self._note(e)
            del fused

    def _look(self, fused: FusedFrame) -> None:
        frame = fused.pair.infrared
        if self._live.polarity != self._polarity:
            self._polarity = self._live.polarity
            self._grey = ToGrey(polarity=self._polarity)
        detections = self._detector.detect(Look(self._grey(frame.data), fused))
        if self._detector.picture == "visible":
            detections = on_infrared(detections, self._live.calibration)
        tracks = self._tracker.update(detections, frame.time_ns, frame.size[0] / frame.size[1])
        self._live.sighting = self._newest = Sighting(tuple(tracks), frame.size, frame.time_ns)
        self._looks += 1
        self._fault = ""

    def _note(self, error: Exception) -> None:
        text = str(error) or type(error).__name__
        self._faults.note(error)
        if text != self._fault:
            self._fault = text
            self._live.emit(Event("people", self._detector.name, {"state": "fault", "fault": text}))

    def report(self) -> PeopleReport:
        """Return detector, number of people now (None before the first look) and so far, their boxes in infrared pixels, looks, looks
        skipped for lack of time, and what is wrong."""
        sighting = self._newest
        return {
            "detector": self._detector.name,
            "people": None if sighting is None else len(sighting.tracks),
            "people_so_far": self._tracker.confirmed,
            "tracks": [] if sighting is None else [facts(t, sighting.size) for t in sighting.tracks[:_LISTED]],
            "looks": self._looks,
            "skipped": self._skipped,
            "fault": self._fault or None,
        }

    def outputs(self) -> dict[str, OutputState]:
        """Return whether frames are looked at."""
        why = self._fault or "the frames are not looked at"
        return {"detection": OutputState(True, None, self._looks, faults=self._faults.count, why=why)}

    def close(self) -> None:
        """End looking; the last sighting is withdrawn."""
        self._end()
        with self._new:
            if self._closed:
                return
            self._closed = True
            self._new.notify_all()
        self._worker.end()
        self._worker.join(4.0)
        self._live.sighting = None
        self._detector.close()


def _options(s: DetectSettings) -> DetectorOptions:
    return DetectorOptions(s.detector, s.score, s.runtime, s.precision, s.threads)


def facts(track: Track, size: tuple[int, int]) -> TrackFacts:
    """Return a track as JSON values: its box in pixels of an infrared frame of (width, height), x and y from the upper left."""
    width, height = size
    box = track.box
    left, top = max(0, round(box.left * width)), max(0, round(box.top * height))
    return {
        "id": track.number,
        "x": left,
        "y": top,
        "width": max(1, min(width, round(box.right * width)) - left),
        "height": max(1, min(height, round(box.bottom * height)) - top),
        "score": round(box.score, 2),
        "seconds": round(track.seconds, 1),
    }


def on_infrared(detections: Sequence[Detection], calibration: Calibration | None) -> list[Detection]:
    """Return boxes of the visible frame where they are in the infrared frame; without a calibration both frames are one. Lens distortion
    is ignored. What lies outside the infrared frame is left out."""
    if calibration is None:
        return list(detections)
    back: Float64Array = np.asarray(np.linalg.inv(calibration.homography), np.float64)
    moved = []
    for one in detections:
        corners = [(one.left, one.top), (one.right, one.top), (one.left, one.bottom), (one.right, one.bottom)]
        # pixel 0 has its middle at 0, and its left edge at -0.5
        there = project(back, np.array(corners, np.float64) * calibration.visible_size - 0.5) + 0.5
        there /= calibration.infrared_size
        (left, top), (right, bottom) = there.min(axis=0).tolist(), there.max(axis=0).tolist()
        placed = replace(one, left=left, top=top, right=right, bottom=bottom)
        if all(0 <= n < 1 for n in placed.centre):
            moved.append(placed)
    return moved


def people_marks(pair: FramePair, live: Live) -> Sequence[Mark]:
    """Return a mark for each person, where they are by the time of the pair; none while the infrared camera is missing."""
    sighting = live.sighting
    if sighting is None or pair.missing == "infrared":
        return ()
    made = []
    for track in sighting.tracks:
        box = track.at(pair.infrared.time_ns)
        made.append(Mark(f"person {track.number}", box.left, box.top, box.right - box.left, box.bottom - box.top))
    return made
