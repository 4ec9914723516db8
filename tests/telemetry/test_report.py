"""Measurements of a run: rates, quantiles, bandwidth and losses."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgefuse.errors import FrameError
from edgefuse.frames import Frame, FramePair, FusedFrame
from edgefuse.telemetry import report, report_types
from edgefuse.telemetry.report import Telemetry, as_text, bandwidth_mb_s
from edgefuse.util.latency import Latency


def frame(stages_ns: dict[str, int] | None = None) -> FusedFrame:
    visible = Frame(np.zeros((480, 640, 3), np.uint8), "visible", 0, "f")
    infrared = Frame(np.zeros((480, 640), np.uint8), "infrared", 0, "f")
    return FusedFrame(visible.data, FramePair(visible, infrared, 0), stages_ns or {})


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that the test sets."""
    time = SimpleNamespace(now=10**12)
    monkeypatch.setattr(report, "time", SimpleNamespace(perf_counter_ns=lambda: time.now, time=lambda: 2e9))
    return time


def test_n_frames_span_n_minus_1_intervals(clock: SimpleNamespace) -> None:
    t = Telemetry()
    assert t.fps is None
    t.fused(frame(), 0)
    assert t.fps is None
    for step in (100, 300, 100, 300):
        clock.now += step * 10**6
        t.fused(frame(), 0)
    assert t.fps == pytest.approx(4 / 0.8)
    assert t.report()["fps"] == 5.0
    assert t.report()["elapsed_s"] == 0.8


def test_fps_without_elapsed_time_is_not_measured(clock: SimpleNamespace) -> None:
    t = Telemetry()
    t.fused(frame(), 0)
    t.fused(frame(), 0)
    assert t.fps is None


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 10**12), min_size=1, max_size=300), st.sampled_from([0.01, 0.25, 0.5, 0.95, 0.99, 1.0]))
def test_quantiles_equal_numpys_to_within_1_percent(durations: list[int], q: float) -> None:
    latency = Latency()
    for ns in durations:
        latency.add(ns)
    assert latency.quantile(q) == pytest.approx(float(np.quantile(durations, q, method="inverted_cdf")), rel=0.01)
    assert latency.quantile(q) <= max(durations)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(1e3, 1e9), st.floats(0.01, 2))
def test_summary_of_random_durations(seed: int, scale: float, spread: float) -> None:
    durations = np.random.default_rng(seed).lognormal(math.log(scale), spread, 500).astype(int) + 1
    latency = Latency()
    for ns in durations:
        latency.add(int(ns))
    summary = latency.summary_ms()
    for key, q in {"p50": 0.5, "p95": 0.95, "p99": 0.99}.items():
        assert summary[key] * 1e6 == pytest.approx(np.quantile(durations, q, method="inverted_cdf"), rel=0.01, abs=501)
    assert summary["max"] * 1e6 == pytest.approx(durations.max(), abs=501)
    assert summary["mean"] * 1e6 == pytest.approx(durations.mean(), abs=501)


def test_an_empty_histogram_and_a_zero_duration() -> None:
    assert Latency().summary_ms() == {"p50": 0, "p95": 0, "p99": 0, "max": 0, "mean": 0, "count": 0}
    latency = Latency()
    latency.add(0)
    assert latency.quantile(0.5) == 0


def test_memory_of_a_histogram_does_not_grow_with_the_run() -> None:
    latency = Latency()
    for ns in range(10**6, 2 * 10**6, 50):
        latency.add(ns)
    assert latency.count == 20000
    assert len(latency._buckets) <= math.ceil(math.log(2) / math.log(1.01)) + 1


def test_bandwidth_of_the_four_scenarios() -> None:
    # a colour and a grey VGA frame: 640 x 480 x (3 + 1) = 1,228,800 bytes in, 921,600 out; times 30 frames a second
    assert bandwidth_mb_s(1_228_800, 921_600) == {
        "remote_computing_result_on_device": {"upload": 36.864, "download": 27.648},
        "remote_computing_result_remote": {"upload": 36.864, "download": 0.0},
        "edge_computing_result_on_device": {"upload": 0.0, "download": 0.0},
        "edge_computing_result_remote": {"upload": 27.648, "download": 0.0},
    }
    assert bandwidth_mb_s(1000, 500, 10)["remote_computing_result_on_device"] == {"upload": 0.01, "download": 0.005}


