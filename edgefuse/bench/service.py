"""Measures the whole service frame by frame, by stage: from both cameras' buffers to what is shown, recorded, told and alarmed on.

The stages are the code of a run, called in one thread, so that their sum is the processor time of a frame. Each frame is a new one of both
cameras: the worst case, because infrared cameras are mostly slower. The video encoder (FFmpeg, another process) and drivers are not in it.
On an emulated processor where an instruction takes a nanosecond (deploy/emulate), milliseconds are millions of instructions.
"""

from __future__ import annotations

import datetime
import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import TypedDict, TypeVar, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefuse.alarms import Alarms
from edgefuse.calibration.registration import Calibration, centred_homography
from edgefuse.cameras import buffers
from edgefuse.cameras.frame_ledger import FrameLedger, TrackedFrame
from edgefuse.cameras.pairing import DEFAULT_SKEW_MS, Pairing
from edgefuse.errors import MeasurementError
from edgefuse.ffmpeg import frames as ffmpeg_frames
from edgefuse.frames import Frame, FramePair, FusedFrame
from edgefuse.fusion.fuser import load
from edgefuse.settings.alarm import AlarmSettings
from edgefuse.settings.detect import DetectSettings
from edgefuse.sources import open_source
from edgefuse.telemetry.jsonlines import append
from edgefuse.telemetry.live import Info, Live
from edgefuse.telemetry.people import People
from edgefuse.telemetry.report import Telemetry
from edgefuse.telemetry.report_types import Report
from edgefuse.telemetry.vitals import Vitals
from edgefuse.thermal import supported_cameras
from edgefuse.util.arrays import UInt8Array
from edgefuse.views import display
from edgefuse.views.base import ViewOptions
from edgefuse.views.options import OverlayPart
from edgefuse.web.relay import part
from edgefuse.web.views import View, ViewRenderer

VISIBLE, INFRARED = (640, 480), (160, 120)
FPS, TELEMETRY_S = 25.0, 10.0
_QUALITY, _VIEW = 80, "edges"
_OVERLAY: tuple[OverlayPart, ...] = ("scale", "time")
_DRAWN = 3  # different frames of the demo scene
STAGES = {
    "decode": f"Motion JPEG {VISIBLE[0]}x{VISIBLE[1]} to BGR, checked",
    "sensor": f"Y16 {INFRARED[0]}x{INFRARED[1]} to counts",
    "pair": "pairing by time, accounting",
    "watch": "hottest and coldest spot, frozen or not, statistics",
    "gain": "dead pixels and gain control",
    "register": f"{INFRARED[0]}x{INFRARED[1]} onto {VISIBLE[0]}x{VISIBLE[1]}",
    "fuse": "mobilefuse-edge",
    "view": f"{_VIEW}, with {' and '.join(_OVERLAY)}",
    "alarm": "one alarm, the hottest pixel of the frame",
    "people": f"warm-blobs, every {DetectSettings().every} frames",
    "viewer": f"a JPEG for one viewer, quality {_QUALITY}",
    "record": "I420 to the encoder's pipe",
    "telemetry": f"a JSON line every {TELEMETRY_S:g} s at {FPS:g} FPS",
}


T = TypeVar("T")


class ServiceReport(TypedDict):
    """What `measure` found. visible, infrared: sizes in pixels."""

    model: str
    visible: list[int]
    infrared: list[int]
    frames: int
    stages_ms: dict[str, float]
    sum_ms: float
    p95_ms: float


def measure(frames: int, visible: tuple[int, int] = VISIBLE, model: str = "mobilefuse-edge") -> ServiceReport:
    """Return the median milliseconds of each stage and of their sum over `frames` frames, 1 or more, on one thread.

    visible: its size; the infrared camera is a Lepton with Y16 160x120. Raises MeasurementError where the two cameras' frames make no pair.
    """
    cv2.setNumThreads(1)
    with ExitStack() as stack:
        service = _Service(stack, visible, model)
        service.frame(0)  # allocates buffers, and loads what is imported at first use
        rows = [service.frame(1 + n) for n in range(frames)]
    stages = {stage: round(median(row[stage] for row in rows) / 1e6, 4) for stage in STAGES}
    return {
        "model": service.model,
        "visible": list(visible),
        "infrared": list(INFRARED),
        "frames": frames,
        "stages_ms": stages,
        "sum_ms": round(sum(stages.values()), 3),
        "p95_ms": round(float(np.percentile([sum(row.values()) for row in rows], 95)) / 1e6, 3),
    }


