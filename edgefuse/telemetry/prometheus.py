"""A run's report as Prometheus reads it: /metrics (docs/how-to/telemetry.md lists every metric).

No label says which device: Prometheus adds the instance it asked. Labels have few values, whatever a run meets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import edgefuse
from edgefuse.board.state import temperature_c
from edgefuse.errors import MissingDependencyError
from edgefuse.telemetry.live import Live
from edgefuse.telemetry.report import process_age_s

if TYPE_CHECKING:
    from prometheus_client import Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_MOST = 32  # values of one label; what lies beyond is summed up as "other"
_STATES = ("normal", "calibrating", "frozen")
_RECORDING = ("recording", "armed", "off", "stopped")


def exposition(live: Live) -> bytes:
    """The text format 0.0.4 (`CONTENT_TYPE`), UTF-8. Raises MissingDependencyError where prometheus_client is not installed."""
    try:
        from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
    except ImportError:
        raise MissingDependencyError("prometheus_client", "/metrics", "'edgefuse[metrics]'") from None
    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    registry.register(RunCollector(live.report()))
    return generate_latest(registry)


class RunCollector:
    """prometheus_client's view of one report."""

    def __init__(self, report: Mapping[str, Any]) -> None:
        self._report = report

    def collect(self) -> Iterator[Metric]:
        yield from _run(self._report)
        for part, tell in _PARTS.items():
            if told := self._report.get(part):
                yield from tell(told)


def _run(r: Mapping[str, Any]) -> Iterator[Metric]:
    from prometheus_client.core import InfoMetricFamily, SummaryMetricFamily

    model = r.get("model") or {}
    told = {k: str(model[k]) for k in ("name", "runtime", "precision") if k in model}
    yield InfoMetricFamily(
        "edgefuse", "What runs", value={"version": edgefuse.__version__, **({"model": told.pop("name")} if told else {}), **told}
    )
    yield _gauge("edgefuse_uptime_seconds", "Since the process began", [((), process_age_s())])
    yield _counter("edgefuse_frames_fused", "Frames fused and written", [((), r["frames"]["fused"])])
    yield _counter("edgefuse_frames_dropped", "Pairs that became no written frame, by cause", _bounded(r["dropped_by_cause"]), "cause")
    latency = SummaryMetricFamily("edgefuse_stage_latency_seconds", "Time that a frame spends in each stage", labels=["stage"])
    for stage, ms in list(r["latency_ms"].items())[:_MOST]:
        for quantile, key in (("0.5", "p50"), ("0.95", "p95"), ("0.99", "p99")):
            latency.add_sample("edgefuse_stage_latency_seconds", {"stage": stage, "quantile": quantile}, ms[key] / 1e3)
        latency.add_metric([stage], ms["count"], ms["mean"] * ms["count"] / 1e3)
    yield latency
    yield _gauge("edgefuse_peak_resident_bytes", "Most memory the process ever held", [((), r["peak_resident_mb"] * 1e6)])
    yield _counter(
        "edgefuse_frame_bytes", "Bytes of frames: in, out (both uncompressed) and written to files",
        [((k,), r["bytes"][k]) for k in ("in", "out", "written") if r["bytes"].get(k) is not None], "direction",
    )  # fmt: skip
    if (celsius := temperature_c()) is not None:
        yield _gauge("edgefuse_processor_temperature_celsius", "The processor's temperature", [((), celsius)])


def _thermal(t: Mapping[str, Any]) -> Iterator[Metric]:
    if latest := t["latest"]:
        name = "edgefuse_infrared_celsius" if t["unit"] == "celsius" else "edgefuse_infrared_counts"
        what = "The newest infrared frame's hottest and coldest pixel"
        yield _gauge(name, what, [((spot,), latest[spot]["value"]) for spot in ("hottest", "coldest")], "spot")
    states = [((s,), float(t["state"] == s)) for s in _STATES]
    yield _gauge("edgefuse_infrared_state", "1 for the infrared camera's state", states, "state")
    yield _counter("edgefuse_infrared_stalls", "How often the picture stood still, by what it was", _items(t["stalls"]), "state")


def _cameras(cameras: Mapping[str, Any]) -> Iterator[Metric]:
    from edgefuse.cameras.camera_thread import GONE

    up = [((m,), float(c["state"] not in GONE)) for m, c in cameras.items()]
    yield _gauge("edgefuse_camera_up", "1 where the camera gives frames, or is only late or recalibrating", up, "camera")
    yield _counter(
        "edgefuse_camera_frames_received", "Frames from the camera", [((m,), c["received"]) for m, c in cameras.items()], "camera"
    )
    dropped = [((m, *cause), n) for m, c in cameras.items() for cause, n in _bounded(c["dropped"])]
    yield _counter("edgefuse_camera_frames_dropped", "Frames of the camera that were in no fused one, by cause", dropped, "camera", "cause")
    faults = [((m, *cause), n) for m, c in cameras.items() for cause, n in _bounded(c["faults"])]
    yield _counter("edgefuse_camera_faults", "Faults of the camera, by cause", faults, "camera", "cause")


