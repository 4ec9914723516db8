"""The short summary of a run's state."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edgefuse.telemetry.live import Live
from edgefuse.telemetry.report import Telemetry
from edgefuse.telemetry.vitals import Vitals
from tests.reports import frame, full_report


def test_a_full_report_fits_into_a_message() -> None:
    told = Vitals(Live(full_report)).read()
    assert len(json.dumps(told)) < 1500
    assert (told["frames_fused"], told["frames_dropped"]) == (3, 3)
    assert (told["hottest_celsius"], told["coldest_celsius"], told["infrared_state"]) == (42.0, 20.0, "normal")
    assert told["cameras"] == {"visible": "live", "infrared": "lost"}
    assert told["alarms"] == {"stove": "raised", "odd": "quiet"}
    assert told["latency_p50_ms"]["network"] == pytest.approx(5.0, rel=0.01)
    assert told["resident_mb"] > 1
    assert told["fps"] is None


def test_counts_have_their_own_keys() -> None:
    told = Vitals(Live(lambda: full_report(law=False))).read()
    assert told["hottest_counts"] == 31515
    assert "hottest_celsius" not in told


def test_rates_are_since_the_previous_summary(monkeypatch: pytest.MonkeyPatch) -> None:
    report: dict[str, Any] = Telemetry().report()

    class Now(Live):
        def report(self) -> dict[str, Any]:
            return dict(report)

    vitals = Vitals(Now(dict))
    vitals.read()
    report |= {"frames": {"in": 50, "fused": 50, "dropped": 0}, "elapsed_s": 2.0}
    assert vitals.read()["fps"] == 25.0
    assert vitals.read()["fps"] == 0.0
    report |= {"frames": {"in": 59, "fused": 59, "dropped": 0}, "elapsed_s": 5.0}
    assert vitals.read()["fps"] == 3.0
    assert vitals.read()["sequence"] == 4


def test_an_unchanged_report_keeps_the_rate() -> None:
    telemetry = Telemetry()
    vitals = Vitals(Live(telemetry.report))
    for _ in range(3):
        telemetry.fused(frame(), 1)
        assert vitals.read()["fps"] is None


def test_a_run_without_thermal_frames_has_no_degrees() -> None:
    told = Vitals(Live(Telemetry().report)).read()
    assert (told["infrared_state"], told["hottest_celsius"], told["cameras"], told["alarms"]) == (None, None, {}, {})
