"""Prometheus metrics of a run for /metrics (docs/how-to/telemetry.md lists them).

There is no device label, because Prometheus adds the instance that it scrapes. Every label has a limited number of values.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Literal

import edgefuse
from edgefuse.board.state import temperature_c
from edgefuse.cameras.camera_thread import CameraReport
from edgefuse.errors import MissingDependencyError
from edgefuse.sources.base import PairingReport
from edgefuse.telemetry.live import Live
from edgefuse.telemetry.report import process_age_s
from edgefuse.telemetry.report_types import (
    STATISTICS,
    AlarmsReport,
    MqttReport,
    OutputReport,
    PeopleReport,
    RecordingReport,
    RegionReport,
    Report,
    StreamReport,
    WebReport,
    reported,
)
from edgefuse.telemetry.vitals import unavailable_people
from edgefuse.thermal import units
from edgefuse.thermal.temperature_report import ThermalReport
from edgefuse.thermal.units import Unit
from edgefuse.util.printable import escaped

if TYPE_CHECKING:
    from prometheus_client import Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_MAX_LABEL_VALUES = 32  # largest number of values of a label; further ones are summed up as "other"
_STATES = ("normal", "calibrating", "frozen")
_RECORDING = ("recording", "armed", "off", "stopped")


def exposition(live: Live) -> bytes:
    """Return the metrics in text format 0.0.4 (`CONTENT_TYPE`), UTF-8. Raises MissingDependencyError without prometheus_client."""
    try:
        from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
    except ImportError:
        raise MissingDependencyError("prometheus_client", "/metrics", "'edgefuse[metrics]'") from None
    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    registry.register(RunCollector(escaped(live.report())))
    return generate_latest(registry)


class RunCollector:
    """Collector of the metrics of one report."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def collect(self) -> Iterator[Metric]:
        r = reported(self._report)
        yield from _run(r)
        # the parts that only some runs have
        if thermal := r.get("thermal"):
            yield from _thermal(thermal)
        if regions := r.get("region"):
            yield from _regions(regions)
        if people := r.get("detect"):
            yield from _people({**people, "people": None} if unavailable_people(r) else people)
        if cameras := r.get("cameras"):
            yield from _cameras(cameras)
        if pairing := r.get("pairing"):
            yield from _pairing(pairing)
        if alarms := r.get("alarm"):
            yield from _alarms(alarms)
        if mqtt := r.get("mqtt"):
            yield from _mqtt(mqtt)
        if recording := r.get("recording"):
            yield from _recording(recording)
        if stream := r.get("stream"):
            yield from _stream(stream)
        if web := r.get("web"):
            yield from _web(web)
        if states := r.get("output_states"):
            yield from _outputs(states)


def _run(r: Report) -> Iterator[Metric]:
    from prometheus_client.core import InfoMetricFamily, SummaryMetricFamily

    model = r.get("model") or {}
    named = {"model": model.get("name"), "runtime": model.get("runtime"), "precision": model.get("precision")}
    facts = {key: str(value) for key, value in named.items() if value is not None}
    yield InfoMetricFamily("edgefuse", "Version and model", value={"version": edgefuse.__version__, **facts})
    yield _gauge("edgefuse_uptime_seconds", "Time since the process began", [((), process_age_s())])
    yield _counter("edgefuse_frames_fused", "Frames fused and written", [((), r["frames"]["fused"])])
    yield _counter("edgefuse_frames_dropped", "Pairs that were not fused and written, by cause", _bounded(r["dropped_by_cause"]), "cause")
    latency = SummaryMetricFamily("edgefuse_stage_latency_seconds", "Time that a frame spends in each stage", labels=["stage"])
    for stage, ms in list(r["latency_ms"].items())[:_MAX_LABEL_VALUES]:
        for quantile, key in (("0.5", "p50"), ("0.95", "p95"), ("0.99", "p99")):
            latency.add_sample("edgefuse_stage_latency_seconds", {"stage": stage, "quantile": quantile}, ms[key] / 1e3)
        latency.add_metric([stage], int(ms["count"]), ms["mean"] * ms["count"] / 1e3)
    yield latency
    yield _gauge("edgefuse_peak_resident_bytes", "Peak memory of the process", [((), r["peak_resident_mb"] * 1e6)])
    yield _counter(
        "edgefuse_frame_bytes", "Bytes of frames: in, out (both uncompressed) and written to files",
        [((k,), r["bytes"][k]) for k in ("in", "out", "written") if r["bytes"].get(k) is not None], "direction",
    )  # fmt: skip
    if (celsius := temperature_c()) is not None:
        yield _gauge("edgefuse_processor_temperature_celsius", "The processor's temperature", [((), celsius)])