def _pairing(p: Mapping[str, Any]) -> Iterator[Metric]:
    kinds = {"fresh": p["pairs"] - p["held"] - p["alone"], "held": p["held"], "alone": p["alone"]}
    yield _counter("edgefuse_pairs", "Pairs made: of two new frames, with one held, of one camera alone", _items(kinds), "kind")


def _alarms(a: Mapping[str, Any]) -> Iterator[Metric]:
    alarms = dict(list(a["alarms"].items())[:_MOST])
    raised = [((name,), float(alarm["state"] == "raised")) for name, alarm in alarms.items()]
    yield _gauge("edgefuse_alarm_raised", "1 while the alarm is raised", raised, "alarm")
    yield _counter(
        "edgefuse_alarms", "How often the alarm was raised", [((name,), alarm["raised"]) for name, alarm in alarms.items()], "alarm"
    )
    faults = [((name,), float(bool(alarm["fault"]))) for name, alarm in alarms.items()]
    yield _gauge("edgefuse_alarm_faulty", "1 where the alarm can't tell from these frames", faults, "alarm")
    if hooks := a["hooks"]:
        yield _counter(
            "edgefuse_hooks", "Alarm hooks run, by outcome", _items({k: hooks[k] for k in ("done", "failed", "lost")}), "outcome"
        )


def _mqtt(m: Mapping[str, Any]) -> Iterator[Metric]:
    yield _gauge("edgefuse_mqtt_connected", "1 while the broker is reached", [((), float(m["state"] == "connected"))])
    outcomes = {"sent": m["sent"], "lost": sum(m["lost"].values())}
    yield _counter("edgefuse_mqtt_messages", "Messages to the broker, by outcome", _items(outcomes), "outcome")
    yield _gauge("edgefuse_mqtt_backlog_messages", "Messages in wait for the broker", [((), m["waiting"])])


def _recording(c: Mapping[str, Any]) -> Iterator[Metric]:
    states = [((s,), float(c["state"] == s)) for s in _RECORDING]
    yield _gauge("edgefuse_recording_state", "1 for the recording's state; stopped: it wants to, and can't", states, "state")
    outcomes = {k: n for k, n in c["frames"].items() if k != "seen"}
    yield _counter("edgefuse_recording_frames", "Frames that came to the recording, by outcome", _items(outcomes), "outcome")
    yield _counter("edgefuse_recording_written_bytes", "Bytes of video written", [((), c["bytes"])])
    yield _gauge("edgefuse_recording_kept_bytes", "Bytes of all recordings in the folder", [((), c["kept_bytes"])])
    yield _counter("edgefuse_recording_files", "Files, by what became of them", _items({k: c[k] for k in ("segments", "deleted")}), "kind")
    yield _counter("edgefuse_recording_encoder_restarts", "How often the encoder died or hung", [((), c["encoder_restarts"])])


def _stream(c: Mapping[str, Any]) -> Iterator[Metric]:
    yield _gauge("edgefuse_stream_connected", "1 while the server takes frames", [((), float(c["state"] == "streaming"))])
    outcomes = {k: n for k, n in c["frames"].items() if k != "seen"}
    yield _counter("edgefuse_stream_frames", "Frames that came to the stream, by outcome", _items(outcomes), "outcome")
    yield _counter("edgefuse_stream_reconnects", "How often the connection, or its encoder, was lost", [((), c["reconnects"])])


def _web(c: Mapping[str, Any]) -> Iterator[Metric]:
    yield _gauge("edgefuse_web_viewers", "Who looks at the live picture now", [((), c["viewers"])])
    yield _counter("edgefuse_web_viewers_turned_away", "Viewers beyond those allowed at once", [((), c["viewers_turned_away"])])
    yield _counter("edgefuse_web_sent_bytes", "Bytes of the live picture sent", [((), c["bytes_sent"])])


Samples = Iterable[tuple[tuple[str, ...], float]]


def _items(counts: Mapping[str, float]) -> Samples:
    return [((k,), n) for k, n in counts.items()]


def _bounded(counts: Mapping[str, int]) -> Samples:
    """The first `_MOST` causes by name; a plugin may have thought of more."""
    listed = list(counts.items())
    rest = sum(n for _, n in listed[_MOST:])
    return [((k,), n) for k, n in listed[:_MOST]] + ([(("other",), rest)] if rest else [])


def _gauge(name: str, what: str, samples: Samples, *labels: str) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    metric = GaugeMetricFamily(name, what, labels=labels)
    for values, value in samples:
        metric.add_metric(values, value)
    return metric


def _counter(name: str, what: str, samples: Samples, *labels: str) -> Metric:
    from prometheus_client.core import CounterMetricFamily

    metric = CounterMetricFamily(name, what, labels=labels)
    for values, value in samples:
        metric.add_metric(values, value)
    return metric


# what only some runs have: a report's key -> its metrics
_PARTS: dict[str, Callable[[Any], Iterator[Metric]]] = {
    "thermal": _thermal,
    "cameras": _cameras,
    "pairing": _pairing,
    "alarm": _alarms,
    "mqtt": _mqtt,
    "recording": _recording,
    "stream": _stream,
    "web": _web,
}
