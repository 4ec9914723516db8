"""Types of a run's report (`edgefuse run --json`, /report.json), by which those who make it and those who read it agree.

Units are in the keys. A part of an attachment that could not report is `{"error": ...}` instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NotRequired, TypedDict, cast

from edgefuse.sinks.guard import SinkReport
from edgefuse.sources.base import SourceReport
from edgefuse.thermal.temperature_report import ThermalReport
from edgefuse.thermal.units import Unit

Statistic = Literal["mean", "minimum", "maximum"]
STATISTICS: tuple[Statistic, ...] = ("mean", "minimum", "maximum")
FrameCounts = TypedDict("FrameCounts", {"in": int, "fused": int, "dropped": int})
Bytes = TypedDict("Bytes", {"in": int, "out": int, "written": NotRequired[int]})  # uncompressed in and out; written to files


class Failed(TypedDict, total=False):
    """Why an attachment could not report."""

    error: str


class ModelFacts(TypedDict, total=False):
    """The model in use, and why its runtime was chosen; empty without a run."""

    name: str
    runtime: str
    version: str
    precision: str
    threads: int
    why: str


class FramesReport(TypedDict):
    """What `edgefuse.telemetry.report.Telemetry` counts."""

    frames: FrameCounts
    dropped_by_cause: dict[str, int]
    dropped_frames: list[dict[str, str]]
    fps: float | None
    elapsed_s: float
    first_frame_after_start_s: float | None
    latency_ms: dict[str, dict[str, float]]
    peak_resident_mb: float
    bytes: Bytes
    thermal: ThermalReport | None
    bandwidth_fps: int
    bandwidth_mb_s: dict[str, dict[str, float]]
    cpu_count: int | None


class AlarmReport(TypedDict):
    """An alarm. The value and its limits are under keys that name the unit, such as `celsius` and `above_celsius`."""

    state: str
    held: bool
    raised: int
    fault: str | None
    kind: str
    measure: str
    pixels: int | None
    since_s: float | None


class AlarmsReport(Failed):
    """[alarm.NAME]."""

    alarms: dict[str, AlarmReport]
    hooks: dict[str, int] | None


class RegionValue(TypedDict):
    """A statistic of a region. x, y: where in the infrared frame, for the minimum and the maximum."""

    value: float
    x: NotRequired[int]
    y: NotRequired[int]


class RegionReport(TypedDict):
    """[region.NAME]. unit: None where there are no values, because of `fault` or because there was no frame yet."""

    shape: str
    unit: Unit | None
    mean: RegionValue | None
    minimum: RegionValue | None
    maximum: RegionValue | None
    pixels: int
    fault: str | None


class TrackFacts(TypedDict):
    """A person: the box in pixels of the infrared frame, from the upper left."""

    id: int
    x: int
    y: int
    width: int
    height: int
    score: float
    seconds: float


class PeopleReport(Failed):
    """[detect]. people: None before the first look, and where nobody knows."""

    detector: str
    people: int | None
    people_so_far: int
    tracks: list[TrackFacts]
    looks: int
    skipped: int
    fault: str | None


class MqttReport(Failed):
    """[mqtt]. state: "connected", or why not."""

    broker: str
    device: str
    state: str
    connections: int
    sent: int
    waiting: int
    lost: dict[str, int]
    snapshots: int
    commands: dict[str, int]


class RawFacts(TypedDict):
    """The lossless recording beside a video."""

    pairs: int
    dropped: int
    bytes: int


class RecordingReport(Failed):
    """[recording]. trouble: what prevents it. frames: by outcome."""

    state: str
    mode: str
    trouble: str | None
    folder: str
    file: str | None
    segments: int
    recovered: int
    deleted: int
    bytes: int
    kept_bytes: int
    held_bytes: int
    encoder: str
    encoder_restarts: int
    frames: dict[str, int]
    raw: NotRequired[RawFacts]


class StreamReport(Failed):
    """[stream]. frames: by outcome."""

    state: str
    url: str
    trouble: str | None
    encoder: str
    reconnects: int
    frames: dict[str, int]


class WebReport(Failed):
    """[web]."""

    url: str
    token: bool
    trouble: str
    viewers: int
    viewers_turned_away: int
    pictures_encoded: int
    bytes_sent: int


class LinesReport(Failed):
    """[telemetry]: JSON lines."""

    lines: int
    lost: int


class OutputReport(TypedDict):
    """Whether an output is wanted and has not worked for 30 s, and unexpected errors so far."""

    wanted: bool
    failing: bool
    faults: int


class AttachmentsReport(TypedDict, total=False):
    """Each attachment's part, under its settings table's name."""

    alarm: AlarmsReport
    region: dict[str, RegionReport]
    detect: PeopleReport
    mqtt: MqttReport
    recording: RecordingReport
    stream: StreamReport
    web: WebReport
    telemetry: LinesReport


class Report(FramesReport, SourceReport, AttachmentsReport, total=False):
    """The whole. Without a run (`edgefuse bench --service`) it has only the frames."""

    edgefuse: str
    source: str
    model: ModelFacts
    layout: str
    calibration: str | None
    view: str
    outputs: list[str]
    sinks: dict[str, SinkReport]
    reloads: Mapping[str, int]
    output_states: dict[str, OutputReport]
    interrupted: bool


def failures(report: Mapping[str, object]) -> dict[str, str]:
    """Return the attachments that could not report, by their settings table's name, and why."""
    errors = {name: part["error"] for name, part in report.items() if isinstance(part, Mapping) and part.keys() == {"error"}}
    # a region may have the name "error"
    return {name: error for name, error in errors.items() if isinstance(error, str)}


def reported(report: Report) -> Report:
    """Return the report without the parts of the attachments that could not report."""
    failed = failures(report)
    return cast(Report, {name: part for name, part in report.items() if name not in failed}) if failed else report