class _Service:
    """The parts of a run with two cameras, a view, a viewer, a recording, telemetry, an alarm and detection."""

    def __init__(self, stack: ExitStack, visible: tuple[int, int], model: str) -> None:
        self._size = visible
        self._jpegs, self._counts = _camera_buffers(visible)
        calibration = Calibration(
            homography=centred_homography(visible, INFRARED), visible_size=visible, infrared_size=INFRARED, method="points", error_px=0.0,
            made=datetime.date(2026, 1, 1),
        )  # fmt: skip
        self._fuser = stack.enter_context(load(model, threads=1, steady=True, calibration=calibration))
        self.model = f"{self._fuser.card.name} {self._fuser.choice.precision} on {self._fuser.choice.name}"
        self._fuser.display = display.make(_VIEW, ViewOptions(), _OVERLAY, "", True, calibration)
        self._sensor, self._pairing = supported_cameras.get("lepton"), Pairing[TrackedFrame](round(DEFAULT_SKEW_MS * 1e6))
        self._ledgers = {"visible": FrameLedger(), "infrared": FrameLedger()}
        self._telemetry, self._renderer = Telemetry(), ViewRenderer()
        info = Info("bench", FPS, False, {})
        self._alarmed, self._watched = Live(self._report), Live(self._report)
        alarms = Alarms({"hot": AlarmSettings(above=200.0)}, self._alarmed, info)
        stack.callback(alarms.close)
        people = People(DetectSettings(every=1), self._watched, info)
        stack.callback(people.close)
        self._vitals = Vitals(self._alarmed)
        self._lines = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edgefuse-bench-"))) / "telemetry.jsonl"
        self._pipe = (self._lines.parent / "frames").open("wb", buffering=0)
        stack.callback(self._pipe.close)

    def _report(self) -> Report:
        return cast(Report, self._telemetry.report())

    def frame(self, number: int) -> dict[str, float]:
        """Process a frame of both cameras. Returns nanoseconds by stage."""
        spent: dict[str, float] = {}

        def timed(stage: str, work: Callable[[], T], share: float = 1.0) -> T:
            begin = time.perf_counter_ns()
            made = work()
            spent[stage] = (time.perf_counter_ns() - begin) * share
            return made

        time_ns = time.monotonic_ns()
        jpeg, counts = self._jpegs[number % _DRAWN], self._counts[number % _DRAWN]
        visible = timed("decode", lambda: Frame(buffers.picture(jpeg, self._size, "MJPG", 0), "visible", time_ns, "bench"))
        infrared = timed("sensor", lambda: self._infrared(counts, time_ns))
        pair = timed("pair", lambda: self._paired(visible, infrared, number))
        timed("watch", lambda: self._watch(pair))
        begin = time.perf_counter_ns()
        fused = self._fuser.fuse(pair)
        whole = time.perf_counter_ns() - begin
        stages: Mapping[str, int] = fused.stages_ns
        spent["register"], spent["view"] = stages["register"], stages["view"]
        spent["fuse"] = sum(ns for stage, ns in stages.items() if stage not in ("register", "view"))
        spent["gain"] = whole - sum(stages.values())
        timed("alarm", lambda: self._alarmed.write(fused))
        timed("people", lambda: self._watched.write(fused), 1 / DetectSettings().every)
        timed("viewer", lambda: self._viewer(number, fused))
        timed("record", lambda: self._record(fused, number))
        timed("telemetry", self._line, 1 / (FPS * TELEMETRY_S))
        self._telemetry.fused(fused, 0)
        return spent

    def _infrared(self, buffer: UInt8Array, time_ns: int) -> Frame:
        decoded = self._sensor.decode(buffers.unpadded(buffer, INFRARED, "Y16", 0))
        return Frame(decoded.counts, "infrared", time_ns, "bench", decoded.radiometry)

    def _paired(self, visible: Frame, infrared: Frame, number: int) -> FramePair:
        for frame in (visible, infrared):
            self._pairing.add(frame.modality, frame.time_ns, TrackedFrame(frame, self._ledgers[frame.modality]))
        match = self._pairing.take()
        if match is None or match.visible is None or match.infrared is None:
            raise MeasurementError("the frames of both cameras were not paired; measure again on an idle board")
        pair = FramePair(match.visible.frame, match.infrared.frame, number)
        match.visible.settle(None)
        match.infrared.settle(None)
        return pair

    def _watch(self, pair: FramePair) -> None:
        self._telemetry.read(pair.nbytes, 0)
        self._telemetry.infrared(pair.infrared)

    def _viewer(self, number: int, fused: FusedFrame) -> bytes:
        facts = json.dumps({"frame": number, "name": fused.name, "map": fused.decided_map is not None, **self._renderer.spots(fused)})
        view = View("shown")
        return part(self._renderer.jpeg(fused, view, _QUALITY), str(view), facts)

    def _record(self, fused: FusedFrame, number: int) -> None:
        planes = ffmpeg_frames.i420(fused.data)
        self._pipe.seek(0)
        self._pipe.write(ffmpeg_frames.frame_header(number * 40_000_000, planes.nbytes))
        self._pipe.write(planes.data)

    def _line(self) -> None:
        text = json.dumps(self._vitals.read(), separators=(",", ":")) + os.linesep
        append(self._lines, text.encode(), 10**7, 1)


def _camera_buffers(visible: tuple[int, int]) -> tuple[list[UInt8Array], list[UInt8Array]]:
    """Return the buffers that the two cameras would give: JPEG files, and little-endian counts, each as flat uint8."""
    jpegs, counts = [], []
    with open_source(f"demo?scene=night&depth=16&frames={_DRAWN}&size={visible[0]}x{visible[1]}") as source:
        while (pair := source.read()) is not None:
            encoded: UInt8Array = cv2.imencode(".jpg", pair.visible.data, [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
            jpegs.append(encoded.reshape(-1))
            small: NDArray[np.uint16] = cv2.resize(pair.infrared.data, INFRARED, interpolation=cv2.INTER_AREA)
            counts.append(small.astype("<u2").view(np.uint8).reshape(-1))
    return jpegs, counts


def as_text(report: ServiceReport) -> str:
    """Format `measure`'s report as a table."""
    sizes = " and ".join("x".join(map(str, size)) for size in (report["visible"], report["infrared"]))
    lines = [
        f"service    {report['model']}, {sizes}, one thread, median of {report['frames']} frames",
        " " * 11 + "stage".ljust(12) + "      ms",
    ]
    lines += [f"{'':11}{stage:12}{ms:8.2f}   {STAGES[stage]}" for stage, ms in report["stages_ms"].items()]
    return "\n".join([*lines, f"{'':11}{'sum':12}{report['sum_ms']:8.2f}   a frame; p95 {report['p95_ms']:.2f}"])
