"""Prometheus metrics, read by its own parser."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest

from edgefuse.telemetry.live import Live
from tests.reports import frame, full_report

pytest.importorskip("prometheus_client")

from prometheus_client.parser import text_string_to_metric_families

from edgefuse.telemetry.prometheus import exposition

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]
_UNITS = ("_seconds", "_bytes", "_celsius", "_ratio")


def families(report: dict[str, Any]) -> list[Any]:
    return list(text_string_to_metric_families(exposition(Live(lambda: report)).decode()))


def samples(report: dict[str, Any]) -> Samples:
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for f in families(report) for s in f.samples}


def test_a_full_report_in_base_units() -> None:
    metrics = samples(full_report())
    expected: Samples = {
        ("edgefuse_frames_fused_total", ()): 3,
        ("edgefuse_frames_dropped_total", (("cause", "overrun"),)): 2,
        ("edgefuse_stage_latency_seconds_count", (("stage", "network"),)): 3,
        ("edgefuse_infrared_celsius", (("spot", "hottest"),)): 42.0,
        ("edgefuse_infrared_state", (("state", "normal"),)): 1,
        ("edgefuse_camera_up", (("camera", "visible"),)): 1,
        ("edgefuse_camera_up", (("camera", "infrared"),)): 0,
        ("edgefuse_camera_frames_dropped_total", (("camera", "visible"), ("cause", "overrun"))): 10,
        ("edgefuse_pairs_total", (("kind", "fresh"),)): 55,
        ("edgefuse_alarm_raised", (("alarm", "stove"),)): 1,
        ("edgefuse_alarms_total", (("alarm", "stove"),)): 1,
        ("edgefuse_alarm_faulty", (("alarm", "odd"),)): 1,
        ("edgefuse_hooks_total", (("outcome", "done"),)): 1,
        ("edgefuse_mqtt_connected", ()): 1,
        ("edgefuse_mqtt_messages_total", (("outcome", "lost"),)): 4,
        ("edgefuse_recording_state", (("state", "stopped"),)): 1,
        ("edgefuse_recording_state", (("state", "recording"),)): 0,
        ("edgefuse_recording_frames_total", (("outcome", "unwritten"),)): 6,
        ("edgefuse_recording_kept_bytes", ()): 3_000_000,
        ("edgefuse_recording_files_total", (("kind", "deleted"),)): 2,
        ("edgefuse_stream_connected", ()): 0,
        ("edgefuse_stream_frames_total", (("outcome", "sent"),)): 90,
        ("edgefuse_stream_reconnects_total", ()): 3,
        ("edgefuse_web_viewers", ()): 2,
        ("edgefuse_web_sent_bytes_total", ()): 250_000,
    }
    assert {k: metrics.get(k) for k in expected} == expected
    assert metrics["edgefuse_stage_latency_seconds_sum", (("stage", "network"),)] == pytest.approx(0.015)
    assert metrics["edgefuse_stage_latency_seconds", (("quantile", "0.5"), ("stage", "network"))] == pytest.approx(0.005, rel=0.01)
    assert metrics["process_resident_memory_bytes", ()] > 10**6
    info = next(labels for (name, labels) in metrics if name == "edgefuse_info")
    assert dict(info)["model"] == "mobilefuse-edge"


def test_counts_without_radiometry() -> None:
    metrics = samples(full_report(law=False))
    assert metrics["edgefuse_infrared_counts", (("spot", "hottest"),)] == 31515
    assert not any(name == "edgefuse_infrared_celsius" for name, _ in metrics)


def test_names_and_labels_follow_prometheus_rules() -> None:
    for family in families(full_report()):
        assert re.fullmatch(r"(edgefuse|process)_[a-z_]+", family.name)
        assert family.documentation
        # counters end in _total, and metrics with a unit name its base unit
        assert all(s.name.endswith("_total") for s in family.samples) == (family.type == "counter")
        assert not re.search(r"_(ms|mb|milliseconds|percent|kelvin)(_|$)", family.name)
        assert all(len(s.labels) <= 2 for s in family.samples) or family.name == "edgefuse_info"


def test_the_number_of_series_is_bounded() -> None:
    report = full_report()
    report["dropped_by_cause"] = {f"cause{k}": 1 for k in range(1000)}
    report["cameras"]["visible"]["dropped"] = {f"cause{k}": 2 for k in range(1000)}
    report["alarm"]["alarms"] = {f"alarm{k}": report["alarm"]["alarms"]["stove"] for k in range(1000)}
    metrics = samples(report)
    assert len(metrics) < 400
    assert sum(v for (name, _), v in metrics.items() if name == "edgefuse_frames_dropped_total") == 1000
    assert metrics["edgefuse_frames_dropped_total", (("cause", "other"),)] == 1000 - 32


def test_a_run_before_its_first_frame() -> None:
    from edgefuse.telemetry.report import Telemetry

    telemetry = Telemetry()
    assert samples(telemetry.report())["edgefuse_frames_fused_total", ()] == 0
    telemetry.infrared(frame().pair.infrared)
    assert ("edgefuse_infrared_celsius", (("spot", "hottest"),)) in samples(telemetry.report())


def test_without_prometheus_client_the_error_has_the_install_command() -> None:
    code = (
        "import sys; sys.modules['prometheus_client'] = None\n"
        "from edgefuse.telemetry.live import Live; from edgefuse.telemetry.prometheus import exposition\n"
        "from edgefuse.errors import MissingDependencyError\n"
        "try:\n exposition(Live(dict))\nexcept MissingDependencyError as e:\n print(e)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True).stdout
    assert "run: pip install 'edgefuse[metrics]'" in told