def _thermal(t: ThermalReport) -> Iterator[Metric]:
    if latest := t["latest"]:
        help_text = "The newest infrared frame's hottest and coldest pixel"
        values = [((spot,), _base(latest[spot]["value"], t["unit"])) for spot in ("hottest", "coldest")]
        yield _gauge(f"edgefuse_infrared_{_base_name(t['unit'])}", help_text, values, "spot")
    states = [((s,), float(t["state"] == s)) for s in _STATES]
    yield _gauge("edgefuse_infrared_state", "1 for the infrared camera's state", states, "state")
    yield _counter("edgefuse_infrared_stalls", "Stalls of the picture, by state", _items(t["stalls"]), "state")


def _regions(regions: Mapping[str, RegionReport]) -> Iterator[Metric]:
    kept = [(name, r) for name, r in list(regions.items())[:_MAX_LABEL_VALUES]]
    for kind in ("celsius", "counts"):
        values = [
            ((name, s), _base(value["value"], r["unit"]))
            for name, r in kept
            if r["unit"] and _base_name(r["unit"]) == kind
            for s in STATISTICS
            if (value := r[s])
        ]
        if values:
            yield _gauge(f"edgefuse_region_{kind}", "A region's value in the newest infrared frame", values, "region", "statistic")
    faults = [((name,), float(bool(r["fault"]))) for name, r in kept]
    yield _gauge("edgefuse_region_faulty", "1 while the region cannot be measured", faults, "region")


def _people(d: PeopleReport) -> Iterator[Metric]:
    if d["people"] is not None:
        yield _gauge("edgefuse_people", "People in the newest frame that was looked at", [((), d["people"])])
    yield _counter("edgefuse_people_seen", "People seen so far: tracks", [((), d["people_so_far"])])
    looks = {"done": d["looks"], "skipped": d["skipped"]}
    yield _counter("edgefuse_people_looks", "Frames to be looked at for people, by outcome", _items(looks), "outcome")


def _base(value: float, unit: Unit | Literal[""]) -> float:
    """Return a value in Prometheus' unit of temperatures, degrees Celsius, or in counts."""
    return round(units.celsius_of(value, unit), 2)


def _base_name(unit: str) -> str:
    return "celsius" if unit in units.SIGNS else "counts"


def _cameras(cameras: Mapping[str, CameraReport]) -> Iterator[Metric]:
    from edgefuse.cameras.camera_thread import GONE

    up = [((m,), float(c["state"] not in GONE)) for m, c in cameras.items()]
    yield _gauge("edgefuse_camera_up", "1 while the camera gives frames, or is only late or recalibrating", up, "camera")
    yield _counter(
        "edgefuse_camera_frames_received", "Frames from the camera", [((m,), c["received"]) for m, c in cameras.items()], "camera"
    )
    dropped = [((m, *cause), n) for m, c in cameras.items() for cause, n in _bounded(c["dropped"])]
    yield _counter("edgefuse_camera_frames_dropped", "Frames of the camera that were not fused, by cause", dropped, "camera", "cause")
    faults = [((m, *cause), n) for m, c in cameras.items() for cause, n in _bounded(c["faults"])]
    yield _counter("edgefuse_camera_faults", "Faults of the camera, by cause", faults, "camera", "cause")


def _pairing(p: PairingReport) -> Iterator[Metric]:
    kinds = {"fresh": p["pairs"] - p["held"] - p["alone"], "held": p["held"], "alone": p["alone"]}
    yield _counter("edgefuse_pairs", "Pairs by kind: both frames new, one reused, one camera only", _items(kinds), "kind")


def _alarms(a: AlarmsReport) -> Iterator[Metric]:
    alarms = dict(list(a["alarms"].items())[:_MAX_LABEL_VALUES])
    raised = [((name,), float(alarm["state"] == "raised")) for name, alarm in alarms.items()]
    yield _gauge("edgefuse_alarm_raised", "1 while the alarm is raised", raised, "alarm")
    yield _counter(
        "edgefuse_alarms", "How often the alarm was raised", [((name,), alarm["raised"]) for name, alarm in alarms.items()], "alarm"
    )
    faults = [((name,), float(bool(alarm["fault"]))) for name, alarm in alarms.items()]
    yield _gauge("edgefuse_alarm_faulty", "1 while the alarm cannot be evaluated", faults, "alarm")
    if hooks := a["hooks"]:
        yield _counter(
            "edgefuse_hooks", "Alarm hooks run, by outcome", _items({k: hooks[k] for k in ("done", "failed", "lost")}), "outcome"
        )


