"""Tests of a run's report of its raw infrared frames."""

from __future__ import annotations

import json

import numpy as np

from edgefuse.frames import Frame, Radiometry, SensorState
from edgefuse.thermal.temperature_report import ThermalLog, thermal_text

S = 10**9


LAW = Radiometry("lepton", 0.01, -273.15)


def frame(k: int, hot: int, law: Radiometry | None = LAW, state: SensorState = "normal") -> Frame:
    data = np.random.default_rng(k).integers(29000, 29100, (12, 16)).astype(np.uint16)
    data[4, 7] = hot
    data[0, k % 16] = 28000 - k
    if law is not None and state != "normal":
        law = Radiometry(law.sensor, law.scale, law.offset, state)
    return Frame(data, "infrared", k * S // 9, f"f{k}", law)


def test_the_run_s_extremes_and_the_latest() -> None:
    log = ThermalLog()
    for k, hot in enumerate((30000, 30965, 30100)):
        log.add(frame(k, hot))
    report = log.report()
    assert report is not None
    assert (report["sensor"], report["unit"], report["state"]) == ("lepton", "celsius", "normal")
    assert report["hottest"] == {"value": 36.5, "x": 7, "y": 4, "frame": "f1"}
    assert report["coldest"] == {"value": 6.83, "x": 2, "y": 0, "frame": "f2"}
    assert report["latest"]["hottest"] == {"value": 27.85, "x": 7, "y": 4}
    assert json.loads(json.dumps(report)) == report
    assert log.note == "hottest 27.9 C"
    assert thermal_text(report) == ["hottest    36.5 C at (7, 4) of f1", "coldest    6.8 C at (2, 0) of f2"]


def test_counts_without_radiometry() -> None:
    log = ThermalLog()
    log.add(frame(0, 30000, None))
    assert log.note == "hottest 30000 counts"
    assert (log.report() or {})["unit"] == "counts"


def test_extremes_restart_when_a_camera_begins_to_send_temperatures() -> None:
    log = ThermalLog()
    log.add(frame(0, 30000, Radiometry("lepton")))
    log.add(frame(1, 29900))
    assert (log.report() or {})["hottest"]["value"] == 25.85


def test_a_frame_without_radiometry_is_not_compared_with_temperatures() -> None:
    log = ThermalLog()
    for k, law in enumerate((LAW, Radiometry("lepton"), LAW)):
        log.add(frame(k, 30000 + 10 * k, law))
    report = log.report() or {}
    assert (report["unit"], report["hottest"]["frame"], report["frames_by_state"]["normal"]) == ("celsius", "f2", 3)


def test_8_bit_pictures_are_ignored() -> None:
    log = ThermalLog()
    log.add(Frame(np.zeros((4, 4), np.uint8), "infrared", 0, "f"))
    log.add(Frame(np.zeros((4, 4, 3), np.uint16), "infrared", 0, "f"))
    assert log.report() is None
    assert log.note == ""


def test_a_shutter_is_counted_once_and_its_frames_give_no_spot() -> None:
    log = ThermalLog()
    for k in range(5):
        log.add(frame(k, 30000))
    for k in range(5, 14):
        log.add(frame(k, 40000, state="calibrating"))
    assert log.note == "infrared calibrating"
    for k in range(14, 20):
        log.add(frame(k, 30000))
    report = log.report() or {}
    assert report["frames_by_state"] == {"normal": 11, "calibrating": 9, "frozen": 0}
    assert report["stalls"] == {"calibrating": 1, "frozen": 0}
    assert report["hottest"]["value"] == 26.85
    assert thermal_text(report)[-1] == "infrared   stalled: 1 x calibrating; now normal"


def test_a_frozen_camera_is_detected_from_its_frames() -> None:
    log = ThermalLog()
    first = frame(0, 30000)
    for k in range(60):
        log.add(Frame(first.data, "infrared", k * S // 9, f"f{k}", first.radiometry))
    report = log.report() or {}
    assert report["state"] == "frozen"
    assert report["stalls"] == {"calibrating": 1, "frozen": 1}


def test_a_reused_frame_counts_once() -> None:
    log = ThermalLog()
    for _ in range(40):
        log.add(frame(3, 30000))
    assert (log.report() or {})["frames_by_state"]["normal"] == 1