def test_a_report_counts_pairs_by_outcome(clock: SimpleNamespace) -> None:
    t = Telemetry()
    for _ in range(3):
        t.read(1_228_800, 2_000_000)
    for _ in range(2):
        t.fused(frame({"prepare": 1_000_000, "network": 5_000_000}), 3_000_000)
        clock.now += 10**8
    t.lost(FrameError("f2", "size", "f2: sizes differ"))
    t.lost(FrameError("f3", "unpaired", "f3 has no infrared frame"))
    t.lost(FrameError("f4", "unpaired", "f4 has no infrared frame"))
    report = t.report()
    assert report["frames"] == {"in": 5, "fused": 2, "dropped": 3}
    assert report["dropped_by_cause"] == {"size": 1, "unpaired": 2}
    assert report["dropped_frames"][0] == {"name": "f2", "cause": "size", "message": "f2: sizes differ"}
    assert [d["name"] for d in report["dropped_frames"]] == ["f2", "f3", "f4"]
    assert t.first_loss == "f2: sizes differ"
    assert (t.frames_fused, t.frames_dropped) == (2, 3)
    assert report["bytes"] == {"in": 3 * 1_228_800, "out": 2 * 921_600}
    assert report["bandwidth_fps"] == 30
    assert report["bandwidth_mb_s"] == bandwidth_mb_s(1_228_800, 921_600)
    assert list(report["latency_ms"]) == ["read", "prepare", "network", "write"]
    assert report["latency_ms"]["network"]["p50"] == pytest.approx(5.0, rel=0.01)
    assert report["latency_ms"]["write"] == pytest.approx(dict.fromkeys(("p50", "p95", "p99", "max", "mean"), 3.0) | {"count": 2}, rel=0.01)
    assert json.loads(json.dumps(report)) == report


@given(st.lists(st.sampled_from(["fused", "size", "unreadable", "ended"]), max_size=300))
def test_in_is_fused_and_dropped(events: list[str]) -> None:
    t = Telemetry()
    made = frame()
    for k, event in enumerate(events):
        if event == "fused":
            t.fused(made, 1)
        else:
            t.lost(FrameError(f"f{k}", event, f"f{k} is lost"))
    report = t.report()
    assert report["frames"]["in"] == len(events)
    assert report["frames"]["fused"] == events.count("fused")
    assert report["frames"]["dropped"] == sum(report["dropped_by_cause"].values()) == len(events) - events.count("fused")


def test_all_losses_are_counted_and_100_listed() -> None:
    t = Telemetry()
    for k in range(250):
        t.lost(FrameError(f"f{k}", "ended", "m"))
    report = t.report()
    assert report["dropped_by_cause"] == {"ended": 250}
    assert [d["name"] for d in report["dropped_frames"]] == [f"f{k}" for k in range(100)]


def test_an_empty_report() -> None:
    report = Telemetry().report()
    assert report["frames"] == {"in": 0, "fused": 0, "dropped": 0}
    assert (report["fps"], report["elapsed_s"], report["first_frame_after_start_s"]) == (None, 0, None)
    assert Telemetry().first_loss == ""
    assert "not measured (needs two frames)" in as_text(report)


def test_the_first_frame_is_timed_from_the_process_s_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "process_age_s", lambda: 2.5)
    t = Telemetry()
    t.fused(frame(), 0)
    assert t.report()["first_frame_after_start_s"] == 2.5


def test_process_age() -> None:
    code = "import time; time.sleep(0.2); from edgefuse.telemetry.report import process_age_s; print(process_age_s())"
    begin = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    # ticks are 10 ms
    assert 0.19 < float(done.stdout) < time.perf_counter() - begin + 0.02


def test_without_proc_the_process_creation_time_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "Path", lambda path: Path("/nonexistent"))
    monkeypatch.setattr(report, "time", SimpleNamespace(time=lambda: 1002.5))
    monkeypatch.setattr(psutil, "Process", lambda: SimpleNamespace(create_time=lambda: 1000.0))
    assert report.process_age_s() == 2.5


def test_peak_memory_is_at_least_the_current_memory() -> None:
    now = psutil.Process().memory_info().rss
    assert report.peak_resident_bytes() >= 0.9 * now
    assert report.peak_resident_bytes() < 100 * now


def test_a_report_as_text(clock: SimpleNamespace) -> None:
    t = Telemetry()
    t.read(1_228_800, 2_000_000)
    for _ in range(5):
        t.fused(frame({"network": 5_000_000}), 3_000_000)
        clock.now += 10**8
    t.lost(FrameError("f2", "size", "m"))
    lines = as_text(t.report()).splitlines()
    assert lines[0] == "frames     6 in, 5 fused, 1 dropped (1 size)"
    assert lines[1] == "speed      10.0 FPS over 0.40 s"
    _, *figures = next(line.split() for line in lines if "network" in line)
    assert [float(f) for f in figures] == pytest.approx([5.0] * 4, rel=0.01)
    assert any(line.split() == ["remote", "computing,", "result", "on", "device", "36.86", "27.65"] for line in lines)
    assert any(line.split() == ["edge", "computing,", "result", "remote", "27.65", "0.00"] for line in lines)


def test_an_attachment_that_could_not_report_is_named_and_hides_nothing_else() -> None:
    pytest.importorskip("prometheus_client")
    from edgefuse.telemetry.live import Live
    from edgefuse.telemetry.prometheus import exposition
    from edgefuse.telemetry.vitals import regions
    from tests.reports import full_report

    parts = ("alarm", "region", "detect", "mqtt", "recording", "stream", "web", "telemetry")
    whole: Any = full_report()
    broken = whole | {name: {"error": "OSError: the disk\nis gone"} for name in parts}
    text = as_text({name: part for name, part in broken.items() if name not in ("cameras", "pairing")})
    assert "recording: OSError: the disk\\nis gone" in text
    assert b"edgefuse_frames_fused_total" in exposition(Live(lambda: broken))
    assert regions(broken) == {}
    named: Any = {"error": {"unit": None}}  # a region of this name is no error
    assert report_types.reported(whole | {"region": named})["region"] == named