def _mqtt(m: MqttReport) -> Iterator[Metric]:
    yield _gauge("edgefuse_mqtt_connected", "1 while connected to the broker", [((), float(m["state"] == "connected"))])
    outcomes = {"sent": m["sent"], "lost": sum(m["lost"].values())}
    yield _counter("edgefuse_mqtt_messages", "Messages to the broker, by outcome", _items(outcomes), "outcome")
    yield _gauge("edgefuse_mqtt_backlog_messages", "Messages waiting for the broker", [((), m["waiting"])])


def _recording(c: RecordingReport) -> Iterator[Metric]:
    states = [((s,), float(c["state"] == s)) for s in _RECORDING]
    yield _gauge("edgefuse_recording_state", "1 for the recording's state; stopped: prevented by an error", states, "state")
    outcomes = {k: n for k, n in c["frames"].items() if k != "seen"}
    yield _counter("edgefuse_recording_frames", "Frames passed to the recording, by outcome", _items(outcomes), "outcome")
    yield _counter("edgefuse_recording_written_bytes", "Bytes of video written", [((), c["bytes"])])
    yield _gauge("edgefuse_recording_kept_bytes", "Bytes of all recordings in the folder", [((), c["kept_bytes"])])
    yield _counter(
        "edgefuse_recording_files", "Files written and deleted", _items({"segments": c["segments"], "deleted": c["deleted"]}), "kind"
    )
    yield _counter("edgefuse_recording_encoder_restarts", "Restarts of the encoder after it died or hung", [((), c["encoder_restarts"])])


def _stream(c: StreamReport) -> Iterator[Metric]:
    yield _gauge("edgefuse_stream_connected", "1 while the server accepts frames", [((), float(c["state"] == "streaming"))])
    outcomes = {k: n for k, n in c["frames"].items() if k != "seen"}
    yield _counter("edgefuse_stream_frames", "Frames passed to the stream, by outcome", _items(outcomes), "outcome")
    yield _counter("edgefuse_stream_reconnects", "Reconnections after the connection or the encoder was lost", [((), c["reconnects"])])


def _outputs(states: Mapping[str, OutputReport]) -> Iterator[Metric]:
    kept = dict(list(states.items())[:_MAX_LABEL_VALUES])
    failing = [((name,), float(state["failing"])) for name, state in kept.items()]
    yield _gauge("edgefuse_output_failing", "1 while the output is wanted and has not worked for 30 s", failing, "output")
    faults = [((name,), state["faults"]) for name, state in kept.items()]
    yield _counter("edgefuse_output_faults", "Unexpected errors of the output's threads, after which they go on", faults, "output")


def _web(c: WebReport) -> Iterator[Metric]:
    yield _gauge("edgefuse_web_viewers", "Viewers of the live picture", [((), c["viewers"])])
    yield _counter("edgefuse_web_viewers_turned_away", "Viewers refused because of the limit", [((), c["viewers_turned_away"])])
    yield _counter("edgefuse_web_sent_bytes", "Bytes of the live picture sent", [((), c["bytes_sent"])])


Samples = Iterable[tuple[tuple[str, ...], float]]


def _items(counts: Mapping[str, float]) -> Samples:
    return [((k,), n) for k, n in counts.items()]


def _bounded(counts: Mapping[str, int]) -> Samples:
    """Return the first `_MAX_LABEL_VALUES` causes by name, the rest summed up; a plugin may add any number of causes."""
    listed = list(counts.items())
    rest = sum(n for _, n in listed[_MAX_LABEL_VALUES:])
    return [((k,), n) for k, n in listed[:_MAX_LABEL_VALUES]] + ([(("other",), rest)] if rest else [])


def _gauge(name: str, help_text: str, samples: Samples, *labels: str) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    metric = GaugeMetricFamily(name, help_text, labels=labels)
    for values, value in samples:
        metric.add_metric(values, value)
    return metric


def _counter(name: str, help_text: str, samples: Samples, *labels: str) -> Metric:
    from prometheus_client.core import CounterMetricFamily

    metric = CounterMetricFamily(name, help_text, labels=labels)
    for values, value in samples:
        metric.add_metric(values, value)
    return metric
